"""A client that asks one manager for the swarm's nodes all the time, as `docker node ls` does, and keeps the times."""

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import docker
import requests

from integration.lab.host import Host

PAUSE_S = 0.02
CALL_S = 5


@dataclass(eq=False)
class QuorumWatch:
    """Use it as a context; afterwards it says how long the manager did not answer with a raft leader at most."""

    host: Host
    longest_gap_s: float = 0.0
    answers: int = 0
    errors: list[str] = field(default_factory=list)
    """What it said instead, each once."""
    lost: list[str] = field(default_factory=list)
    """Answers by which no more than half of the managers were reached."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"quorum on {self.host.name}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __str__(self) -> str:
        said = f"; instead it said: {'; '.join(self.errors)}" if self.errors else ""
        return (
            f"{self.host.name}: {self.answers} answers with a raft leader, the longest gap between two of them "
            f"{self.longest_gap_s:.2f} s{said}"
        )

    def _run(self) -> None:
        client = docker.APIClient(base_url=f"unix://{self.host.socket}", version="1.41", timeout=CALL_S)
        good_at = time.monotonic()
        while not self._stop.is_set():
            if self._ask(client):
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - good_at)
                good_at, self.answers = now, self.answers + 1
            self._stop.wait(PAUSE_S)
        self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - good_at)
        client.close()

    def _ask(self, client: docker.APIClient) -> bool:
        try:
            nodes = client.nodes()
        except (docker.errors.APIError, requests.RequestException) as error:
            if (said := str(error)[:160]) not in self.errors:
                self.errors.append(said)
            return False
        managers = [each["ManagerStatus"] for each in nodes if each.get("ManagerStatus")]
        reached = [each for each in managers if each.get("Reachability") == "reachable"]
        if 2 * len(reached) <= len(managers):
            self.lost.append(str([_told(each) for each in nodes]))
        return any(each.get("Leader") for each in managers)


def _told(node: dict[str, Any]) -> str:
    status = node.get("ManagerStatus") or {}
    return f"{node['Description']['Hostname']} {node['Spec']['Role']} {status.get('Reachability', '-')}"
