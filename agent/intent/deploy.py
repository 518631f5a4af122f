"""The `deploy` section: where and how many replicas run, how changes are rolled out, and limits in Swarm's words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from agent.intent import forms, limits
from agent.intent.values import text
from agent.model import intent
from agent.model.intent import ANYWHERE, Constraint, FailureAction, Update, UpdateOrder, Where
from agent.model.spec import Restart, RestartName
from agent.yamldoc import readers
from agent.yamldoc.faultlist import listed
from agent.yamldoc.readers import Cursor, Fields, after, choice, duration, integer, number, sequence_of

ServiceMode = Literal["global", "replicated"]

MOST_REPLICAS = 10_000
"""Replicas of one service."""

Condition = Literal["none", "on-failure", "any"]
_RESTARTS: dict[Condition, RestartName] = {"none": "no", "on-failure": "on-failure", "any": "always"}
"""As Compose takes Swarm's words."""

MOST_ON_A_HOST = 1000

_SAID = re.compile(r"\s*(?P<of>[^\s=!]+)\s*(?P<operator>==|!=)\s*(?P<value>\S(?:.*\S)?)\s*")
_LABEL = re.compile(r"node\.(labels\.[A-Za-z0-9][A-Za-z0-9_./-]{0,126})")
_KNOWN = {"node.hostname": "hostname", "node.role": "role"}
_EXAMPLE = "write for example node.labels.zone == a, node.role != manager or node.hostname == node-1"
_NOT_PLACED_BY = {
    "node.id": "the swarm gives node ids, the document does not know them: write node.hostname",
    "node.ip": "write node.hostname",
    "node.platform.os": "give the hosts a label and write node.labels.<name>",
    "node.platform.arch": "give the hosts a label and write node.labels.<name>",
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

UPDATE = forms.Section(
    {
        "parallelism": forms.integer(0, 10_000),
        "order": forms.choice(get_args(UpdateOrder)),
        "failure_action": forms.choice(get_args(FailureAction)),
        **dict.fromkeys(("monitor", "delay"), forms.DURATION),
        "max_failure_ratio": forms.number(0.0, 1.0),
    }
)
_SWARM_WAITS = "is not offered: the engine waits as it does, from 0.1 s doubling to one minute"
RESTART = forms.Section(
    {"condition": forms.choice(get_args(Condition)), "max_attempts": forms.integer(0, 1_000_000)},
    refused={"delay": _SWARM_WAITS, "window": _SWARM_WAITS},
)
LIMITS = forms.Section(
    {"cpus": forms.number(0.001, 10_000), "memory": forms.SIZE, "pids": forms.integer(-1, 1 << 22)},
    refused={"devices": "is not offered: a device is given or not; use devices, or reservations"},
)
RESERVATIONS = forms.Section(
    {"memory": forms.SIZE, "devices": forms.list_of(limits.REQUEST.form)},
    refused={
        "cpus": "is not offered: a host reserves no CPUs; cpu_shares says who comes first",
        "generic_resources": "is not offered: only Swarm's own services know them",
        "pids": "is not offered: nothing reserves processes",
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
        "endpoint_mode": "is not offered: replicas are containers, without a virtual address",
        "labels": "is not offered: they would be labels of a Swarm service; use the service's own labels",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """What `deploy` says."""

    update: Update = _AS_SWARM
    rollback: Update | None = None
    everywhere: bool = False
    """Whether every host that may runs a replica."""
    replicas: int | None = None
    """How many replicas there are, on hosts that the leader chooses; None: not said."""
    where: Where = ANYWHERE
    """Which hosts may run replicas."""
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
        replicas = 0  # refused already: that it is missing need not be said, too
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
        place.hidden().fault(f"{one_each}, and has no replicas", "keep one of them")
    section = fields.at("placement")
    for key, said in (("preferences", where.spread), ("max_replicas_per_node", where.most_per_host)):
        if section and said:
            section.at(key).hidden().fault(f"{one_each}: this means nothing there", "take it out")


def restart_policy(cursor: Cursor) -> Restart | None:
    """Read what happens when the process ends, in Swarm's words; without a condition it is always started again."""
    fields = RESTART.read(cursor)
    condition: Condition = fields.read("condition", choice(get_args(Condition)), "any")
    tries = fields.read("max_attempts", integer(0, 1_000_000), 0)
    place = fields.at("max_attempts")
    if tries and place and condition != "on-failure":
        problem = "the engine counts attempts only after failures"
        place.fault(problem, "write condition: on-failure, or take it out")
    return Restart(name=_RESTARTS[condition], max_retries=tries if condition == "on-failure" else 0)


def update_config(cursor: Cursor) -> Update | None:
    """Read how a change is rolled out; what is not said is as in Swarm."""
    fields = UPDATE.read(cursor)
    return Update(
        parallelism=fields.read("parallelism", integer(0, 10_000), _AS_SWARM.parallelism),
        order=fields.read("order", choice(get_args(UpdateOrder)), _AS_SWARM.order),
        failure_action=fields.read(
            "failure_action", choice(get_args(FailureAction)), _AS_SWARM.failure_action
        ),
        monitor_s=fields.read("monitor", duration(), _AS_SWARM.monitor_s),
        delay_s=fields.read("delay", duration(), _AS_SWARM.delay_s),
        max_failure_ratio=fields.read("max_failure_ratio", number(0.0, 1.0), _AS_SWARM.max_failure_ratio),
    )


def _resources(cursor: Cursor) -> dict[str, Any]:
    fields = _RESOURCES.read(cursor)
    most, reserved = LIMITS.within(fields, "limits"), RESERVATIONS.within(fields, "reservations")
    said: dict[str, Any] = {}
    if most is not None:
        said["nano_cpus"] = most.read("cpus", limits.cpus)
        said["memory_limit_bytes"] = most.read("memory", limits.memory)
        said["pids_limit"] = most.read("pids", limits.pids)
    if reserved is not None:
        said["memory_reservation_bytes"] = reserved.read("memory", limits.reservation)
        said["gpus"] = reserved.read("devices", limits.reserved_devices)
    return {attribute: value for attribute, value in said.items() if value is not None}


# ---- `deploy.placement`: on which hosts replicas may run, and over what they are spread


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
    """Read `node.role == manager` and its like."""
    said = _SAID.fullmatch(written)
    if said is None:
        cursor.fault(f"{cursor.shown} is not a constraint", _EXAMPLE)
        return None
    of, value = _feature(cursor, said["of"]), said["value"]
    if of == "role" and value.casefold() not in _ROLES:
        near = cursor.guess(value, _ROLES)
        cursor.fault(f"'{value}' is not a role", near or "write manager or worker")
        return None
    if of is None:
        return None
    return Constraint(of=of, equal=said["operator"] == "==", value=value)


def _feature(cursor: Cursor, name: str) -> str | None:
    if label := _LABEL.fullmatch(name):
        return label[1]
    if name in _KNOWN:
        return _KNOWN[name]
    if name.startswith(_ENGINE):
        instead = f"write node.labels.{name.removeprefix(_ENGINE)}, and give the hosts that label in x-cluster.hosts"
    else:
        instead = _NOT_PLACED_BY.get(name) or cursor.guess(name, tuple(_KNOWN)) or _EXAMPLE
    cursor.fault(f"'{name}' is nothing that replicas are placed by", instead)
    return None


_spread = after(text)(_feature)


def _preference(cursor: Cursor) -> str | None:
    return _PREFERENCE.read(cursor).require("spread", _spread, "write for example spread: node.labels.zone")


# ---- `x-hosts`, or `deploy` in its place: how many replicas each host runs, or how many there are at all

_MOST_OF_A_HOST = 1000
"""Replicas of one service on one host."""

Placement = tuple[tuple[str, int], ...]
HOSTS = forms.either(forms.list_of(forms.TEXT, 1), forms.mapping_of(forms.integer(0, _MOST_OF_A_HOST)))


def read_placement(fields: Fields, hosts: tuple[str, ...], deploy: Deploy) -> Placement:
    """Return (host, replicas) in the document's order; nothing where `deploy` says it.

    `hosts` are the declared ones.
    """
    place = fields.at("x-hosts")
    if place is None:
        if not deploy.everywhere and deploy.replicas is None:
            example = hosts[0] if hosts else "node-1"
            remedy = f"say where it runs, for example x-hosts: [{example}], or deploy: {{replicas: 1}}"
            fields.missing("x-hosts", remedy)
        return ()
    for key in _said(deploy):
        place.hidden().fault(f"x-hosts and deploy.{key} say different things", "keep one of them")
    return _checked(_counted(place), dict.fromkeys(hosts, 1))


def _said(deploy: Deploy) -> list[str]:
    """What `deploy` says of where replicas run."""
    said = {
        "mode: global": deploy.everywhere,
        "replicas": deploy.replicas is not None,
        "placement": deploy.where != ANYWHERE,
    }
    return [key for key, is_said in said.items() if is_said]


def settle_hosts(
    service: intent.ServiceIntent, cursor: Cursor, hosts: tuple[intent.HostIntent, ...]
) -> intent.ServiceIntent:
    """Return `service` with the hosts of mode global; note a fault when its constraints leave none of the `hosts`."""
    unmet = [service.where.unmet(each) for each in hosts]
    if service.where.constraints and hosts and all(unmet):
        told = ", ".join(dict.fromkeys(str(each) for each in unmet))
        problem = f"no declared host meets these constraints: {told}"
        place = cursor.at("deploy", "placement", "constraints").hidden()
        place.fault(problem, "correct them, or the labels in x-cluster.hosts")
    if not service.everywhere:
        return service
    fitting = (each.name for each, why_not in zip(hosts, unmet, strict=True) if not why_not)
    return replace(service, placement=tuple((name, 1) for name in fitting))


def _counted(place: Cursor) -> list[tuple[Cursor, int]]:
    """Return (host, replicas), from a mapping or from a list of hosts that run one each."""
    count = integer(0, _MOST_OF_A_HOST)
    found = (
        [(key, count(value)) for key, value in place.entries()]
        if place.is_mapping
        else [(each, 1) for each in place.items()]
    )
    if not found and (place.is_mapping or place.is_sequence):
        place.fault("names no host", "name at least one")
    return [(key, number) for key, number in found if number is not None]


def _checked(pairs: list[tuple[Cursor, int]], hosts: dict[str, int]) -> Placement:
    found: dict[str, int] = {}
    for place, count in pairs:
        host = readers.text(place)
        if host is None:
            continue
        if host in found:
            place.fault(f"names the host {place.shown} twice", "write host: 2 for two replicas on one host")
        elif hosts and host not in hosts:
            known = place.guess(host, hosts) or f"x-cluster.hosts has {listed(hosts)}"
            place.fault(f"{place.shown} is no declared host", known)
        found[host] = count
    return tuple(found.items())
