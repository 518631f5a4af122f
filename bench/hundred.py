"""A hundred containers on one host, on an overlay: for Swarmkeeper, for docker-compose, and for `docker run`."""

import os
import resource
import subprocess
from pathlib import Path

from bench.environment import ROOT, install
from bench.playbook import WORK
from integration.lab.host import Host
from integration.lab.registry import ADDRESS

COUNT, SERVICES = 100, 10
IMAGE = f"{ADDRESS}/somecom/order"
OLD, NEW = "1.0.0", "1.0.1"
NETWORK = "my-network-overlay"
PARALLEL = 8
"""As many as an agent has workers, by default."""
WITHIN_S = 1200

_DOCUMENT = f"""\
name: bench
x-cluster:
  version: 1
  hosts: {{node-231: {{address: {ADDRESS}, role: manager}}}}
  gwbridge: {{subnet: 172.21.0.0/20}}
networks:
  {NETWORK}:
    name: {NETWORK}
    attachable: true
    ipam: {{config: [{{subnet: 10.10.0.0/16}}]}}
"""
_SERVICE = """\
  s{number}:
    image: {image}
    restart: always
    networks: [{network}]
    x-hosts: {{node-231: {replicas}}}
    deploy: {{update_config: {{parallelism: 0, monitor: 1s}}}}
"""
_COMPOSED = """\
  s{number}:
    image: {image}
    restart: always
    scale: {replicas}
"""
NOTHING = f"{_DOCUMENT}services: {{}}\n"
PROJECT = WORK / "compose"


def document(first: str = OLD) -> str:
    """Ten services with ten replicas each; `first` is the tag of the first one."""
    return f"{_DOCUMENT}services:\n" + "".join(
        _SERVICE.format(
            number=number,
            image=f"{IMAGE}:{first if not number else OLD}",
            network=NETWORK,
            replicas=COUNT // SERVICES,
        )
        for number in range(SERVICES)
    )


def names() -> frozenset[str]:
    """What the replicas are called."""
    each = COUNT // SERVICES
    return frozenset(
        f"bench-s{number}-{replica}" for number in range(SERVICES) for replica in range(1, each + 1)
    )


class Compose:
    """docker-compose on the engine of a host, run beside it."""

    venv = ROOT / "build/compose-venv"
    lock = ROOT / "bench/compose/requirements.lock"

    def __init__(self, host: Host) -> None:
        self._environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{host.socket}",
            "COMPOSE_HTTP_TIMEOUT": str(WITHIN_S),
        }
        install(self.venv, self.lock)
        PROJECT.mkdir(parents=True, exist_ok=True)
        self._file = PROJECT / "docker-compose.yml"
        services = "".join(
            _COMPOSED.format(number=number, image=f"{IMAGE}:{OLD}", replicas=COUNT // SERVICES)
            for number in range(SERVICES)
        )
        default = f"networks:\n  default: {{external: {{name: {NETWORK}}}}}\n"
        self._file.write_text(f'version: "2.4"\n{default}services:\n{services}')

    def run(self, *argv: str) -> float:
        """Run it to its end; returns the processor seconds it used itself. Raises CalledProcessError."""
        before = _used_s()
        command = [str(self.venv / "bin/docker-compose"), "--file", str(self._file), *argv]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=WITHIN_S)
        return _used_s() - before


def floor(host: Host) -> None:
    """`docker run`, several at a time."""
    command = f"docker run --detach --restart=always --network={NETWORK} --name=bench-{{}} {IMAGE}:{OLD}"
    script = f"seq {COUNT} | xargs --max-procs={PARALLEL} --replace={{}} {command} >/dev/null"
    host.exec("bash", "-c", script, timeout=WITHIN_S)


def clear(host: Host) -> None:
    """Remove what `floor` made."""
    script = f"docker ps --all --quiet | xargs --no-run-if-empty --max-procs={PARALLEL} --max-args=10 docker rm --force"
    host.exec("bash", "-c", f"{script} >/dev/null", timeout=WITHIN_S)


def daemon_used_s(host: Host) -> float:
    """Processor seconds of dockerd so far."""
    pid = host.systemctl("show", "--property=MainPID", "--value", "docker")
    fields = Path(f"/proc/{host.pid1}/root/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _used_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
