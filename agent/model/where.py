"""Where copies may run whose hosts the leader chooses: `deploy.placement`."""

from dataclasses import dataclass

from agent.model.spec import Pairs

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
