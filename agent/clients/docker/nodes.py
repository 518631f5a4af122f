"""The nodes of the swarm, as its managers list and change them."""

import contextlib
from collections.abc import Callable
from typing import Any

from agent.clients.docker.door import Door
from agent.clients.docker.reading import node_state
from agent.clients.docker.transport import quoted
from agent.errors import Conflict, Missing, Overtaken
from agent.model.intent import Availability, Role
from agent.model.observed import NodeState
from agent.model.spec import Pairs


class Nodes(Door):
    """The part of an engine that speaks for its swarm's nodes."""

    def nodes(self) -> tuple[NodeState, ...]:
        return tuple(node_state(each) for each in self._ask("nodes", "GET", "/nodes"))

    def update_node(
        self,
        node_id: str,
        *,
        version: int,
        role: Role | None = None,
        availability: Availability | None = None,
        labels: Pairs = (),
        without: tuple[str, ...] = (),
        still: Callable[[], object] = lambda: None,
    ) -> None:
        # The call replaces the whole spec, also what is not ours of it: so that is read right before.
        path = f"/nodes/{quoted(node_id)}"
        found = self._ask("node", "GET", path)
        spec: dict[str, Any] = found.get("Spec") or {}
        kept = {name: value for name, value in (spec.get("Labels") or {}).items() if name not in without}
        wanted = {
            **spec,
            "Role": role or spec.get("Role"),
            "Availability": availability or spec.get("Availability"),
            "Labels": {**kept, **dict(labels)},
        }
        if wanted == {**spec, "Labels": spec.get("Labels") or {}}:
            return
        if (now := found["Version"]["Index"]) != version:
            raise Overtaken(
                f"the node has changed since it was looked at (version {version} then, {now} now)"
            )
        still()
        try:
            self._ask("node_update", "POST", f"{path}/update", params={"version": version}, body=wanted)
        except Conflict as error:
            raise Overtaken(f"the node was changed at the same time: {error}") from error

    def remove_node(self, node_id: str) -> None:
        try:
            self._ask("node_remove", "DELETE", f"/nodes/{quoted(node_id)}")
        except Missing:
            return

    def has_node(self, node_id: str) -> bool:
        raw = self._ask("swarm", "GET", "/swarm")
        params = {"version": raw["Version"]["Index"]}
        # Whose change came in between does not matter: a majority has agreed on that one.
        with contextlib.suppress(Conflict):
            self._ask("swarm_update", "POST", "/swarm/update", params=params, body=raw["Spec"])
        try:
            self._ask("node", "GET", f"/nodes/{quoted(node_id)}")
        except Missing:
            return False
        return True
