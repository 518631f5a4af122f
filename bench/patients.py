"""Who is killed and gets up again: a replica of ours, a container that docker restarts, a service of Swarm."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from docker.types import EndpointSpec, RestartPolicy

from bench.engine_events import Event
from integration.lab.host import Host

IMAGE = "10.159.62.231/somecom/order:1.0.0"
NETWORK = "my-network-overlay"
REPLICA = "prod-order-1"


class Patient(ABC):
    """Something that runs on a host. Moments are nanoseconds of the wall clock, which host and machine share."""

    def __init__(self, name: str, host: Host) -> None:
        self.name, self.host = name, host

    def prepare(self) -> None:
        """Make it, if it is not there by itself."""
        return

    @abstractmethod
    def container(self) -> dict[str, Any]:
        """What docker says of the container that is it now. Raises LookupError while there is none."""

    @abstractmethod
    def is_it(self, event: Event) -> bool:
        """Whether an event is about it."""

    def kill(self) -> int:
        """Kill it; returns the moment just before."""
        name = self.container()["Id"]
        moment = time.time_ns()
        self.host.docker.api.kill(name)
        return moment

    def runs_since_s(self) -> float:
        """How long it has run, in seconds. Raises LookupError while it does not."""
        state = self.container()["State"]
        if not state["Running"]:
            raise LookupError(f"{self.name} is {state['Status']}")
        now = self.host.exec("date", "+%s").stdout
        started = self.host.exec("date", "+%s", "--date", state["StartedAt"]).stdout
        return float(now) - float(started)

    def _killed_process(self) -> int:
        # The moment is taken inside the host, so that getting there is not counted.
        pid = self.container()["State"]["Pid"]
        return int(self.host.exec("sh", "-c", f"date +%s%N; kill -9 {pid}").stdout)


class Named(Patient):
    """A container known by its name."""

    container_name = REPLICA

    def container(self) -> dict[str, Any]:
        return dict(self.host.docker.api.inspect_container(self.container_name))

    def is_it(self, event: Event) -> bool:
        return (event.host, event.container) == (self.host.name, self.container_name)


class KilledReplica(Named):
    """A replica of ours after `docker kill`, which docker's own restart policy takes as meant: only the agent helps."""


class CrashedReplica(Named):
    """A replica of ours whose process is killed: docker restarts it, by the restart policy the intent gives it."""

    def kill(self) -> int:
        return self._killed_process()


class RestartedContainer(Named):
    """`docker run --restart=always`, its process killed."""

    container_name = "bench-always"

    def prepare(self) -> None:
        self.host.docker.containers.run(
            IMAGE, name=self.container_name, detach=True, network=NETWORK, restart_policy={"Name": "always"}
        )

    def kill(self) -> int:
        return self._killed_process()


class SwarmService(Patient):
    """A service of one task. `delay_s` is its restart delay; None leaves Swarm's default, 5 s."""

    def __init__(self, name: str, host: Host, service: str, delay_s: int | None) -> None:
        super().__init__(name, host)
        self._service, self._delay_s = service, delay_s

    def prepare(self) -> None:
        policy = (
            None if self._delay_s is None else RestartPolicy(condition="any", delay=self._delay_s * 10**9)
        )
        self.host.docker.services.create(  # type: ignore[no-untyped-call]
            IMAGE,
            name=self._service,
            networks=[NETWORK],
            endpoint_spec=EndpointSpec(mode="dnsrr"),
            constraints=[f"node.hostname == {self.host.name}"],
            restart_policy=policy,
        )

    def container(self) -> dict[str, Any]:
        labelled = {"label": f"com.docker.swarm.service.name={self._service}"}
        found = self.host.docker.api.containers(filters=labelled)
        if not found:
            raise LookupError(f"no task of {self._service} runs")
        return dict(self.host.docker.api.inspect_container(found[0]["Id"]))

    def is_it(self, event: Event) -> bool:
        return event.labels.get("com.docker.swarm.service.name") == self._service


def started_after(events: Iterable[Event], patient: Patient, moment_ns: int) -> int | None:
    """When the patient, or what took its place, first started after a moment; None if it has not."""
    starts = [e.at_ns for e in events if e.word == "start" and e.at_ns > moment_ns and patient.is_it(e)]
    return min(starts, default=None)
