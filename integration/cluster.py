"""Swarmkeeper on the lab's hosts, installed and used the way an operator does it: dpkg, systemctl, etcdctl, curl."""

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from docker.errors import NotFound

from agent.errors import Invalid
from agent.intent import parse_intent
from agent.model.records import VERSION, Accepted, Assignment, decode, encode
from agent.model.status import HostStatus
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.timings import DEFAULT, TIMINGS, Timings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "deploy/examples/cluster.yaml"
EXAMPLE = TIMINGS.rolled_out_by(DOCUMENT.read_text())
"""What scenarios put, and change."""
REPLICAS = {
    "prod-order-1": "node-231",
    "prod-order-2": "node-231",
    "prod-order-3": "node-232",
    "prod-billing-1": "node-232",
    "prod-console-1": "node-231",
    "prod-terminal-1": "node-233",
    "prod-api-1": "node-232",
    "prod-api-2": "node-233",
}
"""The replicas of the example, and where they run after a first start."""
NAME = "prod"
PREFIX = f"/swarmkeeper/{NAME}/"
UNIT = "swarmkeeper"
PASSES = "swarmkeeper_reconcile_total"
ETCDCTL_S = 60
DUPLICATE_ADDRESS = "duplicate address assigned by Swarm"
CURED_BY_RESTART = (
    "a process listens on port 7946/tcp of this host",
    "not in its networks (nothing listens on 7946/tcp)",
)
"""What agents say of a dockerd that only another start of it helps."""
KEPT_S = 10
LED_S = 30
SERIES = re.compile(r"^(swarmkeeper_[^\s{]+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
LABELS = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
CONDITIONS = "swarmkeeper_cluster"
LEADER_TELLS_S = 30
"""The leader sees the last host's status, and counts `monitor`, after the host has reported all done."""
PLACE = ("cluster", "host")
"""Labels that every series of an agent has."""

CONFIG = """\
cluster: {cluster}
host: {host}
etcd:
  endpoints: [{endpoints}]
http:
  listen: 0.0.0.0:9477
log:
  level: {level}
admission:
  runtimes: ["*"]
{timings}"""
"""Scenarios name a runtime that no engine has: not the policy but the engine's answer is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A container as docker shows it to an operator."""

    host: str
    name: str
    id: str
    status: str
    started_at: str
    image: str


class Cluster:
    """The agents on the hosts of a lab, and their one document."""

    def __init__(self, lab: Lab, log_level: str = "debug", timings: Timings = DEFAULT) -> None:
        self.lab, self._log_level, self.timings = lab, log_level, timings
        self._kept_since: dict[str, float] = {}
        self.operator: Host | None = None
        """Where etcdctl is run; None: on the first host that is up."""
        self.etcd_user: tuple[str, ...] = ()
        """Options of etcdctl that name a user, where etcd asks for one."""

    # -- installing and running the agents

    def install(self) -> None:
        """Install the package on every host and write its agent.yaml; nothing is started."""
        debs = {base: package(base) for base in {host.spec.base for host in self.lab.hosts}}
        self.on_every_host(lambda host: self.install_on(host, debs[host.spec.base]))

    def install_on(self, host: Host, deb: Path) -> None:
        """Install a package on one host and write its agent.yaml."""
        host.install(deb)
        host.write("/etc/swarmkeeper/agent.yaml", self.config(host), mode=0o644)

    def config(self, host: Host) -> str:
        """agent.yaml of a host: its own etcd member first, as an operator would write it."""
        others = [each.address for each in self.lab.hosts if each is not host]
        endpoints = ", ".join(f'"http://{address}:2379"' for address in [host.address, *others])
        return CONFIG.format(
            cluster=NAME,
            host=host.name,
            endpoints=endpoints,
            level=self._log_level,
            timings=self.timings.agent_yaml(),
        )

    def install_and_start(self) -> None:
        self.install()
        self.start()

    def start(self) -> None:
        """Start every agent, all at the same time."""
        self.on_every_host(lambda host: host.systemctl("start", UNIT))

    def retime(self) -> None:
        """Give agents that run already, and their swarm, the timings of this cluster. One of them leads on return."""

        def restart(host: Host) -> None:
            host.write("/etc/swarmkeeper/agent.yaml", self.config(host), mode=0o644)
            host.systemctl("restart", UNIT)

        self.on_every_host(restart)
        self.time_swarm()
        eventually(lambda: self.get("leader") or {}, LED_S, "somebody leads")

    def time_swarm(self) -> None:
        """`docker swarm update` with the heartbeat of the timings, on a host that is a manager."""
        time_swarm(self.lab.hosts[0], self.timings)

    def stop(self) -> None:
        self.on_every_host(lambda host: host.systemctl("stop", UNIT))

    def on_every_host(self, action: Any) -> list[Any]:
        """Do something on all hosts side by side; the results come in the order of the hosts."""
        with ThreadPoolExecutor(len(self.lab.hosts)) as pool:
            return list(pool.map(action, self.lab.hosts))

    # -- what the operator says and reads

    def put(self, document: str) -> int:
        """`etcdctl put` of the intent; returns the revision it got."""
        key = f"{PREFIX}intent"
        if document:
            answer = self.etcdctl("put", key, "-w", "json", document=document)
        else:
            answer = self.etcdctl("put", key, "", "-w", "json")  # it takes an empty input for none
        return int(json.loads(answer)["header"]["revision"])

    def put_unless_accepted(self, document: str) -> int:
        """`put`, unless that document is what is there and accepted already; returns its revision."""
        accepted = self.get("accepted") or {"document": None, "revision": 0}
        newest = self.etcdctl("get", "--print-value-only", f"{PREFIX}intent")
        same = (accepted["document"], newest) == (document, f"{document}\n")
        if same and accepted["revision"] == self.newest():  # the same text may have been put again
            return int(accepted["revision"])
        return self.put(document)

    def newest(self) -> int:
        """Revision of the document that was put last."""
        listed = json.loads(self.etcdctl("get", f"{PREFIX}intent", "-w", "json"))["kvs"]
        return int(listed[0]["mod_revision"])

    def get(self, key: str) -> dict[str, Any] | None:
        """The JSON value of one of the cluster's keys, as `etcdctl get` prints it; None when there is none."""
        text = self.etcdctl("get", "--print-value-only", f"{PREFIX}{key}").strip()
        return dict(json.loads(text)) if text else None

    def keys(self) -> list[str]:
        """The cluster's keys, less the common prefix."""
        listed = self.etcdctl("get", "--prefix", "--keys-only", PREFIX).split()
        return [key.removeprefix(PREFIX) for key in listed]

    def etcd_revision(self) -> int:
        """The revision of etcd itself: it grows with every write of anybody."""
        return int(json.loads(self.etcdctl("get", "-w", "json", "x"))["header"]["revision"])

    def delete(self, key: str) -> None:
        """`etcdctl del` of one of the cluster's keys."""
        self.etcdctl("del", f"{PREFIX}{key}")

    def etcdctl(self, *argv: str, document: str | None = None) -> str:
        """Run etcdctl on a host that is up and return what it printed.

        It is repeated for a while when it fails, as people do who met an election or a member that hangs: a document
        put twice is the same document. AssertionError with what it said last.
        """
        host = self.operator or next(host for host in self.lab.hosts if host.is_up)

        def ask() -> tuple[str]:
            done = host.exec(*self.etcdctl_command(self.etcd_user, argv), input=document, check=False)
            assert done.returncode == 0, done.stderr
            return (done.stdout,)

        return eventually(ask, ETCDCTL_S, f"etcdctl {argv[0]} on {host.name}")[0]

    def etcdctl_command(self, user: tuple[str, ...], argv: Iterable[str]) -> tuple[str, ...]:
        endpoints = ",".join(f"http://{each.address}:2379" for each in self.lab.hosts)
        return ("env", "ETCDCTL_API=3", "etcdctl", f"--endpoints={endpoints}", *user, *argv)

    def status(self, host: Host) -> dict[str, Any]:
        """What the host last said of itself, as of the last document that it counts for, with what has its default."""
        found = self.get(f"hosts/{host.name}/status")
        assert found is not None, f"{host.name} has not reported"
        if found["v"] != VERSION:
            return found
        whole: dict[str, Any] = json.loads(encode(decode(HostStatus, json.dumps(found).encode())))
        assigned, accepted = self.get(f"assignments/{host.name}"), self.get("accepted")
        if assigned and accepted:
            at, counts = assigned["revision"], counts_for(host.name, assigned, accepted)
            for each in (whole, whole["bridge"]):
                each["revision"] = counts if at <= each["revision"] < counts else each["revision"]
        return whole

    def command(
        self, *argv: str, host: Host | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `swarmkeeper ...` on a host."""
        return (host or self.lab.hosts[0]).exec("swarmkeeper", *argv, check=check)

    def metrics(self, host: Host, timeout: float = 5) -> dict[str, float]:
        """The host's metrics by series, as Prometheus would scrape them over the LAN, without `cluster` and `host`."""
        text = self.lab.lan.http_get(f"http://{host.address}:9477/metrics", timeout).text
        return {_without_place(name): float(value) for name, value in SERIES.findall(text)}

    def passes(self, host: Host) -> float:
        """How often the host's agent has looked and decided since it was started."""
        return sum(value for name, value in self.metrics(host).items() if name.startswith(PASSES))

    def writes(self) -> dict[str, int]:
        """Every key of ours with its last write, but for what hosts report, and the leader's events of it.

        They may see something new at any time, and gather it for some seconds. Presence is renewed by its lease
        without a write.
        """
        listed = json.loads(self.etcdctl("get", "--prefix", PREFIX, "-w", "json"))["kvs"]
        written = {base64.b64decode(each["key"]).decode(): each["mod_revision"] for each in listed}
        return {
            key: revision for key, revision in written.items() if not key.endswith(("/status", "/events"))
        }

    # -- what is true on the hosts

    def wait_converged(self, revision: int, within_s: float = 60) -> None:
        """Return when the leader says that the cluster is converged at `revision`, and every host has nothing left.

        The hosts' own statuses come first: they name what is left, where the leader's metric is one number.
        """
        until = time.monotonic() + within_s
        for host in self.lab.hosts:
            check = partial(self._heed_and_check, host, revision)
            eventually(check, within_s, f"{host.name} converges")
        left_s = max(LEADER_TELLS_S, until - time.monotonic())
        eventually(partial(self.check_leader, revision), left_s, "the leader says that all is converged")

    def check_leader(self, revision: int) -> None:
        """AssertionError, with all that is not Ready, unless the leader's metrics say Converged; then as the hosts."""
        leader = self.get("leader")
        assert leader, "nobody leads"
        metrics = self.metrics(self.lab[leader["host"]])
        told = {name: value for name, value in metrics.items() if name.startswith(CONDITIONS) and value}
        assert metrics.get(f"{CONDITIONS}_converged") == 1.0, told
        for host in self.lab.hosts:
            self.check_converged(host, revision)

    def _heed_and_check(self, host: Host, revision: int) -> None:
        self.heed(host)
        self.check_converged(host, revision)

    def heed(self, host: Host) -> None:
        """Restart dockerd, as an operator does, where its agent has asked for that for some seconds.

        It has kept the port of a swarm that it left, or takes no part in the networks of the one that it is in: luck of
        the engine on a busy machine (docs/engine-quirks.md); no test can rely on either.
        """
        blocked = (self.get(f"hosts/{host.name}/status") or {}).get("blocked", ())
        reasons = [each["reason"] for each in blocked]
        asks = [each for each in reasons if any(words in each for words in CURED_BY_RESTART)]
        if not asks:
            self._kept_since.pop(host.name, None)
            return
        since = self._kept_since.setdefault(host.name, time.monotonic())
        if time.monotonic() - since > KEPT_S:
            print(f"{host.name}: dockerd is restarted: {asks[0]}")
            host.restart_dockerd()
            del self._kept_since[host.name]

    def check_converged(self, host: Host, revision: int) -> None:
        """AssertionError, with what the host still has to do, unless it is as `revision` says."""
        status = self.status(host)
        left = {name: status.get(name) for name in ("state", "revision", "steps", "blocked", "waiting")}
        assert status["revision"] == revision, left
        assert not status["steps"], left
        assert not status["blocked"], left
        assert not status["waiting"], left

    def containers(self, *, everything: bool = False) -> list[Running]:
        """The containers of all hosts, sorted by name; with `everything`, those that do not run too."""
        return sorted(
            (each for host in self.lab.hosts for each in running_on(host, everything=everything)),
            key=lambda each: (each.name, each.host),
        )

    def addresses(self, network: str) -> Mapping[str, str]:
        """Name of each running replica on a network, with the address that docker shows for it there."""
        ours = {"label": f"io.swarmkeeper.cluster={NAME}"}
        listed = [each for host in self.lab.hosts for each in host.docker.api.containers(filters=ours)]
        on_it = {each["Names"][0].lstrip("/"): each["NetworkSettings"]["Networks"] for each in listed}
        return {name: on[network]["IPAddress"] for name, on in on_it.items() if network in on}

    def started(self) -> Mapping[str, str]:
        """Name of each running replica, with the host and moment it was started: what a restart changes."""
        return {each.name: f"{each.host} {each.started_at}" for each in self.containers()}


def _without_place(series: str) -> str:
    """The series without the labels that say which agent it is of, and those left sorted as they are."""
    name, _, labels = series.partition("{")
    kept = [f'{label}="{value}"' for label, value in LABELS.findall(labels) if label not in PLACE]
    return f"{name}{{{','.join(kept)}}}" if kept else name


def counts_for(host: str, assigned: Mapping[str, Any], accepted: Mapping[str, Any]) -> int:
    """The revision of the last document that an assignment counts for."""
    document = decode(Accepted, json.dumps(accepted).encode())
    assignment = decode(Assignment, json.dumps(assigned).encode())
    with suppress(Invalid):  # earlier agents accepted it, and these hold what they have
        intent = parse_intent(document.document.encode(), document.revision)
        return intent.counted(host, assignment, document.epoch).revision
    return assignment.revision


def time_swarm(manager: Host, timings: Timings) -> None:
    """`docker swarm update` with that heartbeat."""
    manager.exec("docker", "swarm", "update", "--dispatcher-heartbeat", f"{timings.heartbeat_s}s")


def running_on(host: Host, *, everything: bool = False) -> Iterable[Running]:
    """The containers of one host."""
    for found in host.docker.api.containers(all=everything):
        try:
            seen = host.docker.api.inspect_container(found["Id"])
        except NotFound:  # removed since
            continue
        yield Running(
            host=host.name,
            name=seen["Name"].lstrip("/"),
            id=seen["Id"],
            status=seen["State"]["Status"],
            started_at=seen["State"]["StartedAt"],
            image=seen["Config"]["Image"],
        )


def package(base: str, tree: Path = ROOT) -> Path:
    """The .deb of a tree for hosts of a base, built if it changed."""
    command = [str(tree / "script/package"), "--base", base]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return Path(built.stdout.strip().splitlines()[-1])
