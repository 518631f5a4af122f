"""Where the containers of a host have their gateway, as libnetwork keeps it: an endpoint that is made, not computed.

It is looked at again only when a container joins or leaves a network. Until then, a gateway on a network that is no
longer named docker_gwbridge stays there, and one taken off by force is not made again.
"""

import hashlib
from collections.abc import Callable, Iterable

from agent.errors import Unreachable
from agent.model.host_state import NetworkState
from agent.model.spec import Pairs

INGRESS = "ingress-sbox"
_NO_DEVICE = (
    "failed to set up container networking: adding interface veth1 to bridge docker_gwbridge failed: "
    "could not find bridge docker_gwbridge: route ip+net: no such network interface"
)


class FakeGateways:
    """`known` tells a network a container can be on, `bridge` gives docker_gwbridge (made when there is none), and
    `has_device` whether the kernel has the device of a network."""

    def __init__(
        self,
        known: Callable[[str], NetworkState | None],
        bridge: Callable[[], NetworkState],
        has_device: Callable[[NetworkState], bool],
    ) -> None:
        self._known, self._bridge, self._has_device = known, bridge, has_device
        self._at: dict[str, str] = {}
        """Whose -> id of the network."""

    def look(self, whose: str, networks: Iterable[str]) -> None:
        """The container has joined or left a network, and is on these now; none once it has ended."""
        if not self._needed(networks):
            self._at.pop(whose, None)
        elif whose not in self._at:
            self._make(whose)

    def enter_swarm(self) -> None:
        """The sandbox of the ingress network needs one too."""
        if INGRESS not in self._at:
            self._make(INGRESS)

    def leave_swarm(self) -> None:
        self._at.pop(INGRESS, None)

    def forget(self) -> None:
        """dockerd ends: what it makes at each start is made again at the next one."""
        self._at.clear()

    def of(self, network_id: str) -> Pairs:
        """(whose, name of the endpoint) on one network."""
        return tuple((whose, _name(whose)) for whose, at in self._at.items() if at == network_id)

    def has(self, whose: str) -> bool:
        return whose in self._at

    def release(self, network_id: str, endpoint: str) -> None:
        """`docker network disconnect --force`: gone, and made again only when the sandbox is looked at."""
        for whose, name in self.of(network_id):
            if name == endpoint:
                del self._at[whose]

    def _needed(self, networks: Iterable[str]) -> bool:
        """On a bridge, the gateway is there; an internal network wants none; an overlay has none of its own."""
        found = [self._known(each) for each in networks]
        return bool(found) and all(each and each.driver == "overlay" and not each.internal for each in found)

    def _make(self, whose: str) -> None:
        bridge = self._bridge()
        if not self._has_device(bridge):
            raise Unreachable(_NO_DEVICE)
        self._at[whose] = bridge.id


def _name(whose: str) -> str:
    sandbox = whose if whose == INGRESS else hashlib.sha256(f"sandbox of {whose}".encode()).hexdigest()[:12]
    return f"gateway_{sandbox}"
