"""States of hosts without power: one for minutes, and two of three, which take the majority of etcd along."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from integration.cluster import Cluster
from integration.lab.eventually import eventually
from integration.states.state import CRITICAL, UNKNOWN, State
from integration.timings import TIMINGS

LONG = bool(os.environ.get("SWARMKEEPER_LONG"))
OFF_S = 6 * 60.0 if LONG else 0.0
"""How long the host is without power before its state is read: an age has to be shown by then."""


@contextmanager
def off(cluster: Cluster, *names: str, for_s: float = 0.0) -> Iterator[None]:
    """No power on these hosts, until their leases have ended and for that long."""
    hosts = [cluster.lab[name] for name in names]
    for host in hosts:
        host.off()
    try:
        if len(names) == 1:
            gone = partial(_is_gone, cluster, names[0])
            eventually(gone, TIMINGS.session.ttl_s + 30, f"the lease of {names[0]} ends")
        time.sleep(for_s)  # the age is what is asked for
        yield
    finally:
        for host in hosts:
            host.switch_on()
        for host in hosts:
            host.wait_up()


def _is_gone(cluster: Cluster, name: str) -> bool:
    return cluster.get(f"hosts/{name}/presence") is None


STATES = (
    State(
        name="host-off",
        done="node-232, which alone runs `billing`, loses its power.",
        fault=lambda cluster: off(cluster, "node-232", for_s=OFF_S),
        cause="host/node-232",
        reason="Unreachable",
        state="Unknown",
        code=CRITICAL,
        first=("node-232", "unreachable for", "billing"),
        follows=("(replica|service)/billing.*",),
        more=(("ps",), ("services",), ("hosts",), ("describe", "billing-1"), ("describe", "node-232")),
        core=True,
    ),
    State(
        name="two-hosts-off",
        done="node-232 and node-233 lose their power, and with them etcd and the swarm their majority.",
        fault=lambda cluster: off(cluster, "node-232", "node-233"),
        reason="StoreUnreachable",
        state="Unknown",
        code=UNKNOWN,
        first=("etcd",),
        led=False,
        within_s=120,
    ),
)
