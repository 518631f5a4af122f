"""Overlays: peers, users and addresses need an inspect, or an answer of the managers. They are cached."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Generic, TypeVar

from agent.clients.docker import Engine, OverlayPeers
from agent.diff.networks import asks_for_addresses, is_ours, overlay_differences
from agent.errors import Refused, Unreachable
from agent.model.host_state import ContainerState, GivenOut, NetworkState
from agent.model.intent import NetworkIntent
from agent.model.observed import ClusterState
from agent.model.spec import Pairs

LOOK_S = 10.0
"""Maximum age in seconds of a cached answer on which nothing depends."""

T = TypeVar("T")


class OverlayReader:
    """Adds peers, users and used addresses to the overlays of a host. `clock` returns monotonic seconds."""

    def __init__(self, engine: Engine, me: str, clock: Callable[[], float]) -> None:
        self._engine, self._me = engine, me
        self._peers: _Answers[OverlayPeers] = _Answers(engine.overlay_peers, clock)
        self._verbose: _Answers[OverlayPeers] = _Answers(partial(engine.overlay_peers, verbose=True), clock)
        self._users: _Answers[Pairs] = _Answers(engine.overlay_users, clock)
        self._given_out: _Answers[GivenOut] = _Answers(engine.overlay_addresses, clock)

    def read(
        self,
        networks: tuple[NetworkState, ...],
        containers: tuple[ContainerState, ...],
        cluster: ClusterState | None,
    ) -> tuple[NetworkState, ...]:
        """Return `networks` with what an inspect tells: of overlays of `containers` the peers and the own address.

        On the leader declared overlays have their users too.
        """
        intent = cluster.accepted if cluster else None
        if cluster is None or intent is None:
            return networks
        wanted = {each.name: each for each in intent.networks if each.driver == "overlay"}
        used = {name for each in containers for name, address in each.addresses if address}
        # While hosts are disrupted one after the other, the next grant depends on a current answer.
        believed_s = 0.0 if cluster.disruption else LOOK_S
        for answers in (self._peers, self._verbose, self._users, self._given_out):
            answers.forget_all_but({each.id for each in networks})
        ordered = cluster.assignment.replicas if cluster.assignment else ()
        # What is refused may be about an address.
        verbose = cluster.refused or any(each.recreate for each in ordered)
        peers = self._verbose if verbose else self._peers
        read = [
            replace(each, **(peers.get(each.id, believed_s) or OverlayPeers())._asdict())
            if each.name in used & wanted.keys()
            else each
            for each in networks
        ]
        if cluster.leader == self._me:
            asked = asks_for_addresses(intent)
            read = [self._with_users(each, wanted.get(each.name)) for each in read]
            read = [
                replace(each, address_users=self._given_out.get(each.id, LOOK_S))
                if each.name in asked and each.driver == "overlay"
                else each
                for each in read
            ]
        return tuple(read)

    def _with_users(self, network: NetworkState, wanted: NetworkIntent | None) -> NetworkState:
        if wanted is None or network.driver != "overlay" or not is_ours(wanted, network):
            return network
        believed_s = 0.0 if overlay_differences(wanted, network) else LOOK_S
        return replace(network, users=self._users.get(network.id, believed_s) or ())


class _Answers(Generic[T]):
    """Caches the last answer for each network."""

    def __init__(self, ask: Callable[[str], T], clock: Callable[[], float]) -> None:
        self._ask, self._clock = ask, clock
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, network_id: str, believed_s: float) -> T | None:
        """Return an answer at most `believed_s` old; None if dockerd gives none, as without a quorum."""
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
