"""A manager that is taken out of the document while its host has no power, and declared again when it has."""

from functools import partial

import pytest

from integration.cluster import UNIT, Cluster, running_on
from integration.lab.eventually import eventually
from integration.quorum import QuorumWatch
from integration.test_roles import (
    DOWN_S,
    ELECTED_S,
    GOOD,
    NAMES,
    ROLES_S,
    check_managers,
    others,
    without,
)

pytestmark = pytest.mark.every_base

BOOTED_S = 150
"""dockerd of a manager that its swarm removed looks for the others for more than a minute before it answers."""
LEAVES_BY_FORCE = "info leave by force swarm"


@pytest.mark.timeout(600)
def test_a_manager_that_was_taken_out_while_it_was_off_is_a_manager_again_when_it_is_put_back(
    cluster: Cluster,
) -> None:
    leader = str((cluster.get("leader") or {})["host"])
    name = others(leader)[-1]  # never the host with the registry
    host, stay = cluster.lab[name], [cluster.lab[each] for each in others(name)]
    old, since = cluster.status(host)["node_id"], host.exec("date", "+%F %T.%N").stdout.strip()
    before = {each: at for each, at in cluster.started().items() if not at.startswith(name)}

    def kept() -> dict[str, str]:
        running = {each.name: f"{each.host} {each.started_at}" for on in stay for each in running_on(on)}
        return {each: running.get(each, "") for each in before}

    with QuorumWatch(*stay) as watch:
        host.off()
        revision = cluster.put(without(name))

        def is_out() -> None:
            assert old not in {node["ID"] for node in cluster.lab[leader].docker.api.nodes()}

        eventually(is_out, DOWN_S, f"the record of {name} is removed")
        for each in stay:
            eventually(partial(cluster.check_converged, each, revision), DOWN_S, "the others converge")
        assert kept() == before

        host.switch_on()
        host.wait_up(BOOTED_S)
        cluster.wait_converged(cluster.put(GOOD), ROLES_S)
        check_managers(cluster, set(NAMES))
    print(f"\n{name} taken out without power and put back: {watch}")
    assert cluster.status(host)["node_id"] != old
    assert host.journal_text(UNIT, since).count(LEAVES_BY_FORCE) == 1
    assert kept() == before
    assert watch.answers
    assert watch.lost == []
    assert watch.longest_gap_s < ELECTED_S, str(watch)
