"""Steps of a host on itself: its docker_gwbridge, its membership, its networks, volumes and images."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Literal

from agent.model.intent import GWBRIDGE, BridgeIntent, NetworkIntent, VolumeIntent
from agent.model.records import Digests
from agent.model.spec import registry_of
from agent.model.steps.base import LEADER_BUDGET_S, BaseStep

BRIDGE = f"network/{GWBRIDGE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBridge(BaseStep):
    bridge: BridgeIntent
    verb, kind, resource, barrier = "create", "gwbridge", BRIDGE, True


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveBridge(BaseStep):
    """Remove a docker_gwbridge that is not as agreed. Only ever on a host outside a swarm."""

    id: str
    verb, kind, resource, barrier = "remove", "gwbridge", BRIDGE, True


@dataclass(frozen=True, slots=True, kw_only=True)
class InitSwarm(BaseStep):
    advertise: str
    pool: tuple[IPv4Network, ...]
    mask_length: int
    data_path_port: int | None
    # The call takes 0.6 s; the budget is what must be left of the lease, so that nobody else can init meanwhile.
    verb, kind, resource, barrier, budget_s = "init", "swarm", "swarm", True, LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpInit(BaseStep):
    """Give back the claim on the one `swarm init`, so that another host can make the swarm.

    The claimant's own step, on the resource of the init itself: never while one is under way.
    """

    over: int
    """mod_revision of the claim."""
    verb, kind, resource, barrier = "give up the init of", "swarm", "swarm", True


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSwarm(BaseStep):
    """Join through one of `remotes`, the first that answers. The token is read when it is needed."""

    role: Literal["manager", "worker"]
    advertise: str
    remotes: tuple[str, ...]
    token: str = field(repr=False)
    verb, kind, resource, barrier, budget_s = "join", "swarm", "swarm", True, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveSwarm(BaseStep):
    """Leave the swarm. Only ever by the leader's ruling, as a worker, with nothing running on an overlay; no force."""

    verb, kind, resource, barrier, budget_s = "leave", "swarm", "swarm", True, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DissolveSwarm(BaseStep):
    """Leave a swarm that came to nothing: made here for the cluster, recorded by nobody, and empty.

    Its only node can leave it by force alone, so the engine's door looks once more whether it is such a one.
    """

    swarm_id: str
    verb, kind, resource, barrier, budget_s = "dissolve", "swarm", "swarm", True, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetwork(BaseStep):
    """A network of this host alone."""

    network: NetworkIntent
    verb, kind = "create", "network"

    @property
    def resource(self) -> str:
        return f"network/{self.network.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume(BaseStep):
    volume: VolumeIntent
    verb, kind = "create", "volume"

    @property
    def resource(self) -> str:
        return f"volume/{self.volume.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveDigests(BaseStep):
    """Ask the registries which bytes tags are, through the leader's engine, and note it for this document.

    A leader's step in the lane of pulls: a registry may take its time, and the leader's other duties do not wait.
    """

    images: tuple[str, ...]
    known: Digests
    """What was noted before, less what no longer counts: the answers are added to it."""
    over: int
    """mod_revision of the digests that are there; 0: none are."""
    lane, verb, kind, resource, budget_s = "pull", "resolve", "image", "digests", LEADER_BUDGET_S


@dataclass(frozen=True, slots=True, kw_only=True)
class PullImage(BaseStep):
    """Pulls touch no network and take their time: they wait for nobody's barrier, and have a limit of their own."""

    image: str
    lane, verb, kind, budget_s = "pull", "pull", "image", 3600.0

    @property
    def resource(self) -> str:
        return f"image/{self.image}"

    @property
    def door(self) -> str:
        return f"registry/{registry_of(self.image)}"
