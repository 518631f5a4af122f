"""bench/agent: what one agent costs that has nothing to do: twenty replicas on a real dockerd, and a real etcd."""

import contextlib
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import import_costs
from bench.environment import ROOT, install
from bench.playbook import WORK
from bench.process import memory, threads, used_between
from bench.upkeep import DOCKER_CALLS, ETCD_CALLS, PASSES, Counts, grown
from tests.support.docker_daemon import BARE, DockerDaemon, load_images
from tests.support.docker_daemon import running as running_docker
from tests.support.etcd_server import EtcdServer, eventually, free_ports
from tests.support.etcd_server import running as running_etcd

SERVICES, COPIES = 10, 2
RSS_MB, CPU_PERCENT, WAKE_UPS = 60.0, 0.2, 40.0
CONVERGED_S = 180.0
IDLE_S = 90.0
CLONE_NEWNET = 0x40000000
UNIT = ROOT / "deploy/systemd/swarmkeeper.service"
PYTHON = WORK.parent / "agent-venv"
"""An environment of the package's libraries alone: what else is installed may be imported, too."""

DOCUMENT = """\
name: bench
x-cluster:
  version: 1
  hosts: {{h1: {{address: {address}, role: manager}}}}
  gwbridge: {{subnet: 172.21.0.0/20}}
networks:
  net: {{name: net, attachable: true, ipam: {{config: [{{subnet: 10.10.0.0/16}}]}}}}
services:
"""
SERVICE = "  s{number}: {{image: '{image}', command: [sleep, '100000'], networks: [net], x-hosts: {{h1: {copies}}}}}\n"
CONFIG = """\
cluster: bench
host: h1
state_directory: {directory}/state
etcd: {{endpoints: ['{etcd}']}}
docker: {{url: '{docker}'}}
http: {{listen: '{listen}'}}
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@contextlib.contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Move this thread, and what it starts, to the network of a process; the agent reads its own host's devices."""
    with Path("/proc/thread-self/ns/net").open() as ours, Path(f"/proc/{pid}/ns/net").open() as theirs:
        setns = ctypes.CDLL(None, use_errno=True).setns  # os.setns needs Python 3.12
        if setns(theirs.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            setns(ours.fileno(), CLONE_NEWNET)


def unit_environment() -> dict[str, str]:
    """Return the variables that the unit sets."""
    pairs = re.findall(r"^Environment=(.*)$", UNIT.read_text(), re.MULTILINE)
    return dict(pair.split("=", 1) for line in pairs for pair in line.split())


@contextlib.contextmanager
def agent(
    directory: Path, etcd: EtcdServer, docker: DockerDaemon, env: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """Run an agent; provide its process id and the URL of its pages."""
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    config = directory / "agent.yaml"
    (directory / "state").mkdir()
    config.write_text(
        CONFIG.format(directory=directory, etcd=etcd.endpoint, docker=docker.url, listen=listen)
    )
    run = [str(PYTHON / "bin/python"), "-P", "-m", "bench.named_agent", "run", "--config", str(config)]
    # The account of the package cannot read the certificate of the node, for which root loads cryptography.
    hide = f'mount -t tmpfs tmpfs {docker.directory}/data/swarm && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", hide, "sh", *run]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **env, "PYTHONPATH": str(ROOT)}, stderr=log)
    try:
        yield process.pid, f"http://{listen}"
    finally:
        process.terminate()
        process.wait(30)


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def counts(text: str) -> Counts:
    """Return metrics by series, as upkeep counts them: without the labels that all have."""
    plain = re.sub(r'(cluster|host)="[^"]*",?', "", text)
    found = (line.rpartition(" ") for line in plain.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in found}


def is_ready(url: str) -> bool:
    try:
        return bool(page(f"{url}/readyz"))
    except OSError:
        return False


def watch(pid: int, url: str, seconds: float) -> dict[str, Any]:
    """Return what the agent has used in so many seconds, during which it makes its ordinary passes."""
    metrics, before, began = counts(page(f"{url}/metrics")), threads(pid), time.monotonic()
    time.sleep(seconds)  # that time passes is what is measured here
    after, took = threads(pid), time.monotonic() - began
    used = used_between(before, after)
    now = counts(page(f"{url}/metrics"))
    calls = {name: grown(name, metrics, now) for name in (PASSES, DOCKER_CALLS, ETCD_CALLS)}
    return {
        "seconds": round(took, 1),
        "memory_mb": {name: round(value, 1) for name, value in asdict(memory(pid)).items()},
        "cpu_percent": round(100 * sum(each.cpu_s for each in used.values()) / took, 3),
        "wake_ups_per_s": round(sum(each.wake_ups for each in used.values()) / took, 1),
        "threads": {name: asdict(each) for name, each in used.items()},
        "passes": sum(calls[PASSES].values()),
        "docker": calls[DOCKER_CALLS],
        "etcd": calls[ETCD_CALLS],
    }


def idle(env: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Measure an agent with twenty replicas that run."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-agent-", dir="/var/tmp") as name,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(name)
        docker = stack.enter_context(running_docker(DockerDaemon(directory / "docker")))
        load_images(docker)
        stack.enter_context(network_of(docker.pid))
        etcd = stack.enter_context(running_etcd(EtcdServer(directory / "etcd")))
        services = (SERVICE.format(number=each, image=BARE, copies=COPIES) for each in range(SERVICES))
        etcd.ctl(
            "put", "/swarmkeeper/bench/intent", DOCUMENT.format(address=docker.address) + "".join(services)
        )
        pid, url = stack.enter_context(agent(directory, etcd, docker, env))
        try:
            with contextlib.closing(docker.client()) as client:
                running = partial(client.containers, quiet=True)
                eventually(lambda: len(running()) == SERVICES * COPIES, CONVERGED_S, "all replicas run")
            eventually(lambda: is_ready(url), CONVERGED_S, "the agent is ready")
            time.sleep(25)  # the threads of the first steps end after 20 s
            return watch(pid, url, seconds)
        except AssertionError as error:
            error.add_note((directory / "log").read_text()[-3000:])
            raise


def help_s(python: str, rounds: int = 7) -> float:
    """Return the processor seconds of `swarmkeeper --help`: the least of several rounds, as other load only adds."""

    def once() -> float:
        before = os.times()
        command = [python, "-P", "-m", "agent.cli.app", "--help"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    return min(once() for _ in range(rounds))


def report(found: Mapping[str, Any]) -> str:
    """Return the tables, and the goals."""
    lines = []
    if "idle" in found:
        idle = found["idle"]
        lines.append(f"{'thread':18} count  wake-ups/s   CPU ms/min")
        for name, each in idle["threads"].items():
            wakes, ms = each["wake_ups"] / idle["seconds"], 60_000 * each["cpu_s"] / idle["seconds"]
            lines.append(f"{name:18} {each['count']:5} {wakes:11.1f} {ms:12.1f}")
        lines.append(
            f"passes {idle['passes']:.0f}; docker {idle['docker']}; etcd {idle['etcd']}; {idle['memory_mb']}"
        )
        for name, value, most in (
            ("MB resident", idle["memory_mb"]["rss"], RSS_MB),
            ("% of a core", idle["cpu_percent"], CPU_PERCENT),
            ("wake-ups a second", idle["wake_ups_per_s"], WAKE_UPS),
        ):
            lines.append(
                f"{value:6.2f} {name} (at most {most:g}: {'reached' if value <= most else 'MISSED'})"
            )
    lines.append(f"{'imported in this order':22} RSS MB anonymous  modules  CPU s   alone: RSS MB anonymous")
    lines += [_import_line(each) for each in found["imports"]]
    lines.append(f"swarmkeeper --help: {found['help_s']:.2f} s of processor")
    return "\n".join(lines)


def _import_line(each: Mapping[str, Any]) -> str:
    alone = each["alone"]
    return (
        f"{each['name']:22} {each['rss_mb']:6.1f} {each['anonymous_mb']:9.1f} {each['modules']:8} {each['cpu_s']:6.2f}"
        f" {alone['rss_mb']:15.1f} {alone['anonymous_mb']:9.1f}"
    )


@app.command()
def main(
    seconds: Annotated[
        float, typer.Option(min=0, help="How long to watch; 0: imports and --help alone.")
    ] = IDLE_S,
    env: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE to set for the agent besides the unit's.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where the results go as JSON.")] = WORK / "agent.json",
) -> None:
    """Measure memory, processor time, wake-ups and calls of one agent at rest, and what its imports cost."""
    install(PYTHON, ROOT / "requirements.lock")
    environment = {**unit_environment(), **dict(each.split("=", 1) for each in env or ())}
    python = str(PYTHON / "bin/python")
    found: dict[str, Any] = {"python": sys.version.split()[0], "environment": environment}
    if seconds:
        found["idle"] = idle(environment, seconds)
    found["imports"] = import_costs.measure([python, "-P"], {**environment, "PYTHONPATH": str(ROOT)})
    found["help_s"] = help_s(python)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=1))
    print(report(found))


if __name__ == "__main__":
    app()
