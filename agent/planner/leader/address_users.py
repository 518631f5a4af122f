"""Who has which address on an overlay: by what the hosts report of their copies, and by what the swarm has given out.

A report and the swarm's list are never of one moment. So a container that the swarm knows and no report names is in
doubt: it may be one of our own that has just started, or has just ended. In doubt nobody loses an address, and nobody
is given one; unless a copy could not be started: then whoever has its address is the one who keeps it from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.diff.replicas import STOPPABLE
from agent.model.host_state import HostState
from agent.model.phrases import short_id
from agent.model.plan import ClusterState
from agent.model.spec import Key

_SERVICE = "service "
_AWAY = "the swarm keeps it until that is back, or its node is removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """Somebody who has an address."""

    words: str
    key: Key | None = None
    """Of a copy of ours; None: not one of ours, or in doubt."""
    host: str = ""
    """Empty: not one of the hosts that report."""
    there: bool = True
    """Whether its host says now what it has."""
    certain: bool = True
    """Whether it is known what it is."""


class Holders:
    """Everybody on one overlay. `host` is the leader's own; None while its dockerd does not answer."""

    def __init__(self, network: str, cluster: ClusterState, host: HostState | None) -> None:
        self._cluster, self._network = cluster, network
        self._by_address: dict[str, list[_Holder]] = {}
        self._live: dict[tuple[str, Key], str] = {}
        self._failed: set[tuple[str, Key]] = set()
        seen = host.network(network) if host else None
        given_out = seen.holders if seen else None
        for name in sorted(cluster.statuses):
            self._look(name, only_now=given_out is not None)
        nodes = {status.node_id: name for name, status in cluster.statuses.items() if status.node_id}
        known = _named(cluster)
        for address, what, node in given_out or ():
            on = nodes.get(node, "")
            self._add(address, self._given_out(what, known.get((on, what)), on, node))

    @property
    def addresses(self) -> frozenset[str]:
        """All that somebody has, as far as is known."""
        return frozenset(self._by_address)

    def runs_with(self, key: Key, host: str) -> str:
        """The address that a copy has on `host` now; empty when none is reported."""
        return self._live.get((host, key), "")

    def taken_from(self, address: str, key: Key, host: str) -> str:
        """Who has an address so that the copy, assigned to `host`, cannot keep it, in words; empty: nobody.

        Its own container on another host that is there lets go of it, and is waited for.
        """
        others = self._others(address, key, host)
        return next((each.words for each in others if not (each.key == key and each.there)), "")

    def in_the_way(self, address: str, key: Key, host: str) -> str:
        """Who has an address now that the copy shall have on `host`, in words; empty: nobody."""
        return next((each.words for each in self._others(address, key, host)), "")

    def _others(self, address: str, key: Key, host: str) -> Iterator[_Holder]:
        for each in self._by_address.get(address, ()):
            if each.certain:
                other = (each.host, each.key) != (host, key)
            elif each.there:
                other = (host, key) in self._failed
            else:
                other = each.host != host
            if other:
                yield each

    def _look(self, name: str, *, only_now: bool) -> None:
        """Of a host that cannot say anything now, the swarm knows better what it still has."""
        there = self._is_there(name)
        for each in self._cluster.statuses[name].copies:
            # A dockerd that was killed goes on showing the addresses of those that ended with it.
            up = each.status in STOPPABLE
            address = dict(each.addresses).get(self._network, "") if up else ""
            if there and each.error and not up:
                self._failed.add((name, each.key))
            if address and there:
                self._live[name, each.key] = address
            if address and (there or not only_now):
                words = _words(each.name, name, there=there)
                self._add(address, _Holder(words=words, key=each.key, host=name, there=there))

    def _given_out(self, what: str, named: _Holder | None, host: str, node: str) -> _Holder:
        if what.startswith(_SERVICE):
            return _Holder(words=f"the {what}")
        if named:
            return named
        words, there = f"container {short_id(what)} on {host or f'node {node}'}", self._is_there(host)
        remedy = f"{host} knows none of that id, and a restart of dockerd there frees it" if there else _AWAY
        return _Holder(words=f"{words}: {remedy}", host=host, there=there, certain=False)

    def _is_there(self, name: str) -> bool:
        status = self._cluster.status_of(name)
        return status is not None and status.engine_up

    def _add(self, address: str, holder: _Holder) -> None:
        self._by_address.setdefault(address, []).append(holder)


def _words(container: str, host: str, *, there: bool) -> str:
    return f"{container} on {host}" if there else f"{container} on {host}: {_AWAY}"


def _named(cluster: ClusterState) -> dict[tuple[str, str], _Holder]:
    """Everybody that a host has reported, by host and id."""
    found = {}
    for name, status in sorted(cluster.statuses.items()):
        fresh = cluster.status_of(name)
        there = fresh is not None and fresh.engine_up
        for other in status.attached:
            words = _words(other.name, name, there=there)
            found[name, other.id] = _Holder(words=words, host=name, there=there)
        for each in status.copies:
            words = _words(each.name, name, there=there)
            found[name, each.id] = _Holder(words=words, key=each.key, host=name, there=there)
    return found
