"""A swarm made by hand, with the docker_gwbridge that docker chose and containers of others, before any agent comes.

Every step of the agents is watched: no container may restart or be out of reach, and only the host that holds the
disruption slot may be disturbed.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from agent.errors import SwarmkeeperError
from agent.model.host_state import HostState, SwarmState
from agent.model.intent import GWBRIDGE, PARKING
from agent.model.plan import Step
from agent.model.records import Disruption
from agent.model.steps import Park, SwapBridge
from agent.planner.host.bridge_swap import needs_disruption
from tests.fakes.containers import Raw
from tests.support.document import EXAMPLE, document
from tests.support.simulated_cluster import (
    KEYS,
    NAMES,
    Crash,
    SimulatedCluster,
    SimulatedHost,
    parsed,
)
from tests.support.slot import slot_in

OVERLAY = "my-network-overlay"
AGREED = "172.21.0.0/20 172.21.0.1"
MOVED = document(cluster={"gwbridge": {"subnet": "172.29.0.0/20", "gateway": "172.29.0.1"}})
"""The same, with another subnet for docker_gwbridge."""
MOVED_TO = "172.29.0.0/20 172.29.0.1"
WITH_A_WORKER = document(roles={"node-233": "worker"})
GUESTS = ("their-web", "their-db", "their-job")


class LiveCluster(SimulatedCluster):
    """Three hosts in a swarm, on each three containers of others on the overlay and one beside it."""

    def __init__(self, directory: Path, text: str = EXAMPLE) -> None:
        super().__init__(directory, text)
        self.violations: list[str] = []
        self.disturbed: list[str] = []
        """Names of the hosts whose bridge was changed while it worked, in order."""
        self.swapped: list[str] = []
        """Names of the hosts whose bridge was recreated, for whatever reason."""
        self._intent = parsed(text)
        self._changing: set[str] = set()
        """Hosts that are in the middle of changing a bridge that worked."""
        self._lost: set[str] = set()
        self._join_by_hand()
        for host in self.hosts.values():
            self._settle_in(host)
        self.started = self.when_started()
        self.put_intent(text)

    # ---- what is done

    def start(self, *names: str, stepped: bool = True) -> None:
        super().start(*names, stepped=stepped)
        for name in names or NAMES:
            self.agents[name].before = partial(self._before, name)
            self.agents[name].after = self._after

    def round(self, *names: str, seconds: float = 1.0) -> None:
        """As it is, and fails when something was done that must not be."""
        super().round(*names, seconds=seconds)
        self.check()

    def put_intent(self, text: str = EXAMPLE) -> None:
        self._intent = parsed(text)
        super().put_intent(text)

    def by_hand(self, name: str, deed: Callable[[], object]) -> None:
        """Somebody does something on a host, and is told by docker when it cannot be done; who is restarted, is."""
        with suppress(SwarmkeeperError):
            deed()
        self.started = self.when_started()

    # ---- what is there

    def turn(self) -> Disruption | None:
        return slot_in(KEYS, self.read)

    def bridges(self) -> set[str]:
        """Subnet and gateway of docker_gwbridge as found on the hosts: one when it is the same everywhere."""
        found = [host.engine.nets.local.get(GWBRIDGE) for host in self.hosts.values()]
        return {f"{each.subnet} {each.gateway}" if each else "none" for each in found}

    def begun(self) -> list[str]:
        """Hosts on which something temporary is, or no bridge at all."""
        nets = {name: host.engine.nets.local for name, host in self.hosts.items()}
        return [name for name, local in nets.items() if PARKING in local or GWBRIDGE not in local]

    def when_started(self) -> dict[tuple[str, str], str]:
        """(host, name) -> when each container of others was started last."""
        return {
            (name, each): host.engine.by_hand.get(each)["State"]["StartedAt"]
            for name, host in self.hosts.items()
            for each in (*GUESTS, "aside")
        }

    def out_of_reach(self) -> list[str]:
        """Running containers of others that have no way out of their host."""
        return [
            f"{each} on {name}"
            for name, host in self.hosts.items()
            for each in (*GUESTS, "aside")
            if (raw := host.engine.by_hand.get(each))["State"]["Status"] == "running"
            and not host.engine.nets.leads_out(raw)
        ]

    def gateways_are_right(self) -> bool:
        """Whether every running container that needs a gateway has it on the docker_gwbridge of its host."""
        return all(_gateways_are_right(host) for host in self.hosts.values())

    def check(self) -> None:
        """What must be true at every moment."""
        assert not self.violations, "\n".join((*self.violations, self.told()))
        assert self.when_started() == self.started, "somebody was restarted"

    def check_done(self, bridge: str = AGREED) -> None:
        """What must be true in the end."""
        self.check()
        assert self.bridges() == {bridge}
        assert self.gateways_are_right()
        assert self.begun() == self.out_of_reach() == []
        assert self.turn() is None

    # ----

    def _join_by_hand(self) -> None:
        first, *others = self.hosts.values()
        engine, pool = first.engine, self._intent.swarm.default_addr_pool
        engine.init_swarm(
            advertise=engine.address,
            pool=pool,
            mask_length=self._intent.swarm.mask_length,
            data_path_port=None,
        )
        tokens = engine.swarm_tokens()
        roles = {each.name: each.role for each in self._intent.hosts}
        for host in others:
            token = tokens.manager if roles[host.name] == "manager" else tokens.worker
            host.engine.join_swarm(
                advertise=host.engine.address, remotes=[f"{engine.address}:2377"], token=token
            )
        engine.create_network(next(each for each in self._intent.networks if each.name == OVERLAY))

    def _settle_in(self, host: SimulatedHost) -> None:
        for number, name in enumerate(GUESTS):
            bindings = {"80/tcp": [{"HostIp": "", "HostPort": str(9000 + number)}]}
            host.engine.run_foreign(name, NetworkMode=OVERLAY, PortBindings=bindings)
        host.engine.run_foreign("aside", NetworkMode=OVERLAY)
        host.engine.by_hand.connect("aside", "bridge", {})
        host.engine.by_hand.pause(GUESTS[2])

    def _before(self, name: str, step: Step) -> None:
        """A bridge that works is changed by nobody but the host that holds the disruption slot."""
        self._lost = set(self.out_of_reach())
        if not isinstance(step, Park | SwapBridge):
            return
        if isinstance(step, SwapBridge):
            self.swapped.append(name)
        last = self.agents[name].observer._last
        intent = (last.accepted if last else None) or self._intent
        if not needs_disruption(intent, _seen(self.hosts[name])):
            return
        self._changing.add(name)
        disruption = self.turn()
        if disruption is None or (disruption.host, disruption.state) != (name, "acquired"):
            self.violations.append(
                f"{name} was disturbed by {step} while the disruption slot was {disruption}"
            )
        if isinstance(step, SwapBridge):
            self.disturbed.append(name)

    def _after(self, step: Step) -> None:
        if others := set(self.out_of_reach()) - self._lost:
            self.violations.append(f"out of reach after {step}: {', '.join(sorted(others))}")
        self._changing &= set(self.begun())
        if len(self._changing) > 1:
            self.violations.append(f"at the same time after {step}: {', '.join(sorted(self._changing))}")


def _seen(host: SimulatedHost) -> HostState:
    return HostState(
        engine_version="",
        live_restore=False,
        swarm=SwarmState(local="active"),
        networks=tuple(host.engine.nets.local.values()),
        bridge_link=host.kernel.link(GWBRIDGE),
    )


def _gateways_are_right(host: SimulatedHost) -> bool:
    nets, bridge = host.engine.nets, host.engine.nets.local.get(GWBRIDGE)
    raws = host.engine.by_hand.raws.values()
    needing = {raw["Id"] for raw in raws if raw["State"]["Status"] in ("running", "paused") and _alone(raw)}
    having = {whose for whose, _ in nets.gateways.of(bridge.id)} if bridge else set()
    return needing == having - {"ingress-sbox"}


def _alone(raw: Raw) -> bool:
    return list(raw["NetworkSettings"]["Networks"]) == [OVERLAY]


def crash(cluster: LiveCluster, name: str, after: int) -> bool:
    """Let an agent end after so many steps; False when it has come to rest before."""
    cluster.agents[name].crash_after(after)
    for _ in range(60):
        try:
            cluster.round()
        except Crash:
            cluster.lose_agent(name)
            return True
    return False
