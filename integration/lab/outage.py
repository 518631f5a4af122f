"""Power cuts of all hosts and crashes of dockerd: which containers run again by themselves, and when."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from integration.lab import docker_socket
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab

PAUSE_S = 0.25
RESTART_S = 30

Wanted = Mapping[str, frozenset[str]]
"""Names of containers by host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What ran again. Seconds are from the moment the power was back, or dockerd was killed."""

    engines_s: Mapping[str, float]
    """Host -> when its dockerd first answered."""
    running_s: Mapping[str, float]
    """Container -> when it was started."""
    down: Mapping[str, str]
    """Container -> docker's state and words, for those that never ran."""

    @property
    def seconds(self) -> float | None:
        """When the last one was started; None when some never were."""
        return None if self.down else max(self.running_s.values())

    def __str__(self) -> str:
        engines = ", ".join(f"{name} {at:.1f}" for name, at in sorted(self.engines_s.items()))
        answered = f"(dockerd answered: {engines or 'nowhere'})"
        if self.seconds is not None:
            return f"all {len(self.running_s)} after {self.seconds:.1f} s {answered}"
        words = "; ".join(f"{name} {why}" for name, why in sorted(self.down.items()))
        return f"{len(self.down)} of {len(self.down) + len(self.running_s)} never: {words} {answered}"


def black_out(lab: Lab, wanted: Wanted, within_s: float, *, synced_only: bool = False) -> Recovery:
    """Cut the power of all hosts, restore it, and watch for `within_s` seconds at most until all of `wanted` runs.

    With `synced_only` the disks have only what was synced to them.
    """
    lab.black_out(synced_only=synced_only)
    return watch(lab, wanted, within_s)


def crash(host: Host, names: frozenset[str], within_s: float) -> Recovery:
    """Kill dockerd with SIGKILL, leave the rest to systemd, and watch for at most `within_s` seconds."""
    host.systemctl(
        "reset-failed", "docker", check=False
    )  # systemd gives up on the fourth start within a minute
    main = partial(host.systemctl, "show", "--property=MainPID", "--value", "docker")
    eventually(
        lambda: main() != "0", RESTART_S, f"dockerd of {host.name} runs"
    )  # systemd restarts it after 2 s
    began = time.time()
    # One that is just ending by itself has no main process until systemd starts it again.
    kill = partial(host.exec, "systemctl", "kill", "--kill-who=main", "--signal=KILL", "docker", check=False)
    eventually(lambda: kill().returncode == 0, RESTART_S, f"dockerd of {host.name} is killed")
    return _watch(host, names, began, within_s)


def watch(lab: Lab, wanted: Wanted, within_s: float) -> Recovery:
    """Look at all hosts from now on until all of `wanted` runs, or `within_s` seconds have passed."""
    began = time.time()

    def watch_one(host: Host) -> Recovery:
        return _watch(host, wanted[host.name], began, within_s)

    with ThreadPoolExecutor(len(lab.hosts)) as pool:
        each = list(pool.map(watch_one, lab.hosts))
    return Recovery(
        engines_s={host: at for one in each for host, at in one.engines_s.items()},
        running_s={name: at for one in each for name, at in one.running_s.items()},
        down={name: why for one in each for name, why in one.down.items()},
    )


def _watch(host: Host, names: frozenset[str], began: float, within_s: float) -> Recovery:
    answered: dict[str, float] = {}
    running: dict[str, float] = {}
    down = dict.fromkeys(names, "on a host whose dockerd does not answer")
    while down and time.time() < began + within_s:
        try:
            states = {name: _state(host, name) for name in names}
        except (OSError, LabError, ValueError):
            time.sleep(PAUSE_S)
            continue
        answered.setdefault(host.name, time.time() - began)
        up = {name: state for name, state in states.items() if state["Status"] == "running"}
        running = {name: _moment(state["StartedAt"]) - began for name, state in up.items()}
        down = {name: f"{each['Status']}: {each['Error']}" for name, each in states.items() if name not in up}
        if down:
            time.sleep(PAUSE_S)
    return Recovery(engines_s=answered, running_s=running, down=down)


def _state(host: Host, name: str) -> dict[str, str]:
    """The `State` docker gives of a container. Raises OSError while dockerd does not answer."""
    # Patient: systemd listens on the socket while dockerd starts, and what asks by then is answered first of all.
    status, body = docker_socket.get(host.socket, f"/containers/{name}/json", timeout=30)
    return dict(json.loads(body)["State"]) if status == 200 else {"Status": "gone", "Error": body[:200]}


def _moment(stamp: str) -> float:
    """A time of docker's, with its nine digits of a second, in seconds since the epoch."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
