"""Who lives through outages: containers that docker alone looks after, and replicas that the agents keep."""

from functools import partial

from bench.contenders import Floor, Swarmkeeper
from bench.scenario import REPLICAS
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab

MENDED_S = 180
ALONE = "docker alone, --restart=always"


class DockerAlone(Floor):
    """The same swarm, overlay, images and containers, made by hand; nobody looks after them but docker."""

    name = ALONE

    def mend(self, lab: Lab) -> None:
        """What an operator does with containers that docker has given up on."""
        for host in lab.hosts:
            for name in sorted(REPLICAS[host.name]):
                eventually(partial(starts, host, name), MENDED_S, f"{name} starts by hand")


class Agents(Swarmkeeper):
    """The agents do the mending; it only has to be over."""

    def mend(self, lab: Lab) -> None:
        self.cluster(lab).wait_converged(self.revision, MENDED_S)


Survivor = DockerAlone | Agents


def make(lab: Lab, contender: Survivor) -> None:
    """Hosts without anything, then the cluster as this contender makes it, until all of it runs."""
    lab.renew()
    contender.prepare(lab)
    contender.go(lab)
    contender.mend(lab)
    eventually(partial(check_ready, lab), MENDED_S, "every node is ready")


def check_ready(lab: Lab) -> None:
    """AssertionError unless the swarm has three managers that reach each other."""
    nodes = lab.hosts[0].docker.api.nodes()
    said = [(node["Status"]["State"], node["ManagerStatus"]["Reachability"]) for node in nodes]
    assert said == [("ready", "reachable")] * len(lab.hosts), said


def starts(host: Host, name: str) -> bool:
    """`docker start`; where dockerd keeps a port for nobody, it is restarted first."""
    try:
        started = host.exec("docker", "start", name, check=False, timeout=90)
    except LabError:
        return False
    if "port is already allocated" in started.stderr:
        host.restart_dockerd()
    return started.returncode == 0
