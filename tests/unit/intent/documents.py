"""Short ways to write a document for a test."""

from agent.intent import parse_intent
from agent.model.faults import InvalidDocument
from agent.model.intent import Intent
from agent.model.spec import ContainerSpec
from tests.unit.intent.offered import complaints

CLUSTER = """\
name: shop
x-cluster:
  version: 1
  hosts: {one: {address: 10.0.0.1, role: manager}, two: {address: 10.0.0.2, role: worker}}
  gwbridge: {subnet: 172.21.0.0/20}
"""
NETWORKS = "networks: {inner: {ipam: {config: [{subnet: 10.10.0.0/16}]}}}\nvolumes: {data: }\n"


def parse(text: str) -> Intent:
    """What the document says. Of one that is good an editor must not say anything else."""
    intent = parse_intent(text.encode(), revision=1)
    assert complaints(text) == []
    return intent


def faults(text: str) -> list[str]:
    """What is said against a document, without places; nothing for a good one."""
    try:
        parse(text)
    except InvalidDocument as error:
        return [f"{fault.path}: {fault.problem}" for fault in error.faults]
    return []


def service(keys: str, where: str = "[one]") -> str:
    """A document with the service `web`, which has these keys (each line is one)."""
    indented = "".join(f"    {line}\n" for line in keys.splitlines())
    return f"{CLUSTER}{NETWORKS}services:\n  web:\n    image: web\n    x-hosts: {where}\n{indented}"


def spec_of(keys: str) -> ContainerSpec:
    """What a replica of a service with these keys is."""
    (only,) = parse(service(keys)).services
    return only.spec
