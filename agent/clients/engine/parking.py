"""What a change of docker_gwbridge under running containers needs (docs/gwbridge.md).

libnetwork looks anew at where the gateway of a container is whenever it joins or leaves a network: on a bridge network
it has its gateway there, on overlays alone it gets one on whatever network is named docker_gwbridge.
"""

from agent.clients.engine.errors import network_failure
from agent.clients.engine.networks import Networks
from agent.clients.engine.transport import quoted
from agent.errors import Conflict, Missing, SwarmkeeperError

_SLOW_S = 30.0
"""A connect takes 0.1 s, and more behind a container that is being started or stopped."""
_DONE = ("already", "marked for removal")
_GONE = ("is not connected to", "no such container", "not found")


class Parking(Networks):
    """Attaching containers to a temporary bridge, and taking off what is nobody's."""

    def park(self, container: str, network: str) -> None:
        body = {"Container": container, "EndpointConfig": {}}
        path = f"/networks/{quoted(network)}/connect"
        try:
            self._ask("network_connect", "POST", path, body=body, timeout_s=_SLOW_S, as_error=network_failure)
        except Missing:
            return  # it has ended, and with it went what was to be moved
        except Conflict as error:
            if not any(words in str(error).lower() for words in _DONE):
                raise

    def unpark(self, container: str, network: str) -> None:
        self._take_off(container, network, force=False)

    def release_endpoint(self, network: str, endpoint: str) -> None:
        # Without force dockerd looks for a container of that name and finds none.
        self._take_off(endpoint, network, force=True)

    def _take_off(self, whose: str, network: str, *, force: bool) -> None:
        body = {"Container": whose, "Force": force}
        path = f"/networks/{quoted(network)}/disconnect"
        try:
            self._ask("network_disconnect", "POST", path, body=body, timeout_s=_SLOW_S)
        except Missing:
            return
        except SwarmkeeperError as error:
            if not any(words in str(error).lower() for words in _GONE):
                raise
