"""What agents of a simulated cluster take, as lines of JSON: one size and one group of measures in a process.

Run as `bench.scale_simulated GROUP HOSTS SECONDS`. It runs on whichever tree has `agent` and `tests` in PYTHONPATH.
"""

import gc
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import structlog

from bench.scale_cluster import Look, ScaleAgent, ScaleCluster, settled
from bench.scale_document import REPLICAS
from bench.scale_table import said
from tests.support.simulated_cluster import KEYS

ROUNDS = 5
DAY_S = 86400.0
SETTLE_S = 120.0
"""Simulated seconds after an edit, in which it is carried out; and the time that `LOST_S` plus its return get."""
LOST_S = 50.0
"""Shorter than policy.reschedule_after: no replica moves."""
IDLE_S = 600.0
"""Twice the age at which a status is written again."""


# ---- a cluster at rest


def rest(hosts: int, most_s: float) -> None:
    """Passes of a leader and of a plain host, sizes, writes, and what an idle cluster takes."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = settled(Path(directory), hosts)
        passes(cluster)
        sizes(cluster)
        writes(cluster)
        idle(cluster, most_s)


def passes(cluster: ScaleCluster) -> None:
    """Of a leader at rest, after one status has changed, and of a plain host."""
    leader, plain = cluster.leader, cluster.plain()
    assert leader is not None
    at_rest = [leader.pass_for(frozenset({"hosts: watch: change"})) for _ in range(ROUNDS)]
    changed, told = [], []
    for _ in range(ROUNDS):
        before = cluster.etcd.puts["hosts/status"]
        restart_one(cluster, plain)
        told.append(plain.pass_for(frozenset({"container die"})))
        assert cluster.etcd.puts["hosts/status"] > before, "the status has not changed"
        changed.append(leader.pass_for(frozenset({"hosts: watch: change"})))
    resync = [plain.pass_for(frozenset({"resync"})) for _ in range(ROUNDS)]
    said("leader, a status changed: ms", milliseconds(changed))
    said("leader, a status changed: bytes read", changed[-1].read_bytes)
    said("leader, nothing changed: ms", milliseconds(at_rest))
    said("plain host, resync: ms", milliseconds(resync))
    said("plain host, resync: bytes read", resync[-1].read_bytes)
    said("plain host, a container changed: ms", milliseconds(told))
    for agent in (leader, plain):
        agent.wake.wait(0.0, 0.0)


def restart_one(cluster: ScaleCluster, agent: ScaleAgent) -> None:
    """A container of the host restarts: its report changes, and nothing is to be done."""
    raws = cluster.hosts[agent.name].engine.by_hand.raws
    raw = next(each for each in raws.values() if each["State"]["Status"] == "running")
    raw["RestartCount"] = raw.get("RestartCount", 0) + 1


def milliseconds(looks: list[Look]) -> float:
    return median(each.seconds for each in looks) * 1000


def sizes(cluster: ScaleCluster) -> None:
    def of(name: str) -> int:
        found = cluster.read(KEYS.status(name))
        return len(found.value) if found else 0

    said("status of a plain host: bytes", of(cluster.plain().name))
    said("status of a manager: bytes", max(map(of, cluster.managers)))
    said("all keys: bytes", cluster.etcd.total_bytes())


def writes(cluster: ScaleCluster) -> None:
    """Puts for a host that goes and comes, and for edits."""
    cluster.run(SETTLE_S)
    lost = cluster.plain()
    with counted(cluster, "a host goes"):
        cluster.cut(lost.name)
        cluster.run(LOST_S)
    with counted(cluster, "a host comes back"):
        cluster.heal(lost.name)
        cluster.run(SETTLE_S)
    with counted(cluster, "a comment is edited"):
        cluster.put_document(cluster.document(comment="# a comment"))
        cluster.run(SETTLE_S)
    with counted(cluster, "a service on 3 hosts is edited"):
        cluster.put_document(cluster.document(comment="# a comment", tag="1.0.1"))
        cluster.run(SETTLE_S)


@contextmanager
def counted(cluster: ScaleCluster, what: str) -> Iterator[None]:
    """Print the puts meanwhile; those of the document itself not."""
    before, size, looks = cluster.etcd.puts.copy(), cluster.etcd.put_bytes, len(cluster.looks)
    yield
    puts = Counter(cluster.etcd.puts)
    puts.subtract(before)
    puts["intent"] = 0
    said(f"{what}: puts", puts.total())
    said(f"{what}: bytes put", cluster.etcd.put_bytes - size)
    said(f"{what}: passes", len(cluster.looks) - looks)
    for kind, count in sorted((+puts).items()):
        said(f"{what}: puts of {kind}", count)


def idle(cluster: ScaleCluster, most_s: float) -> None:
    """A cluster to which nothing happens, whose agents have started at different times."""
    cluster.skip(IDLE_S / 2)
    cluster.spread(IDLE_S / 2)
    cluster.run(40)
    cluster.looks.clear()
    puts, size, read = cluster.etcd.puts.total(), cluster.etcd.put_bytes, cluster.read_bytes()
    passed_s = cluster.run(IDLE_S, most_s=most_s)
    said("idle: simulated seconds", passed_s)
    said("idle: puts a day", (cluster.etcd.puts.total() - puts) / passed_s * DAY_S)
    said("idle: bytes put a day", (cluster.etcd.put_bytes - size) / passed_s * DAY_S)
    said("idle: bytes read a day", (cluster.read_bytes() - read) / passed_s * DAY_S)
    led = [each for each in cluster.looks if each.leads]
    said("idle: leader's passes a minute", len(led) / passed_s * 60)
    said("idle: leader, percent of a core", sum(each.seconds for each in led) / passed_s * 100)
    others = [each.seconds for each in cluster.looks if not each.leads]
    count = max(1, len(cluster.names) - 1)
    said("idle: plain host, percent of a core", sum(others) / count / passed_s * 100)


# ---- from nothing


def boot(hosts: int, most_s: float) -> None:
    """From nothing to every replica running, in simulated time, with the leader's own placement."""
    with tempfile.TemporaryDirectory() as directory:
        cluster = ScaleCluster(Path(directory), hosts)
        cluster.put_document(cluster.document())
        began = time.process_time()
        # A collection looks at the agents of all hosts, and would count for the one in whose pass it happens.
        gc.disable()

        def rests() -> bool:
            gc.collect()
            gc.freeze()
            return cluster.carried_out()

        cluster.start(cluster.names)
        passed_s = cluster.run(1800, rests, most_s)
        done = cluster.carried_out()
        said("boot: not converged", float(not done))
        said("boot: replicas that run, percent", cluster.running() / (hosts * REPLICAS) * 100)
        said("boot: simulated seconds", passed_s)
        said("boot: longest pass, seconds", max(each.seconds for each in cluster.looks))
        said("boot: passes", len(cluster.looks))
        said("boot: bytes read", cluster.read_bytes())
        said("boot: bytes pushed", cluster.etcd.pushed_bytes)
        said("boot: puts", cluster.etcd.puts.total())
        said("boot: agents' seconds of processor", sum(each.seconds for each in cluster.looks))
        said("boot: leader's seconds of processor", sum(e.seconds for e in cluster.looks if e.leads))
        said("boot: seconds of processor, all", time.process_time() - began)


GROUPS: dict[str, Callable[[int, float], None]] = {"rest": rest, "boot": boot}


def main(group: str, hosts: str, most_s: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    GROUPS[group](int(hosts), float(most_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
