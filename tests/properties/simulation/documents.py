"""The documents that an operator of a simulated cluster puts: small ones, so that many histories can be told."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.intent import parse_intent
from agent.model.intent import Intent
from tests.support.simulated_cluster import parsed

OVERLAY: Final = "overlay"
BRIDGES: Final = ("172.21.0", "172.29.0")
REGISTRY: Final = {f"somecom/{name}:{tag}" for name in ("order", "api") for tag in ("1.0.0", "1.0.1")}
_SUBNET: Final = "ipam: {config: [{subnet: 10.10.0.0/24}]}"
BAD: Final = (b"", b"services: 1", b"\xff", b'{"name": "prod", "x-cluster": {"version": 99}}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an operator may want, of hosts that are told by their number."""

    workers: frozenset[int] = frozenset()
    out: frozenset[int] = frozenset()
    """Hosts that the document does not name."""
    bridge: int = 0
    tag: str = "1.0.0"
    order_on: int = 0
    """The first host that runs a replica of `order`; the second is the next one."""
    pinned: bool = False
    """Whether replicas have an overlay address of their own for good."""
    drained: frozenset[int] = frozenset()


def wish(number: int, hosts: int) -> Wish:
    """The wish of that number: every number is one, 0 asks for managers all over. At least one host is a manager."""
    number, roles = divmod(number, 4)
    number, out = divmod(number, 4)
    number, bridge = divmod(number, 3)
    number, tag = divmod(number, 2)
    number, where = divmod(number, hosts)
    number, pinned = divmod(number, 3)
    taken = frozenset({(where + 1) % hosts} if out == 3 else ())
    return Wish(
        workers=_workers(roles, where, hosts) - taken,
        out=taken,
        bridge=1 if bridge == 2 else 0,
        tag=f"1.0.{tag}",
        order_on=where,
        pinned=pinned == 2,
        drained=frozenset({where} if number % 4 == 3 else ()),
    )


def _workers(roles: int, where: int, hosts: int) -> frozenset[int]:
    some = {0: (), 1: (where,), 2: range(where + 1, where + hosts - 1), 3: range(where, where + hosts // 2)}
    return frozenset(each % hosts for each in some[roles])


def document(wanted: Wish, names: Sequence[str]) -> str:
    """The document that says so."""
    there = [each for each in range(len(names)) if each not in wanted.out]
    bridge = BRIDGES[wanted.bridge]
    lines = ["name: prod", "x-cluster:", "  version: 1"]
    lines += ["  policy: {reserve_addresses: true}"] if wanted.pinned else []
    lines += ["  hosts:"]
    for each in there:
        role = "worker" if each in wanted.workers else "manager"
        drained = ", availability: drain" if each in wanted.drained else ""
        lines.append(f"    {names[each]}: {{address: {address(names[each])}, role: {role}{drained}}}")
    common = f"restart: always, networks: [{OVERLAY}]"
    first, second = (names[there[(wanted.order_on + each) % len(there)]] for each in (0, 1))
    lines += [
        f"  gwbridge: {{subnet: {bridge}.0/24, gateway: {bridge}.1}}",
        f"networks: {{{OVERLAY}: {{name: {OVERLAY}, driver: overlay, attachable: true, {_SUBNET}}}}}",
        "services:",
        f"  order: {{image: 'somecom/order:{wanted.tag}', {common}, x-hosts: [{first}, {second}]}}",
        f"  api: {{image: 'somecom/api:1.0.0', {common}, ports: ['80:8080'], x-hosts: [{second}]}}",
    ]
    return "\n".join(lines)


def address(name: str) -> str:
    return f"10.159.62.{name[-3:]}"


@functools.cache
def read(text: str) -> Intent:
    """The intent that a document is; revision 1."""
    return parsed(text)


def parse_remembered(raw: bytes, revision: int) -> Intent:
    """`parse_intent`, which reads every document only once: all agents of all histories read the same ones."""
    return replace(_parse(raw), revision=revision)


@functools.lru_cache(maxsize=4096)
def _parse(raw: bytes) -> Intent:
    return parse_intent(raw, 1)
