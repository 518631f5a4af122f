"""The documents of bench/scale: as many hosts as asked for, with 20 replicas each."""

SERVICES = 10
REPLICAS = 20
"""Of each host, of all services together."""
FEW_HOSTS = 3
"""Hosts of the service `few`, which has one replica on each of the last ones. The last of the others has
fewer for that."""

_DOCUMENT = """\
name: prod
x-cluster:
  version: 1
  gwbridge: {{subnet: 172.21.0.0/20, gateway: 172.21.0.1}}
  hosts:
{hosts}
networks:
  net: {{name: net, driver: overlay, attachable: true, ipam: {{config: [{{subnet: 10.64.0.0/14}}]}}}}
services: {services}
{comment}
"""
_SERVICE = (
    "\n  s{number}: {{image: 'registry.example/s{number}:1.0.0', networks: [net], environment: {{LOG_LEVEL: info}}, "
    "deploy: {{replicas: {replicas}}}}}"
)
_FEW = "\n  few: {{image: 'registry.example/few:{tag}', networks: [net], x-hosts: {{{hosts}}}}}"


def name_of(number: int) -> str:
    return f"node-{number:04}"


def address_of(number: int) -> str:
    return f"10.1.{number // 200}.{number % 200 + 1}"


def managers_of(hosts: int) -> int:
    """How many of the hosts, which are the first ones, are managers."""
    return 5 if hosts >= 10 else min(hosts, 3)


def head(hosts: int, services: str, comment: str = "") -> str:
    """A document for so many hosts with these services."""
    lines = (
        f"    {name_of(number)}: {{address: {address_of(number)}, "
        f"role: {'manager' if number < managers_of(hosts) else 'worker'}}}"
        for number in range(hosts)
    )
    return _DOCUMENT.format(hosts="\n".join(lines), services=services, comment=comment)


def document(hosts: int, *, services: bool = True, tag: str = "1.0.0", comment: str = "") -> str:
    """Ten services and `few`, of which `tag` is the tag: 20 replicas a host together."""
    if not services:
        return head(hosts, "{}", comment)
    counts = [hosts * REPLICAS // SERVICES] * SERVICES
    counts[-1] -= FEW_HOSTS
    every = "".join(_SERVICE.format(number=each, replicas=count) for each, count in enumerate(counts))
    last = ", ".join(f"{name_of(number)}: 1" for number in range(hosts - FEW_HOSTS, hosts))
    return head(hosts, every + _FEW.format(tag=tag, hosts=last), comment)
