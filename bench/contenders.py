"""Who brings the cluster up: a shell at its best, Ansible, Swarmkeeper. Each on hosts that are wiped and idle."""

import subprocess
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path

from bench import playbook
from integration.cluster import DOCUMENT, Cluster
from integration.lab.eventually import eventually
from integration.lab.lab import Lab

FLOOR = Path(__file__).with_name("floor.bash")
WITHIN_S = 180


class Contender(ABC):
    """`prepare` is not on the clock, `go` is. `go` may return before the replicas run; engines report the starts."""

    name: str

    def prepare(self, lab: Lab) -> None:  # noqa: B027  the shell needs nothing
        """Install what this contender needs on wiped hosts."""

    @abstractmethod
    def go(self, lab: Lab) -> None:
        """Set the whole in motion. Raises CalledProcessError or LabError if it fails."""


class Floor(Contender):
    """A shell script with the same Docker calls in the best order."""

    name = "floor (shell)"

    def go(self, lab: Lab) -> None:
        run([str(FLOOR), *(str(host.socket) for host in lab.hosts)])


class Ansible(Contender):
    """A playbook with community.docker, its modules running beside the engines' sockets: no SSH, no latency."""

    name = "Ansible"

    def prepare(self, lab: Lab) -> None:
        playbook.install()
        playbook.write_inventory(lab)

    def go(self, lab: Lab) -> None:  # noqa: ARG002  the inventory knows it
        run(playbook.COMMAND, playbook.environment())


class Swarmkeeper(Contender):
    """The agents are installed, started and idle; then one `etcdctl put`."""

    name = "Swarmkeeper"

    def __init__(self, log_level: str) -> None:
        self._log_level = log_level
        self.revision = 0

    def cluster(self, lab: Lab) -> Cluster:
        return Cluster(lab, self._log_level)

    def prepare(self, lab: Lab) -> None:
        cluster = self.cluster(lab)
        cluster.install_and_start()
        eventually(partial(check_idle, cluster), 60, "the agents wait for an intent")

    def go(self, lab: Lab) -> None:
        self.revision = self.cluster(lab).put(DOCUMENT.read_text())


def check_idle(cluster: Cluster) -> None:
    """AssertionError unless every agent has said that it is there. None leads: only the intent says who may."""
    wanted = {f"hosts/{host.name}/{what}" for host in cluster.lab for what in ("presence", "status")}
    assert wanted <= set(cluster.keys()), wanted


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run a program to its end. Raises RuntimeError with what it said if it fails or takes too long."""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{command[0]} took more than {WITHIN_S} s") from error
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stdout[-3000:]}{done.stderr[-3000:]}")
