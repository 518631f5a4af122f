"""Each state of a cluster, brought about by real faults: status, its check, JSON and metrics name it and its cause.

`script/test --record` writes what `status` shows to docs/states. The core states run always, the others in the long
mode. They share one cluster: each is undone, and the next begins when all has converged again.
"""

from functools import partial

import pytest

from integration import recorder, shown
from integration.cluster import EXAMPLE, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.states import STATES
from integration.states.state import State, check_shown

BACK_S = 240


def parameters() -> list[object]:
    return [pytest.param(each, id=each.name, marks=() if each.core else (LONG_ONLY,)) for each in STATES]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("state", parameters())
def test_a_state_is_shown_with_its_cause_first(cluster: Cluster, state: State) -> None:
    with state.fault(cluster):
        if state.document != EXAMPLE:
            cluster.put(state.document)
        seen = eventually(partial(is_shown, cluster, state), state.within_s, f"{state.name} is shown")
        shown.check_tables(seen)
        if state.led:
            eventually(partial(is_measured, cluster, state), state.within_s, "the leader's metrics say it")
        more = [shown.capture(cluster.lab[state.asked], *each) for each in state.more]
        for each in more:
            assert each.code == 0, each
            assert state.reason in each.output, each
            assert all(len(line) <= recorder.COLUMNS for line in each.output.splitlines()), each
        shown.record(state.name, state.done, seen, more=more)
    back(cluster)


def is_shown(cluster: Cluster, state: State) -> shown.Shown:
    seen = shown.look(cluster.lab[state.asked])
    check_shown(state, seen)
    return seen


def is_measured(cluster: Cluster, state: State) -> None:
    if state.fades:
        return
    metrics = shown.leaders_metrics(cluster)
    reason = "" if "|" in state.reason or "." in state.reason else state.reason
    shown.check_metrics(metrics, converged=state.is_well, state=state.state, reason=reason)


def back(cluster: Cluster) -> None:
    """Return when the example is carried out again; a paused rollout ends with the document before it."""
    cluster.wait_converged(cluster.put_unless_accepted(EXAMPLE), BACK_S)
