"""Steps that change docker_gwbridge under running containers, and the turn a host needs for that (docs/gwbridge.md)."""

from dataclasses import dataclass

from agent.model.intent import BridgeIntent, NetworkIntent
from agent.model.records import Disruption
from agent.model.spec import Pairs
from agent.model.steps.base import LEADER_BUDGET_S, BaseStep
from agent.model.steps.host import BRIDGE

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
