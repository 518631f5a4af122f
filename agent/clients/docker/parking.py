"""What a change of docker_gwbridge under running containers needs (docs/gwbridge.md).

libnetwork looks anew at where the gateway of a container is whenever it joins or leaves a network: on a bridge network
it has its gateway there, on overlays alone it gets one on whatever network is named docker_gwbridge.
"""

import json

from agent.clients.docker.errors import network_failure
from agent.clients.docker.networks import Networks
from agent.clients.docker.reading import attached
from agent.clients.docker.transport import quoted
from agent.errors import Conflict, Missing, SwarmkeeperError
from agent.model.intent import GWBRIDGE

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
        # dockerd says that all went well; and whoever comes after us would try again and again if it did not.
        if self._is_up(container) and container not in dict(self.bridge_endpoints(GWBRIDGE)):
            raise Conflict(f"the gateway of {container[:12]} did not come back onto {GWBRIDGE}")

    def release_endpoint(self, network: str, endpoint: str) -> None:
        # Without force dockerd looks for a container of that name and finds none.
        self._take_off(endpoint, network, force=True)

    def _is_up(self, container: str) -> bool:
        """Whether it runs, and is on a network. Of the list: an inspect waits for whatever is done to it."""
        params = {"filters": json.dumps({"id": [container]})}
        found = [attached(each) for each in self._ask("containers", "GET", "/containers/json", params=params)]
        return any(each.id == container and each.running and each.networks for each in found)

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
