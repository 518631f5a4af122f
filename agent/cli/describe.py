"""`describe`: one resource, as the document has it and as its hosts report it, and the conditions around it."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from rich.text import Text

from agent.cli.layout import paragraph, text
from agent.cli.output import Output, as_yaml
from agent.cli.render import STYLES, Page, described
from agent.cli.resources import ReplicaRow, port_text, replica_rows, replica_table
from agent.cli.status import Wish, print_view
from agent.cli.status_form import as_json
from agent.conditions import ClusterConditions, Condition
from agent.conditions.wording import UNKNOWN, aged, title
from agent.errors import Invalid
from agent.model import Frozen
from agent.model.events import MOST_EVENTS, Event, EventLog, newest
from agent.model.intent import Intent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.phrases import short_id
from agent.observe.look import Look
from agent.yamldoc.faultlist import listed, nearest, quoted

_BY_NAME = ("service", "host", "network", "replica")
"""Kinds that may be left out. A rollout has the name of its service, and an image or a key is no plain name."""
_OF_HOST = ("host", "node", "drain", "disruption", "membership-order")
"""Kinds of resources that the leader reports about a host, under its name or the id of its node."""
_ROWS_BY = {"service": "service", "rollout": "service", "host": "host", "replica": "name"}
"""Kind -> the field of a row that has the name of the resource."""
_NOT_OBSERVED = {"name", "condition", "declared", "desired", "open_steps"}
"""Fields of rows that are shown elsewhere."""
_MOST_EVENTS = 10
LAST = " (last report)"
Facts = dict[str, Any]
"""Values in JSON's types. None: not known."""


class Open(Frozen):
    """Something that a host reports as not as declared. Its kind is differs, step, blocked or waiting."""

    host: str
    kind: str
    resource: str
    text: str
    current: bool
    """False: by the last report of a host that does not report now."""


class Description(Frozen):
    """All that is known of one resource. `related` has the causes, nearest first, then what follows from it."""

    condition: Condition
    desired: Facts
    observed: Facts
    differences: tuple[Open, ...]
    related: tuple[Condition, ...]
    replicas: tuple[ReplicaRow, ...]
    events: tuple[Event, ...] = ()
    """The last ones about it, the newest first."""


def show_description(name: str, look: Look, events: EventLog, output: Output) -> None:
    """Print the resource called `name`. Raises Invalid for a name of none or of several."""
    found = look.conditions(look.read_s)
    description = describe(named(name, found), look.state, found)
    about = [each for each in newest(events, MOST_EVENTS) if each.resource == description.condition.key]
    description = replace(description, events=tuple(about[:_MOST_EVENTS]))
    print_view(look, Wish(output=output), description, partial(render_description, description))


def named(name: str, found: ClusterConditions, kinds: Collection[str] = _BY_NAME) -> Condition:
    """Return the condition of the resource: by its key, or by its bare name. Raises Invalid for none and several.

    `kinds`: those whose bare names count.
    """
    by_key = {each.key: each for each in found.every()}
    if exact := by_key.get(name) or by_key.get(f"{name}/"):
        return exact
    bare = [each for each in by_key.values() if each.name == name and each.kind in kinds]
    if len(bare) == 1:
        return bare[0]
    if bare:
        raise Invalid(f"{quoted(name)} is the name of several: write {listed(each.key for each in bare)}")
    if name.startswith("rollout/"):
        raise Invalid(f"{quoted(name)}: no rollout of it is under way, paused or rolled back")
    near = nearest(name, [each.name for each in by_key.values() if each.kind in _BY_NAME])
    remedy = f"did you mean {near}?" if near else "`swarmkeeper ps`, `services` and `hosts` list the names"
    raise Invalid(f"{quoted(name)} is no resource of this cluster: {remedy}")


class _Subject(NamedTuple):
    condition: Condition
    state: ClusterState
    found: ClusterConditions
    rows: tuple[ReplicaRow, ...]
    intent: Intent | None
    service: ServiceIntent | None
    away: Collection[str]
    """Hosts whose reports are not current."""


def describe(condition: Condition, state: ClusterState, found: ClusterConditions) -> Description:
    """Return what is known of the resource that has this condition."""
    kind, name = condition.kind, condition.name
    by = _ROWS_BY.get(kind)
    rows = tuple(each for each in replica_rows(state, found) if by and getattr(each, by) == name)
    intent = state.accepted or (state.document.intent if state.document else None)
    of_service = rows[0].service if kind == "replica" and rows else name
    service = intent.service(of_service) if intent and by and kind != "host" else None
    away = {each.condition.name for each in found.hosts if not each.current}
    of = _Subject(condition, state, found, rows, intent, service, away)
    return Description(
        condition=condition,
        desired=_desired(of),
        observed=_observed(of),
        differences=tuple(_open(of)),
        related=tuple(_related(condition, found)),
        replicas=rows if kind != "replica" or len(rows) > 1 else (),
    )


# ---- What is desired, and what is observed


def _desired(of: _Subject) -> Facts:
    condition, intent, service = of.condition, of.intent, of.service
    if service:  # neither environment nor command: they may have secrets
        spec, update = service.spec, service.update
        hosts = "every eligible one" if service.everywhere else dict(service.placement)
        number = {"replicas": service.replica_count, "hosts": hosts or "picked by the scheduler"}
        on = {"hosts": [each.host for each in of.rows if each.condition and each.host]}
        return {
            **(on if condition.kind == "replica" else number),
            "constraints": [*map(str, service.where.constraints)],
            "image": spec.image,
            "networks": [each.network for each in spec.networks],
            "ports": [*map(port_text, spec.ports)],
            "depends_on": dict(service.depends_on),
            "update": f"{update.parallelism or 'all'} at a time, {update.order}, on failure {update.failure_action}",
        }
    if intent and condition.kind == "host" and (host := intent.host(condition.name)):
        return {**as_json(host), "bridge": str(intent.gwbridge.subnet)}
    if intent and condition.kind == "network" and (network := intent.network(condition.name)):
        return as_json(network)
    return {}


def _observed(of: _Subject) -> Facts:
    kind, name, state = of.condition.kind, of.condition.name, of.state
    if kind == "network":
        on = {host: status.networks for host, status in sorted(state.statuses.items())}
        old = dict.fromkeys(of.away, LAST)
        return {
            host: f"{each.driver} {each.subnet} {short_id(each.id)}{old.get(host, '')}"
            for host, networks in on.items()
            for each in networks
            if each.name == name
        }
    if kind == "rollout" and (rollout := state.rollouts.get(name)):
        images = {each: spec.image for each, spec in state.specs.items()}
        return {**as_json(rollout), "before": images.get(rollout.before), "to": images.get(rollout.to)}
    if kind == "host" and name not in state.statuses:
        return {}  # a row of it has what is not known as false
    every: tuple[Any, ...] = (*of.found.services, *of.found.hosts, *(of.rows if kind == "replica" else ()))
    facts = next((as_json(each) for each in every if each.condition == of.condition), {})
    if kind == "host" and (status := state.statuses.get(name)):
        facts |= {"address": status.swarm_address, "swarm": status.state, "engine_up": status.engine_up}
    skipped = _NOT_OBSERVED if kind == "replica" else {*_NOT_OBSERVED, "image"}
    return {key: value for key, value in facts.items() if key not in skipped}


def _open(of: _Subject) -> Iterator[Open]:
    """Yield what hosts report as not as declared."""
    wanted, containers = _resources(of), {(each.host, each.container) for each in of.rows}
    for host, status in sorted(of.state.statuses.items()):
        reported = [
            *(("step", each.resource, each.text) for each in status.steps),
            *(("blocked", each.resource, each.reason) for each in status.blocked),
            *(("waiting", each.resource, each.reason) for each in status.waiting),
        ]
        if of.condition.key != f"host/{host}":
            reported = [each for each in reported if each[1] in wanted]
        reported += [
            ("differs", f"container/{each.name}", str(difference))
            for each in status.replicas
            for difference in each.differences
            if (host, each.name) in containers
        ]
        for what, on, why in reported:
            yield Open(host=host, kind=what, resource=on, text=why, current=host not in of.away)


def _resources(of: _Subject) -> Collection[str]:
    """Return the resources, as hosts name them in reports, that belong to this one."""
    condition, status = of.condition, of.state.statuses.get(of.condition.name)
    if condition.kind == "host":
        names = filter(None, (condition.name, status and status.node_id))
        return {f"{kind}/{name}" for name in names for kind in _OF_HOST}
    found = {condition.key}
    if of.intent and of.service:
        found |= {f"{kind}/{of.service.name}" for kind in ("placement", "rollout")}
        found |= {f"image/{each}" for each in (of.service.spec.image, *(row.image for row in of.rows))}
        found |= {f"container/{each.container or f'{of.intent.project}-{each.name}'}" for each in of.rows}
    return found


def _related(condition: Condition, found: ClusterConditions) -> Iterator[Condition]:
    by_key, seen = {each.key: each for each in found.every()}, {condition.key}
    current: Condition | None = condition
    while current and current.cause not in seen and (current := by_key.get(current.cause)):
        seen.add(current.key)
        yield current
    yield from (each for each in by_key.values() if each.cause == condition.key and each.key not in seen)


# ---- As lines


def render_description(found: Description, page: Page) -> list[Text]:
    """Return the condition, then a section for each thing that is known."""
    own = found.condition
    state = "" if own.state == own.reason else f", {aged(own, page.now_s)}"
    lines = paragraph(text(f"{title(own)}: {own.state}{state}", f"bold {STYLES[own.state]}"), page.width)
    differences = (
        text(f"{each.host}{'' if each.current else LAST} {each.kind} {each.resource}: {each.text}")
        for each in found.differences
    )
    for heading, part in (
        ("", [text(each) for each in (own.text, own.command and f"next: {own.command}") if each]),
        ("Desired", _facts(found.desired)),
        (f"Observed{'' if found.observed.get('current', True) else LAST}", _facts(found.observed)),
        ("Differences", [*differences]),
        ("Related conditions", [text(described(each, page), STYLES[each.state]) for each in found.related]),
        ("Events", [text(f"{each.at}  {': '.join(filter(None, each.described))}") for each in found.events]),
    ):
        lines += [text(""), text(heading, "bold")] if heading and part else []
        lines += [line for each in part for line in paragraph(each, page.width, indent=2)]
    replicas = replica_table(found.replicas, page)
    return [*lines, *([text(""), text("Replicas", "bold"), *replicas] if replicas else [])]


def _facts(facts: Facts) -> list[Text]:
    """Return the facts that say something as lines of YAML."""
    known = ((key, value) for key, value in facts.items() if value not in ("", [], {}))
    shown = {key: UNKNOWN if value is None else value for key, value in known}
    return [text(line) for line in as_yaml(shown).splitlines()] if shown else []
