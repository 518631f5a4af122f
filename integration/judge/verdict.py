"""What of a reading contradicts the document, each as one stable sentence, so that two readings can be compared."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from integration.judge.reading import LABEL, Container, Engine, Reading

ENDS_WELL = ("no", "on-failure")
"""Restart policies by which a container that has ended with 0 is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the document declares, as far as it is judged."""

    name: str
    roles: Mapping[str, str]
    subnet: str
    services: Mapping[str, Mapping[str, Any]]


def read_document(text: str) -> Wanted:
    """Read the document as plain YAML."""
    raw = yaml.safe_load(text)
    cluster = raw["x-cluster"]
    return Wanted(
        name=raw["name"],
        roles={name: host["role"] for name, host in cluster["hosts"].items()},
        subnet=cluster["gwbridge"]["subnet"],
        services=raw.get("services") or {},
    )


def contradictions(wanted: Wanted, reading: Reading) -> frozenset[str]:
    """Everything by which the cluster is not as declared."""
    return frozenset((*_of_hosts(wanted, reading.engines), *_of_replicas(wanted, reading.engines)))


# ---- Hosts


def _of_hosts(wanted: Wanted, engines: Mapping[str, Engine | None]) -> Iterator[str]:
    for name, role in wanted.roles.items():
        engine = engines.get(name)
        if engine is None:
            yield f"{name}: no dockerd answers"
        elif engine.swarm != "active":
            yield f"{name}: its dockerd is not in the swarm"
        else:
            yield from _of_engine(wanted, name, role, engine)


def _of_engine(wanted: Wanted, name: str, role: str, engine: Engine) -> Iterator[str]:
    if engine.is_manager != (role == "manager"):
        yield f"{name}: it is not a {role}"
    if engine.subnets != (wanted.subnet,):
        yield f"{name}: docker_gwbridge has not the subnet {wanted.subnet}"
    if engine.is_manager and engine.nodes is None:
        yield f"swarm: the manager {name} knows no leader"
    for found_role, state, reachability in (engine.nodes or {}).values():
        if state != "ready":
            yield f"swarm: {name} lists a {found_role} that is not ready"
        if found_role == "manager" and reachability != "reachable":
            yield f"swarm: {name} lists a manager that is not reachable"


# ---- Replicas: a slot may be on any host, as long as each host has as many of the service as declared. A container
# without our labels is a stranger's, whatever it is called


def _of_replicas(wanted: Wanted, engines: Mapping[str, Engine | None]) -> Iterator[str]:
    there = [
        (host, each)
        for host, engine in engines.items()
        for each in (engine.containers.values() if engine else ())
        if any(label.startswith(LABEL) for label in each.labels)
    ]
    declared: set[str] = set()
    for service, keys in wanted.services.items():
        pattern = re.compile(rf"{re.escape(wanted.name)}-{re.escape(service)}-(\d+)")
        own = [(host, each) for host, each in there if pattern.fullmatch(each.name)]
        declared |= {each.name for _, each in own}
        yield from _of_numbers(service, keys, own)
        for _, container in own:
            yield from _of_container(keys, container)
    for host, container in there:
        if container.name not in declared:
            yield f"{host}: {container.name} is managed and not declared"


def _of_numbers(service: str, keys: Mapping[str, Any], own: list[tuple[str, Container]]) -> Iterator[str]:
    hosts = keys.get("x-hosts")
    found = Counter(host for host, _ in own)
    if hosts:
        wanted = Counter(dict(hosts)) if isinstance(hosts, Mapping) else Counter(hosts)
        for host in sorted({*wanted, *found}):
            if wanted[host] != found[host]:
                yield f"{service}: {found[host]} containers on {host}, {wanted[host]} declared"
        return
    number = int((keys.get("deploy") or {}).get("replicas", 1))
    if number != found.total():
        yield f"{service}: {found.total()} containers, {number} declared"
    for name, times in Counter(each.name for _, each in own).items():
        if times > 1:
            yield f"{name}: on {times} hosts"


def _of_container(keys: Mapping[str, Any], container: Container) -> Iterator[str]:
    name = container.name
    ended_well = str(keys.get("restart", "no")) in ENDS_WELL and container.exit_code == 0
    if not container.running and not ended_well:
        yield f"{name}: not running"
    if container.running and container.health not in ("", "healthy"):
        yield f"{name}: not healthy"
    if container.image != keys["image"]:
        yield f"{name}: not of the image {keys['image']}"
    for key, value in (keys.get("environment") or {}).items():
        if f"{key}={value}" not in container.environment:
            yield f"{name}: its variable {key} is not {value}"


def services_without_replica(wanted: Wanted, reading: Reading) -> frozenset[str]:
    """Return the declared services of which no container runs and is healthy on a host that answers."""
    well = {
        each.name
        for engine in reading.engines.values()
        if engine
        for each in engine.containers.values()
        if each.running and each.health in ("", "healthy")
    }
    return frozenset(
        service
        for service in wanted.services
        if not any(re.fullmatch(rf"{re.escape(wanted.name)}-{re.escape(service)}-\d+", name) for name in well)
    )
