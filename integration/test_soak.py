"""Random faults for a while, with a client and invariants that are looked at each second."""

import os
import random

import pytest

from integration.conftest import LONG_ONLY
from integration.lab.lab import Lab
from integration.soak.run import Soak
from tests.support.reliability import SECONDS, RecordProperty

pytestmark = LONG_ONLY

MINUTES = 10
SEED = int(os.environ.get("SWARMKEEPER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)


@pytest.mark.fault("the faults of a soak, at random one after the other, and an edit each minute")
@pytest.mark.timeout(60 * (MINUTES + 12))
def test_no_invariant_is_violated_by_random_faults(fresh_lab: Lab, record_property: RecordProperty) -> None:
    outcome = Soak(fresh_lab, MINUTES, SEED).run()
    print(f"\n{outcome}")
    for each in outcome.faults:
        if each.recovered is not None:
            record_property(SECONDS, each.recovered - each.healed)
    assert not outcome.violations, outcome
