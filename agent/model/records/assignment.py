"""What a host is told to run."""

from dataclasses import dataclass

from agent.model.spec import Pairs


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Copy:
    """One copy of a service: its number is unique within the service, its spec is named by hash."""

    service: str
    number: int
    spec: str
    addresses: Pairs = ()
    """(overlay, IPv4 address) that the leader has pinned for it. It keeps them from container to container."""
    held: str = ""
    """Why it must not be started yet, in words: somebody else still has its address, or another host still has it."""
    waits: str = ""
    """Why it must not be started for the first time yet, in words: what it depends on is not as far."""
    anew: Pairs = ()
    """(id of a container of it, why that has to be made anew): the swarm gave its address to another one, too."""

    @property
    def made_as(self) -> "Copy":
        """As the labels of its container name it: without what may change while that stays."""
        return Copy(service=self.service, number=self.number, spec=self.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The copies one host shall run, by the intent of `revision`. An empty one asks for none."""

    revision: int
    project: str
    copies: tuple[Copy, ...] = ()
    era: int = 0
    """As in Accepted: what counts more is of a later era, or within one of a later revision."""
    pending: tuple[str, ...] = ()
    """Services with a copy here that is not as that intent says (yet): a rollout moves it in its turn, or went back."""
