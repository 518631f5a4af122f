"""The ports that engines chose, as `status` shows them."""

from dataclasses import replace

from agent.conditions import conditions_of
from tests.support.cluster_states import NOW_S, STATES


def test_a_port_that_the_engine_chose_is_in_the_row_of_its_replica_and_in_the_notes_of_its_host() -> None:
    state = STATES["healthy"].cluster
    name, status = next((name, each) for name, each in state.statuses.items() if each.replicas)
    first = replace(status.replicas[0], ports=(("80/tcp", "32768"),))
    told = replace(status, replicas=(first, *status.replicas[1:]))
    found = conditions_of(replace(state, statuses={**state.statuses, name: told}), now_s=NOW_S)
    shown = {(each.service, each.slot): each.ports for each in found.replicas}
    assert shown[first.key] == (("80/tcp", "32768"),)
    assert not any(ports for key, ports in shown.items() if key != first.key)
    (host,) = [each for each in found.hosts if each.condition.name == name]
    assert f"{first.name} publishes 80/tcp on port 32768 of this host" in host.notes
    assert found.code == 0
