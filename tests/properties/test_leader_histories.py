"""What the leader keeps from one pass to the next changes no decision, whatever happens in between."""

import copy
from dataclasses import replace
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.observe.observer import ReplicaWatcher
from agent.planner.leader.host_picker import HostPicker
from agent.planner.leader.leading import plan_leading
from agent.planner.leader.rescheduler import ReplicaScheduler
from tests.support.leader_histories import LeaderHistory
from tests.support.thoroughness import examples

PASSES = 12


@settings(max_examples=examples(60, 1000), deadline=None)
@given(st.integers(0, 1_000_000))
def test_records_of_earlier_passes_lead_to_the_plan_and_the_timers_of_fresh_ones(seed: int) -> None:
    history = LeaderHistory(seed)
    watcher, resigned = ReplicaWatcher(history.clock), 0
    for seen, plan in history.views(PASSES, plan_leading):
        # A copy has the fields of the records, and nothing that was derived from them.
        fresh = copy.deepcopy(seen.cluster)
        if history.resigned > resigned:
            watcher.look(None)
            resigned = history.resigned
        watches = watcher.look(fresh)
        assert dict(watches) == dict(seen.watches)
        assert plan_leading(replace(seen, cluster=fresh, watches=watches)) == plan


@settings(max_examples=examples(60, 1000), deadline=None)
@given(st.integers(0, 1_000_000))
def test_what_is_passed_over_because_nothing_changes_it_would_be_decided_the_same(seed: int) -> None:
    history = LeaderHistory(seed)
    for seen, plan in history.views(PASSES, plan_leading):
        limited = patch.object(HostPicker, "is_limited", lambda *_: True)
        with limited, patch.object(ReplicaScheduler, "is_as_assigned", False):
            assert plan_leading(seen) == plan
