"""A guard of the product that is broken is noticed by the histories, each time: else they would prove nothing.

The histories are those of fixed seeds, and of those kinds of events that the guard is about.
"""

import pytest

from tests.properties.simulation.guards import GUARDS, SAYS
from tests.properties.simulation.tell import tale, tell

MOST = 60
"""Histories within which it is noticed; it takes far fewer."""
FIRST_SEED = {"foreign": 40, "kept": 20, "quorum": 150}
"""Where it would take longer from 0 on: what it needs comes together seldom."""
HAPPENS = {
    "quorum": ("put", "put", "cut_from_the_swarm", "dockerd_goes", "dockerd_comes", "reached_again"),
    "fencing": ("put", "frozen_mid_write", "frozen", "take_lock"),
    "lease": ("put", "frozen_at_a_node"),
    "turn": ("put", "crash", "start"),
    "needs_disruption": ("put", "crash", "start"),
    "foreign": ("put", "runs_a_guest", "removes_a_worker"),
    "labels": ("runs_a_guest", "put"),
    "engine_up": ("dockerd_goes", "dockerd_comes"),
    "presence": ("killed", "start", "time_passes"),
    "kept": ("put", "docker_refuses", "round", "round", "round"),
}


@pytest.mark.parametrize("guard", sorted(GUARDS))
def test_a_broken_guard_is_noticed(guard: str) -> None:
    first = FIRST_SEED.get(guard, 0)
    seeds = range(first, first + MOST)
    told = [tale(seed, rare=HAPPENS[guard], likely=("round", "turn", "look", "work")) for seed in seeds]
    with GUARDS[guard]():
        said = next((what for each in told if SAYS[guard] in (what := tell(each, rests=False))), "")
    assert said, f"nothing was noticed in {MOST} histories"
