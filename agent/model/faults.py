"""What is wrong with a document, where, and what to do about it: all of it at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.errors import Invalid
from agent.model.phrases import first_of
from agent.model.spec import Pairs

MOST_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong, and its place in the document. Lines and columns count from 1."""

    path: str
    """Where, in the document's own words: `services.order.ports[0].published`; empty: the whole of it."""
    value: str
    """What was written there, shortened; empty where it could be a secret."""
    problem: str
    remedy: str
    line: int
    column: int

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: "
        path = f"{self.path}: " if self.path else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{place}{path}{self.problem}{remedy}"


class InvalidDocument(Invalid):
    """A document with faults; `str` is one line for each, in the order of the document, led by `source` if given."""

    def __init__(self, faults: Iterable[Fault], source: str = "") -> None:
        self.source = source
        self.faults = tuple(sorted(faults, key=_place))
        super().__init__(self.faults)

    def __str__(self) -> str:
        lead = f"{self.source}: " if self.source else ""
        shown = [f"{lead}{each}" for each in self.faults]
        return "\n".join(first_of(shown, MOST_SHOWN, "... and {} more"))


def _place(fault: Fault) -> tuple[int, int, str, str]:
    return fault.line, fault.column, fault.path, fault.problem


# ---- Where copies may run whose hosts the leader chooses: `deploy.placement`


LABEL = "labels."


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What of a host, as the document declares it, is asked for."""

    hostname: str
    role: str
    labels: Pairs = ()

    def value(self, of: str) -> str | None:
        """What `hostname`, `role` or `labels.<name>` is here; None for a label that the host does not have."""
        if of.startswith(LABEL):
            return dict(self.labels).get(of.removeprefix(LABEL))
        return self.hostname if of == "hostname" else self.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """`node.<of> == value`, or `!=`. Upper and lower case are the same in values, as in Swarm."""

    of: str
    """hostname, role, or labels.<name>"""
    equal: bool
    value: str

    def met_by(self, host: Features) -> bool:
        """Whether it holds for a host; a label that is not there is equal to nothing."""
        found = host.value(self.of)
        return (found is not None and found.casefold() == self.value.casefold()) == self.equal

    def __str__(self) -> str:
        return f"node.{self.of} {'==' if self.equal else '!='} {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What `deploy.placement` says."""

    constraints: tuple[Constraint, ...] = ()
    spread: tuple[str, ...] = ()
    """`labels.<name>`, `hostname` or `role`: the copies are spread over its values; the first one counts most."""
    most_per_host: int | None = None
    """Copies of the service on one host; None: any number."""

    def unmet(self, host: Features) -> Constraint | None:
        """The first constraint that does not hold for a host; None: it may run copies."""
        return next((each for each in self.constraints if not each.met_by(host)), None)


ANYWHERE = Where()
