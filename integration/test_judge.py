"""An outside judge over random edits and faults: nothing is called well that docker shows to be broken."""

import os
import random
from pathlib import Path

import pytest

from integration import prometheus as real
from integration.cluster import EXAMPLE, Cluster
from integration.conftest import LONG_ONLY
from integration.judging.trial import Outcome, Trial

SEED = int(os.environ.get("SWARMKEEPER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
BATCHES, BATCH, FEW = 5, 40, 2
CONVERGE_S = 240


def check(outcome: Outcome) -> None:
    print(f"\n{outcome}")
    assert not outcome.violations, outcome
    assert not outcome.never_mended, outcome
    # A judge that finds nothing wrong, or is told nothing well, proves nothing.
    assert outcome.converged, outcome


@pytest.mark.timeout(600)
def test_a_few_edits_and_faults_are_told_as_they_are(cluster: Cluster) -> None:
    check(Trial(cluster, SEED).run(FEW))
    cluster.wait_converged(cluster.put(EXAMPLE), CONVERGE_S)


@LONG_ONLY
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_of_forty_edits_and_faults_none_is_called_well_while_docker_contradicts_it(
    cluster: Cluster, batch: int, tmp_path: Path
) -> None:
    with real.running(cluster.lab, tmp_path) as prometheus:
        outcome = Trial(cluster, SEED + batch, prometheus).run(BATCH)
    check(outcome)
    assert outcome.broken, outcome
    cluster.wait_converged(cluster.put(EXAMPLE), CONVERGE_S)
