"""Reading and changing the containers of an engine."""

import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from agent.clients.docker import errors, images, reading
from agent.clients.docker.transport import quoted
from agent.diff import container as labelled
from agent.errors import Conflict, Invalid, Missing, Refused, Unreachable
from agent.model import host_state, records
from agent.model.phrases import cut, short_id
from agent.model.spec import Attachment, ContainerSpec

FillFor = Callable[[records.Replica], labelled.FillContext]
Raw = Mapping[str, Any]
Labels = Mapping[str, str]

_SLOW_S = 60.0
"""Create, start and connect wait for the swarm: up to 20 s in a healthy swarm, 30 s without a leader."""
_WAIT_S = 5.0
"""An inspect takes milliseconds, but waits for the lock of a container while dockerd starts it."""
_MOST_OUTPUT = 1 << 16
_OF_IMAGE = ("Config", "Os", "Architecture", "Variant")
_NO_WEIGHT, _NO_SWAP = "Block I/O weight", "limited without swap"
"""Harmless warnings of an update. The next pass observes and reports a missing weight; without a swap limit in the spec
nothing is lost. Every other warning means a discarded value, which the agent would set again in every pass."""


class _Inspection(NamedTuple):
    """A managed container as it was inspected."""

    key: tuple[object, ...]
    """Everything on which the result depends."""
    state: host_state.ContainerState


class Containers(images.Images):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._images: dict[str, Raw] = {}
        self._inspections: dict[str, _Inspection] = {}
        """The last inspections of managed containers, by id."""
        self._lock = threading.Lock()

    def containers(
        self,
        specs: Mapping[str, ContainerSpec],
        fill_for: FillFor,
        in_flight: frozenset[str] = frozenset(),
        assigned: frozenset[records.Replica] = frozenset(),
        *,
        inspect_all: bool = False,
    ) -> reading.Containers:
        """Return all containers. A managed one is compared with the spec whose hash is on its label, if `specs` has it.

        If a container can become an `assigned` replica without a recreate, it is compared and returned as that replica.

        `in_flight` has the names of containers of steps in flight, which are not inspected. A managed container is
        inspected again if Docker lists it otherwise, an event has named it, or an act of this agent has touched it:
        Docker sends an event for every other change. All are if `inspect_all`, or if events may have been lost.
        """
        ours, foreign, becomes = [], [], labelled.by_slot(assigned)
        changed = self._transport.changed.take()
        self._inspections = {
            container: each
            for container, each in self._inspections.items()
            if not (inspect_all or changed is None) and changed.isdisjoint((container, each.state.name))
        }
        listed = self._ask("containers", "GET", "/containers/json", params={"all": "1"})
        before, self._inspections = self._inspections, {}
        for each in listed:
            labels = each.get("Labels") or {}
            names = reading.own_names(each)
            replica = self._listed_replica(each, labels, names)
            if replica is not None:
                replica = labelled.regarded(replica, labels, becomes, specs, fill_for)
            if replica is None:
                foreign += [(name, each["Id"]) for name in names]
            elif in_flight.intersection(name.removeprefix("/") for name in each.get("Names") or ()):
                ours.append(reading.locked_state(each, replica))
            elif state := self._inspected(each, replica, specs.get(replica.spec), fill_for, before):
                ours.append(state)
        everyone = [reading.attached(each) for each in listed]
        mounts = (mount.get("Source") or "" for each in listed for mount in each.get("Mounts") or ())
        return reading.Containers(
            tuple(sorted(ours, key=lambda state: (state.name, state.id))),
            tuple(sorted(foreign)),
            tuple(sorted(everyone, key=lambda state: (state.name, state.id))),
            frozenset(each.rpartition("/")[2] for each in mounts),
        )

    def _replica(self, labels: Labels) -> records.Replica | None:
        return labelled.identity(labels) if labels.get(labelled.CLUSTER) == self._cluster else None

    def _listed_replica(self, listed: Raw, labels: Labels, names: Iterable[str]) -> records.Replica | None:
        """Return the replica; None for a container of an image that `docker commit` made from a replica."""
        replica = self._replica(labels)
        # The image of a replica can itself come from `docker commit`: the name then identifies the replica.
        if replica is None or labelled.is_called_so(labels, names):
            return replica
        image = self._known_image(listed.get("ImageID") or "") or {}
        copied = labelled.are_copied(labels, (image.get("Config") or {}).get("Labels") or {})
        return None if copied else replica

    def _inspected(
        self,
        listed: Raw,
        replica: records.Replica,
        spec: ContainerSpec | None,
        fill_for: FillFor,
        before: Mapping[str, _Inspection],
    ) -> host_state.ContainerState | None:
        """Return the state in `before` if nothing has changed; None when the container vanished since it was listed."""
        # "Exited (1) 5 minutes ago", "Up 5 minutes (unhealthy)": without the time
        stable = {**listed, "Status": re.findall(r"\(.*?\)", listed.get("Status") or "")}
        last, context = before.get(listed["Id"]), fill_for(replica)
        key = (stable, replica, spec is not None, context)
        if last is None or key != last.key:
            state = self._state(listed, replica, spec, context)
            if state is None or state.locked_by_engine:
                return state
            last = _Inspection(key, state)
        self._inspections[listed["Id"]] = last
        return last.state

    def _state(
        self, listed: Raw, replica: records.Replica, spec: ContainerSpec | None, context: labelled.FillContext
    ) -> host_state.ContainerState | None:
        """Return the state; None when the container vanished since it was listed."""
        try:
            raw = self._container(listed["Id"], timeout_s=_WAIT_S)
        except Missing:
            return None
        except Unreachable:
            # dockerd has just listed the container, so only its inspect hangs.
            return reading.locked_state(listed, replica)
        return reading.container_state(raw, replica, self._differences(raw, spec, context))

    def _differences(
        self, raw: Raw, spec: ContainerSpec | None, context: labelled.FillContext
    ) -> tuple[host_state.Difference, ...]:
        if spec is None:
            return ()
        try:
            wanted = labelled.fill(spec, context)
        except Invalid:
            return ()  # a placeholder without a value on this host cannot be compared
        return labelled.differences(wanted, raw, self._known_image(raw.get("Image") or ""))

    def _known_image(self, image_id: str) -> Raw | None:
        """Return the image of an id; the content of an id never changes, so each is asked for once."""
        with self._lock:
            known = self._images.get(image_id)
        if known is None and image_id:
            known = self._found("image_inspect", f"/images/{quoted(image_id)}/json")
            if known is not None:
                with self._lock:
                    self._images[image_id] = {each: known.get(each) for each in _OF_IMAGE}
        return known

    def image_volumes(self, image_id: str) -> tuple[str, ...]:
        """Return the paths of the volumes that the image declares, sorted; none if the image does not exist."""
        config = (self._known_image(image_id) or {}).get("Config") or {}
        return tuple(sorted(config.get("Volumes") or ()))

    def _container(self, container: str, timeout_s: float | None = None) -> Raw:
        path = f"/containers/{quoted(container)}/json"
        raw: Raw = self._ask("container_inspect", "GET", path, timeout_s=timeout_s)
        return raw

    def output(self, container: str, lines: int) -> bytes:
        """Return the last lines of stdout and stderr, at most 64 KiB. Refused if the log driver cannot be read."""
        path, params = f"/containers/{quoted(container)}/logs", {"stdout": 1, "stderr": 1, "tail": lines}
        with self._transport.open("container_logs", "GET", path, params=params, stall_s=_WAIT_S) as response:
            return reading.lines_of(self._transport.content(response, _MOST_OUTPUT))

    def create_container(self, request: labelled.CreateRequest) -> str:
        """Create a replica on all of its networks and return its id. Conflict names the container that has the name."""
        body = {key: value for key, value in request.body.items() if key != "Platform"}
        if labelled.leaves_entrypoint(body):
            image = self._ask("image_inspect", "GET", f"/images/{quoted(body['Image'])}/json")
            body = labelled.with_entrypoint(body, image)
        try:
            path, params = "/containers/create", {"name": request.name}
            if platform := request.body.get("Platform"):
                params["platform"] = platform
            made = self._ask("container_create", "POST", path, params=params, body=body, timeout_s=_SLOW_S)
            container: str = made["Id"]
        except Conflict as conflict:
            container = self._taken_over(request, conflict)
        for each in request.more:
            with suppress(Conflict):
                self.connect(container, each, each.aliases)
        return container

    def _taken_over(self, request: labelled.CreateRequest, conflict: Conflict) -> str:
        """Return the container of that name if it is this replica. Raises Conflict, which names it, otherwise."""
        try:
            owner = self._container(request.name)
        except Missing:
            raise conflict from None
        replica = self._replica((owner.get("Config") or {}).get("Labels") or {})
        if replica == request.replica.made_as:
            return str(owner["Id"])
        who = f"replica {replica.slot} of {replica.service}" if replica else "an unmanaged container"
        raise Conflict(f"the name {request.name} is used by {who} ({short_id(owner['Id'])})") from conflict

    def start(self, container: str) -> None:
        self._act(container, "start", timeout_s=_SLOW_S, as_error=errors.network_failure)

    def stop(self, container: str, grace_s: float) -> None:
        """Send the stop signal, and SIGKILL after `grace_s` seconds."""
        self._act(container, "stop", params={"t": math.ceil(grace_s)}, timeout_s=grace_s + _SLOW_S)

    def unpause(self, container: str) -> None:
        with errors.unless("is not paused"):
            self._act(container, "unpause")

    def remove_container(self, container: str) -> None:
        """Remove a stopped container and keep all its volumes. Conflict when it runs."""
        with suppress(Missing), errors.unless("is already in progress"):
            self._ask("container_remove", "DELETE", f"/containers/{quoted(container)}", timeout_s=_SLOW_S)

    def rename(self, container: str, name: str) -> None:
        if self._container(container)["Name"] != f"/{name}":
            self._act(container, "rename", params={"name": name})

    def update(self, container: str, spec: ContainerSpec) -> None:
        """Set limits and restart policy in place. Refused, with Docker's warning, if the kernel cannot apply one."""
        answer = self._act(container, "update", body=labelled.update_request(spec)) or {}
        warnings = answer.get("Warnings") or ()
        harmless = (_NO_WEIGHT,) if (spec.memory_swap_bytes or 0) > 0 else (_NO_WEIGHT, _NO_SWAP)
        dropped = [each for each in warnings if not any(text in each for text in harmless)]
        if dropped:
            raise Refused(cut("; ".join(dropped)))

    def connect(self, container: str, attachment: Attachment, aliases: tuple[str, ...]) -> None:
        """Connect to a network with the aliases and the attachment's address. Conflict when connected already."""
        self._attach(container, attachment.network, labelled.endpoint(attachment, aliases), _SLOW_S)

    def disconnect(self, container: str, network: str) -> None:
        with suppress(Missing), errors.unless("is not connected to"):
            self._detach(container, network, _SLOW_S)

    def _act(self, container: str, verb: str, **options: Any) -> Any:
        path = f"/containers/{quoted(container)}/{verb}"
        return self._ask(f"container_{verb}", "POST", path, changes=container, **options)
