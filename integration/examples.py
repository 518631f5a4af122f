"""The examples of deploy/examples on a lab: their images and files, and what docker-compose makes of them there."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.cluster import NAME
from integration.lab import debian_images, registry
from integration.lab.host import Host
from integration.lab.lab import Lab
from tests.support.examples import FOLDER

COMPOSE = Path(sys.executable).with_name("docker-compose")
COMPOSE_S = 180
MIRROR = {"registry-mirrors": [f"http://{registry.ADDRESS}"]}
DAEMON = "/etc/docker/daemon.json"
IMAGES = {
    "dubbo": ("zookeeper", "provider", "consumer"),
    "mariadb": ("mariadb",),
    "monitoring": ("prometheus", "node-exporter", "grafana"),
    "nacos": ("nacos",),
    "redis": ("redis",),
    "traefik": ("traefik",),
}
"""Of integration/stacks; the other images are the lab's own."""
FILES: Mapping[str, Mapping[str, str]] = {
    "mariadb": {"/srv/mariadb/password": "a password\n", "/srv/mariadb/root_password": "another\n"},
    "monitoring": {
        "/srv/monitoring/prometheus.yml": (FOLDER / "monitoring/prometheus.yml").read_text(),
        "/srv/monitoring/datasource.yaml": (FOLDER / "monitoring/datasource.yaml").read_text(),
        "/srv/monitoring/grafana_password": "a password\n",
    },
    "traefik": {"/srv/traefik/dynamic.yaml": (FOLDER / "traefik/dynamic.yaml").read_text()},
}
"""What an operator puts on the hosts."""


@contextmanager
def prepared(lab: Lab, stack: str) -> Iterator[None]:
    """Have the images of an example where dockerd looks for those of Docker Hub, and its files on the hosts.

    The registry of the lab is a mirror of Docker Hub until the end of the block, so that the example runs as it is.
    """
    registry.push(lab.lan, (image for name in IMAGES[stack] for image in debian_images.build(name)))
    before = {host.name: host.read(DAEMON) for host in lab}
    try:
        for host in lab:
            for path, text in FILES.get(stack, {}).items():
                host.write(path, text)
            _configure(host, json.dumps(json.loads(before[host.name]) | MIRROR) + "\n")
        yield
    finally:
        for host in lab:
            _configure(host, before[host.name])


def _configure(host: Host, settings: str) -> None:
    host.write(DAEMON, settings)
    host.systemctl("reload", "docker")


def made_by_agent(host: Host) -> list[dict[str, Any]]:
    """`docker inspect` of every container of ours on a host."""
    found = host.docker.api.containers(all=True, filters={"label": f"io.swarmkeeper.cluster={NAME}"})
    return [host.docker.api.inspect_container(each["Id"]) for each in found]


def made_by_compose(
    host: Host, stack: str, project: str, services: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """`docker inspect` of what docker-compose creates of each service on this engine; it is removed again."""
    command = (str(COMPOSE), "-p", project, "-f", str(FOLDER / stack / "compose.yaml"))
    try:
        _compose(host, *command, "create", *services)
        found = host.docker.api.containers(
            all=True, filters={"label": f"com.docker.compose.project={project}"}
        )
        shown = [host.docker.api.inspect_container(each["Id"]) for each in found]
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in shown}
    finally:
        _compose(host, *command, "down", "--volumes")


def _compose(host: Host, *command: str) -> None:
    environment = {"DOCKER_HOST": f"unix://{host.socket}", "HOME": "/root", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=COMPOSE_S, check=False
    )
    assert done.returncode == 0, done.stderr
