"""Statements about the cluster, each judged by a reading before it and one at least 5 s after it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from integration.judge.reading import Reading, read
from integration.judge.verdict import Wanted, contradictions, services_without_replica
from integration.lab.host import Host

AFTER_S, PAGES_S = 5.0, 2.0
"""`status` reads etcd itself. The page of an agent tells what its last pass saw, and shows an edit that much later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the product said between two moments of the monotonic clock."""

    began: float
    ended: float
    says_converged: bool
    """`status -o json` says Converged."""
    calls_well: Mapping[str, str]
    """Other witnesses that call something well, by name: the host that they call well; empty: the whole cluster."""
    alerts: int | None = None
    """How many alerts are pending or firing; None: nobody watches."""
    first_line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A witness calls well what both readings contradict."""

    moment: float
    witness: str
    contradictions: tuple[str, ...]
    first_line: str

    def __str__(self) -> str:
        return (
            f"{self.witness} at {self.moment:.1f} s ({self.first_line!r}): {'; '.join(self.contradictions)}"
        )


@dataclass(slots=True)
class Session:
    """The statements and readings of one edit or fault, in which the document does not change."""

    wanted: Wanted
    hosts: list[Host]
    notice_s: float = 0.0
    """The first reading is at least that much earlier than a statement: nobody notices a fault at once."""
    readings: list[Reading] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)

    def collect(self, ask: Callable[[], Statement], for_s: float) -> None:
        """Read, ask, read, ask, and so on; a last reading comes AFTER_S after the last statement."""
        self.readings.append(read(self.hosts))
        until = time.monotonic() + for_s
        while True:
            self.statements.append(ask())
            self.readings.append(read(self.hosts))
            if time.monotonic() >= until:
                break
        last = self.statements[-1].ended
        time.sleep(max(0.0, last + AFTER_S - time.monotonic()))  # that much later is what the judge is about
        self.readings.append(read(self.hosts))

    def judged(self, notice_s: float = 0.0) -> list[tuple[Statement, frozenset[str], frozenset[str]]]:
        """Each statement with what contradicts the document, and with the services that are down, in both readings."""
        judged, notice_s = [], max(notice_s, self.notice_s)
        for each in self.statements:
            before = [reading for reading in self.readings if reading.ended <= each.began - notice_s]
            after = [reading for reading in self.readings if reading.began >= each.ended + AFTER_S]
            if before and after:
                pair = (before[-1], after[0])
                broken = frozenset.intersection(*(contradictions(self.wanted, one) for one in pair))
                down = frozenset.intersection(*(services_without_replica(self.wanted, one) for one in pair))
                judged.append((each, broken, down))
        return judged

    def noticed_s(self) -> float:
        """Return after how long a statement still said Converged, though each reading from the first on contradicts."""
        latest = 0.0
        for each in self.statements:
            until = [reading for reading in self.readings if reading.began <= each.ended + AFTER_S]
            after = [reading for reading in self.readings if reading.began >= each.ended + AFTER_S]
            so_far = [contradictions(self.wanted, one) for one in (*until, *after[:1])]
            if each.says_converged and after and frozenset.intersection(*so_far):
                latest = max(latest, each.ended - self.readings[0].ended)
        return latest

    def violations(self) -> list[Violation]:
        """Return every witness that calls well what the judge calls broken."""
        return [
            Violation(
                moment=each.began, witness=name, contradictions=tuple(reasons), first_line=each.first_line
            )
            for pages in (False, True)
            for each, broken, _ in self.judged(PAGES_S if pages else 0.0)
            for name, host in _witnesses(each).items()
            if pages == (name in each.calls_well)
            and (reasons := sorted(one for one in broken if not host or one.startswith(f"{host}: ")))
        ]


def _witnesses(statement: Statement) -> Mapping[str, str]:
    status = {"status": ""} if statement.says_converged else {}
    return {**status, **statement.calls_well}
