"""Steps on the containers of a host."""

from dataclasses import dataclass

from agent.model.intent import BridgeIntent, NetworkIntent
from agent.model.records import Copy, Disruption
from agent.model.spec import Attachment, ContainerSpec, Pairs
from agent.model.steps.base import LEADER_BUDGET_S, BaseStep
from agent.model.steps.host import BRIDGE


@dataclass(frozen=True, slots=True, kw_only=True)
class _ContainerStep(BaseStep):
    name: str
    """The container's name, `<project>-<service>-<number>`, or what it is called now."""
    kind = "container"

    @property
    def resource(self) -> str:
        return f"container/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateContainer(_ContainerStep):
    """`spec` has its placeholders filled in already; `copy` goes onto the labels."""

    copy: Copy
    project: str
    spec: ContainerSpec
    under: str = ""
    """The name it is made under while another container has its own; empty: its own."""
    verb, budget_s = "create", 30.0

    @property
    def made_as(self) -> str:
        return self.under or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer(_ContainerStep):
    verb, budget_s = "start", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpauseContainer(_ContainerStep):
    id: str
    verb = "unpause"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopContainer(_ContainerStep):
    id: str
    grace_s: float
    """After this long the engine kills it."""
    verb, budget_s = "stop", 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer(_ContainerStep):
    """Remove a stopped container of ours; its named volumes stay."""

    id: str
    verb, budget_s = "remove", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameContainer(_ContainerStep):
    """Give the container `id` its name. The id may be what it is called, where the id itself is not known yet."""

    id: str
    verb = "rename"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateContainer(_ContainerStep):
    """Put limits and restart policy right in place (`docker update`)."""

    id: str
    spec: ContainerSpec
    verb = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectNetwork(_ContainerStep):
    id: str
    attachment: Attachment
    aliases: tuple[str, ...]
    verb, budget_s = "connect", 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectNetwork(_ContainerStep):
    id: str
    network: str
    verb, budget_s = "disconnect", 60.0


# ----
# Steps that change docker_gwbridge under running containers, and the turn a host needs for that
# (docs/gwbridge.md).


TURN = "turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeTurn(BaseStep):
    """Take the turn that the leader offered as of `revision`."""

    turn: Disruption
    revision: int
    verb, kind, resource = "take", "gwbridge", TURN


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackTurn(BaseStep):
    """Say that the host is as it should be again."""

    turn: Disruption
    revision: int
    verb, kind, resource = "give back", "gwbridge", TURN


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferTurn(BaseStep):
    """Let one host be disturbed; `over` is the mod_revision of the turn that is over, 0: there was none."""

    host: str
    quorum: bool
    over: int
    lane, verb, kind, budget_s = "leader", "offer", "gwbridge", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"turn/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTurn(BaseStep):
    """Nobody is disturbed any more; `over` is the mod_revision of the turn that is over."""

    host: str
    over: int
    lane, verb, kind, budget_s = "leader", "end", "gwbridge", LEADER_BUDGET_S

    @property
    def resource(self) -> str:
        return f"turn/{self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _BridgeStep(BaseStep):
    kind, resource, barrier = "gwbridge", BRIDGE, True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateParking(_BridgeStep):
    """Make the temporary network."""

    network: NetworkIntent
    verb = "prepare"

    def __str__(self) -> str:
        return f"prepare network/{self.network.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Park(_BridgeStep):
    """Attach a container to the temporary network: its gateway leaves docker_gwbridge."""

    container: str
    name: str
    network: str
    verb, budget_s = "park", 30.0

    def __str__(self) -> str:
        return f"park container/{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapBridge(_BridgeStep):
    """Take the ingress sandbox off the old bridge, remove it and make the agreed one."""

    bridge: BridgeIntent
    old: tuple[str, ...]
    """Ids of every network named docker_gwbridge."""
    release: Pairs
    """(network id, endpoint) that are no running container's."""
    verb, budget_s = "swap", 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpark(_BridgeStep):
    """Take a container off the temporary network: its gateway comes back onto docker_gwbridge."""

    container: str
    name: str
    network: str
    verb, budget_s = "unpark", 30.0

    def __str__(self) -> str:
        return f"unpark container/{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveParking(_BridgeStep):
    """Remove the temporary network."""

    network: str
    verb = "clear"

    def __str__(self) -> str:
        return f"clear network/{self.network}: {self.reason}"
