"""A client that asks managers for the swarm's nodes all the time, as `docker node ls` does, and keeps the times."""

import threading
import time
from types import TracebackType
from typing import Any, Self

import docker
import requests

from integration.lab.host import Host

PAUSE_S = 0.02
CALL_S = 5


class QuorumWatch:
    """Use it as a context; afterwards it says how long none of the hosts answered with a raft leader at most."""

    def __init__(self, *hosts: Host) -> None:
        self.names = " or ".join(host.name for host in hosts)
        self.longest_gap_s = 0.0
        self.answers = 0
        self.errors: list[str] = []
        """What they said instead, each once."""
        self.lost: list[str] = []
        """Answers by which no more than half of the managers were reached."""
        self._sockets = [f"unix://{host.socket}" for host in hosts]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"quorum on {self.names}")

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
            f"{self.names}: {self.answers} answers with a raft leader, the longest gap between two of them "
            f"{self.longest_gap_s:.2f} s{said}"
        )

    def _run(self) -> None:
        clients = [docker.APIClient(base_url=each, version="1.41", timeout=CALL_S) for each in self._sockets]
        good_at = time.monotonic()
        while not self._stop.is_set():
            if any(self._ask(client) for client in clients):
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - good_at)
                good_at, self.answers = now, self.answers + 1
            self._stop.wait(PAUSE_S)
        self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - good_at)
        for client in clients:
            client.close()

    def _ask(self, client: docker.APIClient) -> bool:
        try:
            nodes = client.nodes()
        except (docker.errors.APIError, requests.RequestException) as error:
            self._keep(str(error)[:160])
            return False
        managers = [each["ManagerStatus"] for each in nodes if each.get("ManagerStatus")]
        if not managers:
            # A raft leader that has only just been elected may answer before it knows its members: nobody was counted,
            # so this is no answer with a raft leader, and part of the gap.
            self._keep("nodes, and no word on any manager")
            return False
        reached = [each for each in managers if each.get("Reachability") == "reachable"]
        if 2 * len(reached) <= len(managers):
            self.lost.append(str([_told(each) for each in nodes]))
        return any(each.get("Leader") for each in managers)

    def _keep(self, said: str) -> None:
        if said not in self.errors:
            self.errors.append(said)


def _told(node: dict[str, Any]) -> str:
    status = node.get("ManagerStatus") or {}
    return f"{node['Description']['Hostname']} {node['Spec']['Role']} {status.get('Reachability', '-')}"
