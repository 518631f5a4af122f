"""A port that one edit gives from one service to another: the new owner waits, and loses nothing while it does."""

import json
import time
from functools import partial

import pytest

from integration.cluster import EXAMPLE, Cluster, running_on
from integration.lab.eventually import eventually
from integration.lab.host import Host

GRACE_S = 8
CONVERGE_S = 120
GAP_S = GRACE_S / 2
"""A replica that is stopped before its port is free is away for more than the grace period of the other one."""
HOSTS = ("node-231", "node-232")
GIVEN, OWN = 8096, 8097
SERVICES = """\
  till:
    <<: *service
    image: 10.159.62.231/somecom/order:1.0.0
    x-hosts: [node-231, node-232]
    command: [sh, -c, "trap '' TERM; while :; do sleep 1; done"]
    stop_grace_period: {grace}s
{till}    deploy: {{update_config: {{failure_action: rollback, monitor: 3s}}}}
  shop:
    <<: *service
    image: 10.159.62.231/somecom/order:1.0.0
    x-hosts: [node-231, node-232]
{shop}    deploy: {{update_config: {{failure_action: rollback, monitor: 3s}}}}
"""


def document(*, till: str = "", shop: str = "") -> str:
    ports = {
        name: f'    ports: ["{port}"]\n' if port else "" for name, port in (("till", till), ("shop", shop))
    }
    return EXAMPLE + SERVICES.format(grace=GRACE_S, **ports)


def life(host: Host, service: str, since: int) -> list[tuple[str, float]]:
    """(event, seconds) for every start and end of a container of the service, in order."""
    filters = ["type=container", "event=start", "event=die", f"label=io.swarmkeeper.service={service}"]
    options = [word for each in filters for word in ("--filter", each)]
    said = host.exec(
        "docker",
        "events",
        f"--since={since}",
        f"--until={int(time.time()) + 1}",
        "--format={{json .}}",
        *options,
    )
    events = [json.loads(line) for line in said.stdout.splitlines()]
    return [(str(each["Action"]), each["timeNano"] / 1e9) for each in events]


def gap_s(host: Host, service: str, since: int) -> float:
    """The seconds for which no container of a service with one replica here ran."""
    (first, died), (second, started) = life(host, service, since)
    assert (first, second) == ("die", "start")
    return started - died


def answers(cluster: Cluster, host: str, port: int) -> bool:
    return cluster.lab.lan.http_get(f"http://{cluster.lab[host].address}:{port}/", timeout=3).status == 200


@pytest.mark.parametrize(
    ("before", "after", "serves"),
    [
        ({"till": f"{GIVEN}:80"}, {"shop": f"{GIVEN}:8080"}, GIVEN),
        (
            {"till": f"{GIVEN}:80", "shop": f"{OWN}:8080"},
            {"till": f"{OWN}:80", "shop": f"{GIVEN}:8080"},
            GIVEN,
        ),
    ],
    ids=["given", "swapped"],
)
def test_a_port_moves_to_a_service_that_runs_until_it_is_free(
    running: Cluster, before: dict[str, str], after: dict[str, str], serves: int
) -> None:
    running.wait_converged(running.put(document(**before)), CONVERGE_S)
    since = int(time.time())

    running.wait_converged(running.put(document(**after)), CONVERGE_S)

    assert {running.get(f"rollouts/{name}") for name in ("till", "shop")} == {None}
    gaps = {name: gap_s(running.lab[name], "shop", since) for name in HOSTS}
    print(f"\nshop was away for {gaps} s, the grace period of till is {GRACE_S} s")
    assert all(gap < GAP_S for gap in gaps.values()), gaps
    for name in HOSTS:
        here = {each.name for each in running_on(running.lab[name]) if "-shop-" in each.name}
        assert len(here) == 1
        eventually(partial(answers, running, name, serves), 30, f"shop answers at {serves} of {name}")
