"""Reads the `deploy` section: hosts and number of replicas, rollouts, restarts and limits, with the keys of Swarm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from agent.intent import forms, limits
from agent.intent.values import text
from agent.model import intent
from agent.model.intent import ANYWHERE, Constraint, FailureAction, Update, UpdateOrder, Where
from agent.model.spec import Restart, RestartName
from agent.yamldoc import Reader, readers
from agent.yamldoc.faultlist import listed
from agent.yamldoc.readers import Cursor, Fields, after, choice, duration, integer, number, sequence_of

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
_KNOWN = {"node.hostname": "hostname", "node.role": "role"}
_EXAMPLE = "write for example node.labels.zone == a, node.role != manager or node.hostname == node-1"
_NOT_PLACED_BY = {
    "node.id": "the swarm chooses node ids, and the document cannot know them: write node.hostname",
    "node.ip": "write node.hostname",
    "node.platform.os": "label the hosts and write node.labels.<name>",
    "node.platform.arch": "label the hosts and write node.labels.<name>",
}
_ENGINE = "engine.labels."
_ROLES = ("manager", "worker")

_PREFERENCE = forms.Section({"spread": {"type": "string", "pattern": "^node\\."}}, ("spread",))
WHERE = forms.Section(
    {
        "constraints": forms.list_of({"type": "string", "pattern": "(==|!=)"}),
        "preferences": forms.list_of(_PREFERENCE.form),
        "max_replicas_per_node": forms.integer(0, MOST_ON_A_HOST),
    }
)

_AS_SWARM = Update()
_FAILURE_ACTION: Reader[FailureAction] = choice(get_args(FailureAction))

UPDATE = forms.Section(
    {
        "parallelism": forms.integer(0, 10_000),
        "order": forms.choice(get_args(UpdateOrder)),
        "failure_action": forms.choice(get_args(FailureAction)),
        **dict.fromkeys(("monitor", "delay"), forms.DURATION),
        "max_failure_ratio": forms.number(0.0, 1.0),
    }
)
_SWARM_WAITS = "is not supported: the engine's own delay applies, which doubles from 0.1 s to one minute"
RESTART = forms.Section(
    {"condition": forms.choice(get_args(Condition)), "max_attempts": forms.integer(0, 1_000_000)},
    refused={"delay": _SWARM_WAITS, "window": _SWARM_WAITS},
)
LIMITS = forms.Section(
    {"cpus": forms.number(0.001, 10_000), "memory": forms.SIZE, "pids": forms.integer(-1, 1 << 22)},
    refused={"devices": "is not supported: devices cannot be limited; use devices, or reservations"},
)
RESERVATIONS = forms.Section(
    {"memory": forms.SIZE, "devices": forms.list_of(limits.REQUEST.form)},
    refused={
        "cpus": "is not supported: Docker reserves no CPUs for a container; use cpu_shares for priority",
        "generic_resources": "is not supported: only services of Swarm have them",
        "pids": "is not supported: Docker reserves no processes for a container",
    },
)
_RESOURCES = forms.Section({"limits": LIMITS.form, "reservations": RESERVATIONS.form})
DEPLOY = forms.Section(
    {
        "mode": forms.choice(get_args(ServiceMode)),
        "replicas": forms.integer(0, MOST_REPLICAS),
        "placement": WHERE.form,
        **dict.fromkeys(("update_config", "rollback_config"), UPDATE.form),
        "restart_policy": RESTART.form,
        "resources": _RESOURCES.form,
    },
    refused={
        "endpoint_mode": "is not supported: a service has no virtual address",
        "labels": "is not supported: Swarm puts them on a service of its own; use the labels of the service",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    update: Update = _AS_SWARM
    rollback: Update | None = None
    everywhere: bool = False
    """True for mode global: one replica on each host that meets the constraints."""
    replicas: int | None = None
    """Number of replicas, on hosts that the scheduler picks; None if not declared."""
    where: Where = ANYWHERE
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ContainerSpec."""


def read_deploy(cursor: Cursor) -> Deploy:
    fields = DEPLOY.read(cursor)
    spec: dict[str, Any] = fields.read("resources", _resources, {})
    if restart := fields.read("restart_policy", restart_policy):
        spec["restart"] = restart
    everywhere = fields.read("mode", choice(get_args(ServiceMode))) == "global"
    replicas = fields.read("replicas", integer(0, MOST_REPLICAS))
    if replicas is None and "replicas" in fields:
        replicas = 0  # its fault is noted; None would add that x-hosts is missing
    where: Where = fields.read("placement", read_where, ANYWHERE)
    if everywhere:
        _check_global(fields, where)
    return Deploy(
        update=fields.read("update_config", update_config, _AS_SWARM),
        rollback=fields.read("rollback_config", update_config),
        everywhere=everywhere,
        replicas=replicas,
        where=where,
        spec=spec,
    )


def _check_global(fields: Fields, where: Where) -> None:
    one_each = "mode global runs one replica on every host"
    if place := fields.at("replicas"):
        place.hidden().conflict(f"{one_each}: replicas has no effect", "remove mode or replicas")
    for key, value in (("preferences", where.spread), ("max_replicas_per_node", where.most_per_host)):
        if value:
            place = fields.cursor.at("placement", key).hidden()
            place.conflict(f"{one_each}: {key} has no effect", "remove it")


def restart_policy(cursor: Cursor) -> Restart | None:
    """Read a restart policy with the keys of Swarm; the default condition is any."""
    fields = RESTART.read(cursor)
    condition: Condition = fields.read("condition", choice(get_args(Condition)), "any")
    attempts = fields.read("max_attempts", integer(0, 1_000_000), 0)
    if attempts and condition != "on-failure":
        problem = "the engine counts attempts only after failures"
        cursor.at("max_attempts").conflict(problem, "write condition: on-failure, or remove max_attempts")
    return Restart(name=_RESTARTS[condition], max_retries=attempts if condition == "on-failure" else 0)


def update_config(cursor: Cursor) -> Update | None:
    """Read the settings of a rollout; the defaults are Swarm's."""
    fields = UPDATE.read(cursor)
    return Update(
        parallelism=fields.read("parallelism", integer(0, 10_000), _AS_SWARM.parallelism),
        order=fields.read("order", choice(get_args(UpdateOrder)), _AS_SWARM.order),
        failure_action=fields.read("failure_action", _FAILURE_ACTION, _AS_SWARM.failure_action),
        monitor_s=fields.read("monitor", duration(), _AS_SWARM.monitor_s),
        delay_s=fields.read("delay", duration(), _AS_SWARM.delay_s),
        max_failure_ratio=fields.read("max_failure_ratio", number(0.0, 1.0), _AS_SWARM.max_failure_ratio),
    )


def _resources(cursor: Cursor) -> dict[str, Any]:
    fields = _RESOURCES.read(cursor)
    most, reserved = LIMITS.within(fields, "limits"), RESERVATIONS.within(fields, "reservations")
    found: dict[str, Any] = {
        "nano_cpus": most.read("cpus", limits.cpus),
        "memory_limit_bytes": most.read("memory", limits.memory),
        "pids_limit": most.read("pids", limits.pids),
        "memory_reservation_bytes": reserved.read("memory", limits.memory),
        "gpus": reserved.read("devices", limits.reserved_devices),
    }
    return {attribute: value for attribute, value in found.items() if value is not None}


# ---- `deploy.placement`: the hosts that replicas may run on, and the labels that they are spread over


def read_where(cursor: Cursor) -> Where:
    fields = WHERE.read(cursor)
    most = fields.read("max_replicas_per_node", integer(0, MOST_ON_A_HOST), 0)
    return Where(
        constraints=fields.read("constraints", sequence_of(constraint, distinct=True), ()),
        spread=fields.read("preferences", sequence_of(_preference, distinct=True), ()),
        most_per_host=most or None,  # 0 is no bound, as in Compose
    )


@after(text)
def constraint(cursor: Cursor, written: str) -> Constraint | None:
    """Read a constraint such as `node.role == manager`."""
    found = _CONSTRAINT.fullmatch(written)
    if found is None:
        cursor.fault(f"{cursor.shown} is not a constraint", _EXAMPLE)
        return None
    of, value = _feature(cursor, found["of"]), found["value"]
    if of == "role" and value.casefold() not in _ROLES:
        near = cursor.guess(value, _ROLES)
        cursor.fault(f"'{value}' is not a role", near or "write manager or worker")
        return None
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
        instead = _NOT_PLACED_BY.get(name) or cursor.guess(name, tuple(_KNOWN)) or _EXAMPLE
    cursor.fault(f"'{name}' is not an attribute of a host", instead)
    return None


_spread = after(text)(_feature)


def _preference(cursor: Cursor) -> str | None:
    return _PREFERENCE.read(cursor).require("spread", _spread, "write for example spread: node.labels.zone")


# ---- `x-hosts`: the number of replicas on each host. `deploy` can replace it

Placement = tuple[tuple[str, int], ...]
HOSTS = forms.either(forms.list_of(forms.TEXT, 1), forms.mapping_of(forms.integer(0, MOST_ON_A_HOST)))


def read_placement(fields: Fields, hosts: tuple[str, ...], deploy: Deploy) -> Placement:
    """Return (host, replicas) of the declared `hosts`, in the document's order; empty if `deploy` places them."""
    place = fields.at("x-hosts")
    if place is None:
        if not deploy.everywhere and deploy.replicas is None:
            example = hosts[0] if hosts else "node-1"
            remedy = f"write for example x-hosts: [{example}], or deploy: {{replicas: 1}}"
            fields.missing("x-hosts", remedy)
        return ()
    for key in _placement_keys(deploy):
        place.hidden().conflict(f"x-hosts and deploy.{key} contradict each other", "keep one of them")
    return _checked(_counted(place), hosts)


def _placement_keys(deploy: Deploy) -> list[str]:
    """Return the settings of `deploy` that choose hosts or a number of replicas."""
    declared = {
        "mode: global": deploy.everywhere,
        "replicas": deploy.replicas is not None,
        "placement": deploy.where != ANYWHERE,
    }
    return [key for key, is_declared in declared.items() if is_declared]


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
            known = place.guess(host, hosts) or f"x-cluster.hosts has {listed(hosts)}"
            place.conflict(f"{place.shown} is not a declared host", known)
        found[host] = count
    return tuple(found.items())
