"""What a person or a machine does to one host in a trial, beside the faults of a soak: at once, and undone after it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from integration.cluster import UNIT, running_on
from integration.lab.host import Host
from integration.soak.faults import FAULTS, Fault
from integration.timings import TIMINGS

HOLDS_S = (2.0, 8.0)
NOTICE_S = 2.0
SILENT_S = TIMINGS.session.ttl_s + 3
"""Nobody can tell that a host is gone before its lease ends."""
FROZEN_S = 60.0
"""A dockerd that accepts a request and does not answer is one that is busy, until the request times out."""
IMAGE = "10.159.62.231/somecom/order:1.0.0"
EXTRA = "prod-order-9"
NETWORK = "my-network-overlay"
ENGINE = ("docker.socket", "docker")


def nothing(_host: Host, _other: Host, _chance: random.Random) -> None:
    """Undo nothing: the agents do."""


Action = Callable[[Host, Host, random.Random], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`begin` and `end` are given the host that it happens to, another one, and the chance of the trial."""

    name: str
    begin: Action
    end: Action = nothing
    notice_s: float = NOTICE_S
    """So long the product may need to notice it: what it says before is not judged, but measured."""


def _replica(host: Host, chance: random.Random) -> str:
    """The name of a replica that runs on the host."""
    names = sorted(each.name for each in running_on(host) if each.name.startswith("prod-"))
    return chance.choice(names) if names else "prod-none-1"


def of_replica(*command: str) -> Action:
    """`docker ... <replica>` by hand, which may fail: the replica may be gone by then."""

    def run(host: Host, _other: Host, chance: random.Random) -> None:
        words = [each.replace("REPLICA", _replica(host, chance)) for each in command]
        host.exec("docker", *words, check=False)

    return run


def on_host(*command: str) -> Action:
    """Run a command on the host."""

    def run(host: Host, _other: Host, _chance: random.Random) -> None:
        host.exec(*command, check=False, timeout=120)

    return run


def _extra(host: Host, _other: Host, _chance: random.Random) -> None:
    """Create a container that says it is ours, as a restored backup of a host may."""
    labels = [
        f"--label={key}={value}"
        for each in host.docker.containers.list()
        if str(each.name).startswith("prod-order-")
        for key, value in each.labels.items()
        if key.startswith("io.swarmkeeper.")
    ]
    host.exec("docker", "run", "-d", f"--name={EXTRA}", *labels, IMAGE, check=False)


def _switch_on(host: Host, _other: Host, _chance: random.Random) -> None:
    host.boot()


def _adapted(change: Callable[[Host, Host], None]) -> Action:
    return lambda host, other, _chance: change(host, other)


def _notice_s(fault: Fault) -> float:
    if fault.name == "dockerd frozen":
        return FROZEN_S
    return SILENT_S if fault.ends_lease or "cut" in fault.name else NOTICE_S


BY_HAND = (
    Operation(name="kill a replica", begin=of_replica("kill", "REPLICA")),
    Operation(name="stop a replica", begin=of_replica("stop", "-t", "1", "REPLICA")),
    Operation(name="remove a replica", begin=of_replica("rm", "-f", "REPLICA")),
    Operation(name="pause a replica", begin=of_replica("pause", "REPLICA")),
    Operation(
        name="disconnect a replica", begin=of_replica("network", "disconnect", "-f", NETWORK, "REPLICA")
    ),
    Operation(name="rename a replica", begin=of_replica("rename", "REPLICA", "renamed")),
    Operation(name="an extra container", begin=_extra, end=on_host("docker", "rm", "-f", EXTRA)),
    Operation(
        name="dockerd stopped",
        begin=on_host("systemctl", "stop", *ENGINE),
        end=on_host("systemctl", "start", *ENGINE),
    ),
    Operation(
        name="agent stopped",
        begin=on_host("systemctl", "stop", UNIT),
        end=on_host("systemctl", "start", UNIT),
    ),
    Operation(
        name="host off",
        begin=lambda host, _other, _chance: host.off(),
        end=_switch_on,
        notice_s=SILENT_S,
    ),
)
BY_FAULT = tuple(
    Operation(name=each.name, begin=_adapted(each.begin), end=_adapted(each.end), notice_s=_notice_s(each))
    for each in FAULTS
    if not each.puts
)
"""The faults of a soak but for those that change the document: the judge goes by the one that was put."""


def choose(chance: random.Random) -> Operation:
    """By hand as often as by a fault of a soak."""
    return chance.choice(chance.choice((BY_HAND, BY_FAULT)))
