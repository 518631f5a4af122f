"""Reads etcd as `swarmkeeper status` does, and compares what it would print with the simulated world."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent.cli.connect import Connection
from agent.conditions import ClusterConditions, conditions_of
from agent.errors import Invalid
from tests.fakes.store import FakeStore
from tests.properties.simulation.documents import parse_remembered
from tests.properties.simulation.truth import Difference, at_work, differences
from tests.properties.simulation.world import World
from tests.support.simulated_cluster import KEYS, TTL_S

PASS_S = 5.0
"""Seconds after which agents that all make passes have reported a change."""
LEASE_S = TTL_S + PASS_S
"""Seconds after which the presence of an agent that makes no passes has expired."""
NAMED_S = 120.0
"""Seconds after which a fault that persists is a problem, and not progress any more."""


class _Since(NamedTuple):
    at: float
    rounds: int


class StatusWatch:
    """Follows the differences between the world and its document, and looks for a status that contradicts them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._connection = Connection(store=FakeStore(world.etcd), keys=KEYS)
        self._since: dict[Difference, _Since] = {}
        self._rounds = 0
        self.conditions = self._read()

    def round_ends(self) -> None:
        """Count a round in which the agent of every host made a pass and etcd answered it."""
        self._rounds += 1

    def look(self) -> Iterator[str]:
        """Yield what the status says now although the world has contradicted it for longer than reports take."""
        world, self.conditions = self._world, self._read()
        found = {*self._differences(), *self._too_many_ready()}
        known = {each: since for each, since in self._since.items() if each in found}
        now = _Since(world.clock(), self._rounds)
        self._since = known | dict.fromkeys(sorted(found - known.keys()), now)
        for each, since in self._since.items():
            if self._is_late(since) and (self.conditions.converged or each.what.startswith("ready: ")):
                yield f"status: {self.conditions.cluster.text!r}, for {world.clock() - since.at:g} s {each}"

    def unnamed(self) -> Iterator[str]:
        """Yield the differences that have persisted for minutes and that no problem contains."""
        told = "\n".join(_texts(self.conditions))
        for each, since in self._since.items():
            named = each.resource in told or (each.or_else and each.or_else in told)
            if self._world.clock() - since.at >= NAMED_S and not named:
                yield f"no problem names {each}: {self.conditions.cluster.text!r}; problems: {told!r}"

    def _read(self) -> ClusterConditions:
        return conditions_of(self._connection.read(), now_s=self._world.clock())

    def _differences(self) -> Iterable[Difference]:
        accepted = self._world.accepted()
        if accepted is None:
            return ()
        try:
            intent = parse_remembered(accepted.document.encode(), accepted.revision)
        except Invalid:
            return ()
        return differences(self._world, intent)

    def _too_many_ready(self) -> Iterator[Difference]:
        for each in self.conditions.services:
            name = each.condition.name
            if each.ready > (count := at_work(self._world, name)):
                yield Difference(name, f"ready: {each.ready}, {count} run")

    def _is_late(self, since: _Since) -> bool:
        """Return True if the agents have had the time to report a difference, or their leases to expire."""
        age_s = self._world.clock() - since.at
        seen = age_s >= PASS_S and self._rounds >= since.rounds + 2
        return seen or age_s > LEASE_S


def _texts(conditions: ClusterConditions) -> Iterator[str]:
    for problem in conditions.problems:
        for each in (problem.condition, *problem.consequences):
            yield f"{each.key} {each.text}"
