"""Reads the `deploy` section: hosts and number of replicas, rollouts, restarts and limits, with the keys of Swarm."""

import re
from dataclasses import replace
from typing import Any, Literal, get_args

from agent.diff.capacity import ARCHITECTURES
from agent.intent import forms, limits
from agent.intent.forms import Field, Section
from agent.intent.values import text
from agent.model import intent
from agent.model.intent import ANYWHERE, REPORTED, Constraint, FailureAction, Update, UpdateOrder, Where
from agent.model.spec import Restart, RestartName
from agent.yamldoc import readers
from agent.yamldoc.faultlist import listed
from agent.yamldoc.readers import Cursor, Fields, after, derived, duration, integer, number, sequence_of

ServiceMode = Literal["global", "replicated"]

MOST_REPLICAS = 10_000
"""Replicas of one service."""

Condition = Literal["none", "on-failure", "any"]
_RESTARTS: dict[Condition, RestartName] = {"none": "no", "on-failure": "on-failure", "any": "always"}
"""Restart policies by Swarm's condition, as Compose maps them."""

Hosts = tuple[intent.HostIntent, ...]
MOST_ON_A_HOST = 1000
"""Replicas on one host."""

_CONSTRAINT = re.compile(r"\s*(?P<of>[^\s=!]+)\s*(?P<operator>==|!=)\s*(?P<value>\S(?:.*\S)?)\s*")
_LABEL = re.compile(r"node\.(labels\.[A-Za-z0-9][A-Za-z0-9_./-]{0,126})")
_KNOWN = {f"node.{each}": each for each in ("hostname", "role", "id", "platform.os", "platform.arch")}
_EXAMPLE = "write for example node.labels.zone == a, node.role != manager or node.hostname == node-1"
_NOT_PLACED_BY = {"node.ip": "write node.hostname"}
_ENGINE = "engine.labels."
_VALUES: dict[str | None, tuple[str, tuple[str, ...]]] = {
    "role": ("a role", ("manager", "worker")),
    "platform.os": ("a system that hosts run", ("linux",)),
    "platform.arch": ("a processor", ARCHITECTURES),
}
_NODE_ID = re.compile(r"[a-z0-9]{25}")


# ---- `deploy.placement`: the hosts that replicas may run on, and the labels that they are spread over


@after(text)
def constraint(cursor: Cursor, written: str) -> Constraint | None:
    """Read a constraint such as `node.role == manager`."""
    found = _CONSTRAINT.fullmatch(written)
    if found is None:
        return cursor.fault(f"{cursor.shown} is not a constraint", _EXAMPLE)
    of, value = _feature(cursor, found["of"]), found["value"]
    what, values = _VALUES.get(of, ("", ()))
    if values and value.casefold() not in values:
        remedy = cursor.guess(value, values, f"write {' or '.join(values[-2:])}")
        return cursor.fault(f"'{value}' is not {what}", remedy)
    if of == "id" and not _NODE_ID.fullmatch(value):
        remedy = "write one of 25 characters, as `docker node ls` lists them"
        return cursor.fault(f"'{value}' is not the id of a node", remedy)
    if of is None:
        return None
    return Constraint(of=of, equal=found["operator"] == "==", value=value)


def _feature(cursor: Cursor, name: str) -> str | None:
    if label := _LABEL.fullmatch(name):
        return label[1]
    if name in _KNOWN:
        return _KNOWN[name]
    if name.startswith(_ENGINE):
        instead = f"write node.labels.{name.removeprefix(_ENGINE)}, and declare that label in x-cluster.hosts"
    else:
        instead = _NOT_PLACED_BY.get(name) or cursor.guess(name, tuple(_KNOWN), _EXAMPLE)
    return cursor.fault(f"'{name}' is not an attribute of a host", instead)


@after(text)
def _spread(cursor: Cursor, name: str) -> str | None:
    found = _feature(cursor, name)
    if found in (*REPORTED, "platform.os"):
        remedy = "label the hosts and write node.labels.<name>"
        return cursor.fault(f"replicas are not spread over '{name}'", remedy)
    return found


_PREFERENCE = Section(
    {"spread": Field(_spread, {"type": "string", "pattern": "^node\\."})},
    {"spread": "write for example spread: node.labels.zone"},
)
_preference = _PREFERENCE.into(lambda spread: spread)
_most = derived(integer(0, MOST_ON_A_HOST), lambda most: most or None)
"""Reads a bound; 0 is none, as in Compose."""
WHERE = Section(
    {
        "constraints": Field(
            sequence_of(constraint, distinct=True), forms.list_of({"type": "string", "pattern": "(==|!=)"})
        ),
        "preferences": Field(
            sequence_of(_preference, distinct=True), forms.list_of(_PREFERENCE.form), "spread"
        ),
        "max_replicas_per_node": Field(_most, forms.integer(0, MOST_ON_A_HOST), "most_per_host"),
    }
)


# ---- The other sections of `deploy`

UPDATE = Section(
    {
        "parallelism": Field.integer(0, 10_000),
        "order": Field.choice(get_args(UpdateOrder)),
        "failure_action": Field.choice(get_args(FailureAction)),
        "monitor": Field(duration(), forms.DURATION, "monitor_s"),
        "delay": Field(duration(), forms.DURATION, "delay_s"),
        "max_failure_ratio": Field(number(0.0, 1.0), forms.number(0.0, 1.0)),
    }
)
_SWARM_WAITS = (
    "is not supported: the engine's own delay applies, which doubles from 0.1 s to one minute; remove it"
)
RESTART = Section(
    {"condition": Field.choice(get_args(Condition)), "max_attempts": Field.integer(0, 1_000_000)},
    refused={"delay": _SWARM_WAITS, "window": _SWARM_WAITS},
)
LIMITS = Section(
    {
        "cpus": Field(limits.cpus, forms.number(0.01, 10_000), "nano_cpus"),
        "memory": Field(limits.memory, forms.SIZE, "memory_limit_bytes"),
        "pids": Field(limits.pids, forms.integer(-1, 1 << 22), "pids_limit"),
    },
    refused={"devices": "is not supported: devices cannot be limited; write devices of reservations"},
)
RESERVATIONS = Section(
    {
        "cpus": Field(limits.cpus, forms.number(0.01, 10_000), "reserved_nano_cpus"),
        "memory": Field(limits.memory, forms.SIZE, "memory_reservation_bytes"),
        "devices": Field(limits.reserved_devices, forms.list_of(limits.REQUEST.form), "gpus"),
    },
    refused={
        "generic_resources": "is not supported: only services of Swarm have them; remove it",
        "pids": "is not supported: Docker reserves no processes for a container; use limits",
    },
)
_RESOURCES = Section(
    {
        "limits": Field(LIMITS.into(dict), LIMITS.form, None),
        "reservations": Field(RESERVATIONS.into(dict), RESERVATIONS.form, None),
    }
)


def _restart(cursor: Cursor) -> Restart:
    """Read a restart policy with the keys of Swarm; the default condition is any."""
    before, (_, found) = len(cursor.faults), RESTART.read(cursor)
    condition, attempts = found.get("condition", "any"), found.get("max_attempts", 0)
    if attempts and condition != "on-failure" and len(cursor.faults) == before:
        problem = "the engine counts attempts only after failures"
        cursor.at("max_attempts").conflict(problem, "write condition: on-failure, or remove max_attempts")
    return Restart(name=_RESTARTS[condition], max_retries=attempts if condition == "on-failure" else 0)


DEPLOY = Section(
    {
        "mode": Field.choice(get_args(ServiceMode)),
        "replicas": Field.integer(0, MOST_REPLICAS),
        "placement": Field(WHERE.into(Where), WHERE.form, "where"),
        "update_config": Field(UPDATE.into(Update), UPDATE.form, "update"),
        "rollback_config": Field(UPDATE.into(Update), UPDATE.form, "rollback"),
        "restart_policy": Field(_restart, RESTART.form, "restart"),
        "resources": Field(_RESOURCES.into(dict), _RESOURCES.form, "spec"),
        "endpoint_mode": Field.respelled(forms.choice(("vip", "dnsrr")), "is neither vip nor dnsrr"),
        "labels": Field.respelled(forms.PAIRS, "is neither a mapping nor a list"),
    }
)


def read_deploy(cursor: Cursor) -> dict[str, Any]:
    """Read into fields of ServiceIntent; `spec` has fields of ContainerSpec."""
    fields, found = DEPLOY.read(cursor)
    if reserved := found.get("spec", {}).pop("reserved_nano_cpus", 0):
        found["reserved_nano_cpus"] = reserved
    if restart := found.pop("restart", None):
        found["spec"] = {**found.get("spec", {}), "restart": restart}
    if found.pop("mode", "") == "global":
        found["everywhere"] = True
        _check_global(fields, found.get("where", ANYWHERE))
    return found


def _check_global(fields: Fields, where: Where) -> None:
    one_each = "mode global runs one replica on every host"
    if place := fields.at("replicas"):
        place.hidden().conflict(f"{one_each}: replicas has no effect", "remove mode or replicas")
    for key, value in (("preferences", where.spread), ("max_replicas_per_node", where.most_per_host)):
        if value:
            place = fields.cursor.at("placement", key).hidden()
            place.conflict(f"{one_each}: {key} has no effect", "remove it")


# ---- `x-hosts`: the number of replicas on each host. `deploy` can replace it

Placement = tuple[tuple[str, int], ...]
HOSTS = forms.either(forms.list_of(forms.TEXT, 1), forms.mapping_of(forms.integer(0, MOST_ON_A_HOST)))


def read_placement(fields: Fields, hosts: tuple[str, ...], deploy: intent.ServiceIntent) -> Placement:
    """Return (host, replicas) of the declared `hosts`, in the document's order; empty if `deploy` places them."""
    place = fields.at("x-hosts")
    if place is None:
        return ()
    declared = {
        "mode: global": deploy.everywhere,
        "replicas": deploy.replicas is not None,
        "placement": deploy.where != ANYWHERE,
    }
    for key in (key for key, is_declared in declared.items() if is_declared):
        place.hidden().conflict(f"x-hosts and deploy.{key} contradict each other", "keep one of them")
    return _checked(_counted(place), hosts)


def settle_hosts(
    service: intent.ServiceIntent, cursor: Cursor, hosts: Hosts, fitting: Hosts
) -> intent.ServiceIntent:
    """Return `service` with the hosts of mode global. Note a fault if none of `hosts` is `fitting`."""
    if service.where.constraints and hosts and not fitting:
        listed_unmet = ", ".join(dict.fromkeys(str(service.where.unmet(each)) for each in hosts))
        problem = f"no declared host meets these constraints: {listed_unmet}"
        place = cursor.at("deploy", "placement", "constraints").hidden()
        place.conflict(problem, "correct the constraints, or the labels in x-cluster.hosts")
    if not service.everywhere:
        return service
    return replace(service, placement=tuple((each.name, 1) for each in fitting))


def _counted(place: Cursor) -> list[tuple[Cursor, int]]:
    """Return (host, replicas), from a mapping or from a list of hosts with one replica each."""
    count = integer(0, MOST_ON_A_HOST)
    if place.is_mapping:
        found = [(key, count(value)) for key, value in place.entries()]
    else:
        found = [(each, 1) for each in place.items()]
    if not found and (place.is_mapping or place.is_sequence):
        place.fault("names no host", "name at least one")
    return [(key, number) for key, number in found if number is not None]


def _checked(pairs: list[tuple[Cursor, int]], hosts: tuple[str, ...]) -> Placement:
    found: dict[str, int] = {}
    declared = frozenset(hosts)
    for place, count in pairs:
        host = readers.text(place)
        if host is None:
            continue
        if host in found:
            problem = f"names the host {place.shown} twice"
            place.conflict(problem, "write host: 2 for two replicas on one host")
        elif hosts and host not in declared:
            known = place.guess(host, hosts, f"write {listed(hosts)}, or add it to x-cluster.hosts")
            place.conflict(f"{place.shown} is not a declared host", known)
        found[host] = count
    return tuple(found.items())
