"""What only an inspect or the swarm's managers tell of an overlay. Asked seldom: it changes seldom, and is not free."""

from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from agent.clients.docker import Engine
from agent.diff.networks import asks_for_addresses, is_ours, overlay_faults
from agent.errors import Refused, Unreachable
from agent.model.host_state import ContainerState, GivenOut, NetworkState
from agent.model.intent import NetworkIntent
from agent.model.observed import ClusterState
from agent.model.spec import Pairs

LOOK_S = 10.0
"""How long an answer is believed while nothing depends on it."""

T = TypeVar("T")


class OverlayReader:
    """Adds peers, users and holders of addresses to the overlays of a host. `clock` gives monotonic seconds."""

    def __init__(self, engine: Engine, me: str, clock: Callable[[], float]) -> None:
        self._engine, self._me = engine, me
        self._peers: _Answers[tuple[str, ...]] = _Answers(engine.overlay_peers, clock)
        self._users: _Answers[Pairs] = _Answers(engine.overlay_users, clock)
        self._given_out: _Answers[GivenOut] = _Answers(engine.overlay_addresses, clock)

    def read(
        self,
        networks: tuple[NetworkState, ...],
        containers: tuple[ContainerState, ...],
        cluster: ClusterState | None,
    ) -> tuple[NetworkState, ...]:
        """The declared overlays among `networks`: with peers where our `containers` are, with users on the leader."""
        intent = cluster.accepted if cluster else None
        if cluster is None or intent is None:
            return networks
        wanted = {each.name: each for each in intent.networks if each.driver == "overlay"}
        used = {name for each in containers for name, address in each.addresses if address}
        # While hosts are disturbed one after the other, the next one waits for what is seen now.
        believed_s = 0.0 if cluster.disruption else LOOK_S
        for answers in (self._peers, self._users, self._given_out):
            answers.forget_all_but({each.id for each in networks})
        read = [
            self._with_peers(each, believed_s) if each.name in used & wanted.keys() else each
            for each in networks
        ]
        if cluster.leader == self._me:
            asked = asks_for_addresses(intent)
            read = [self._with_users(each, wanted.get(each.name)) for each in read]
            read = [self._with_holders(each) if each.name in asked else each for each in read]
        return tuple(read)

    def _with_peers(self, network: NetworkState, believed_s: float) -> NetworkState:
        return replace(network, peers=self._peers.get(network.id, believed_s) or ())

    def _with_users(self, network: NetworkState, wanted: NetworkIntent | None) -> NetworkState:
        if wanted is None or network.driver != "overlay" or not is_ours(wanted, network):
            return network
        believed_s = 0.0 if overlay_faults(wanted, network) else LOOK_S
        return replace(network, users=self._users.get(network.id, believed_s) or ())

    def _with_holders(self, network: NetworkState) -> NetworkState:
        if network.driver != "overlay":
            return network
        return replace(network, holders=self._given_out.get(network.id, LOOK_S))


class _Answers(Generic[T]):
    """The last answer about each network."""

    def __init__(self, ask: Callable[[str], T], clock: Callable[[], float]) -> None:
        self._ask, self._clock = ask, clock
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, network_id: str, believed_s: float) -> T | None:
        """The answer, at most `believed_s` old; None where dockerd gives none, as without a quorum."""
        now = self._clock()
        if network_id not in self._known or now - self._known[network_id][0] >= believed_s:
            self._known.pop(network_id, None)
            try:
                self._known[network_id] = now, self._ask(network_id)
            except (Unreachable, Refused):
                return None
        return self._known[network_id][1]

    def forget_all_but(self, network_ids: set[str]) -> None:
        for each in self._known.keys() - network_ids:
            del self._known[each]
