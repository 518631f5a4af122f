"""The conditions of a cluster as lines of text: the answer, services, hosts, problems, progress, document, notes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import maxsize
from typing import TypeVar

from rich.text import Text

from agent.cli.layout import ELLIPSIS, Column, paragraph, table, text
from agent.conditions import (
    ClusterConditions,
    Condition,
    HostCondition,
    Problem,
    ReplicaCondition,
    ServiceCondition,
)
from agent.conditions.finding import Reason, State
from agent.conditions.reports import duration, seconds_since
from agent.model.phrases import counted

Entry = TypeVar("Entry", ServiceCondition, HostCondition)

STYLES: dict[State, str] = {
    "Ready": "green",
    "Progressing": "yellow",
    "Degraded": "red",
    "Blocked": "red",
    "Unknown": "dim",
}
UNKNOWN = "?"
_ALONE = ("cluster", "store", "document", "quorum", "leader")
"""Kinds of which a cluster has one; their conditions have no name that tells them apart."""
_TITLES = {"store": "etcd"}
_ON_HOST: tuple[Reason, ...] = ("CrashLoop", "Exited", "Failed", "StartFailed", "Unhealthy")
"""Reasons whose command asks the dockerd of the replica's host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Numbers of entries beyond which those that are Ready, or further down in a list, are only counted."""

    services: int = 20
    hosts: int = 15
    problems: int = 10
    names: int = 6
    notes: int = 6

    @classmethod
    def of_screen(cls, height: int) -> "Limits":
        """Return limits that leave more than a third of a screen to what follows the tables."""
        return cls(services=max(height // 4, 3), hosts=max(height // 4, 3))


EVERYTHING = Limits(services=maxsize, hosts=maxsize, problems=maxsize, names=maxsize, notes=maxsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The width of lines, None for lines of any length, and what is shown in them."""

    width: int | None
    now_s: float
    limits: Limits = Limits()
    wide: bool = False


def render(name: str, found: ClusterConditions, page: Page, accepted: int = 0) -> list[Text]:
    """Return the status of the cluster called `name`, in which the document of revision `accepted` counts; 0: none."""
    sections = (
        service_table(found.services, page),
        host_table(found.hosts, page),
        _problems(found, page),
        _progress(found, page),
        [*_document(found, accepted, page), *_notes(found.notes, page)],
    )
    answer = text(f"Cluster {name}: {_answer(found.cluster)}", f"bold {STYLES[found.cluster.state]}")
    lines = paragraph(answer, page.width)
    for section in filter(None, sections):
        lines += [text(""), *section]
    return lines


def first_line(name: str, found: ClusterConditions) -> str:
    """Return the answer of `status --check`, one line as a Nagios plugin prints it."""
    word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[found.code]
    return check_line(word, f"{name}: {_answer(found.cluster)}")


def check_line(word: str, answer: str) -> str:
    """Return the line of a Nagios plugin. A `|` would begin its performance data."""
    return text(f"SWARMKEEPER {word} - {' '.join(answer.split())}".replace("|", "/")).plain


def since(at: str, now_s: float) -> str:
    """Return the time since `at`, RFC 3339, in one unit; empty if it is not known."""
    seconds = seconds_since(at, now_s)
    return "" if seconds is None else duration(seconds)


def _answer(cluster: Condition) -> str:
    return cluster.text or cluster.reason


# ---- Services and hosts


def service_table(
    services: tuple[ServiceCondition, ...], page: Page, *, detailed: bool = False
) -> list[Text]:
    """Return one row for each service; `detailed` adds what `status` shows elsewhere or not at all."""
    shown = _selected(services, page.limits.services)
    columns = [
        Column(head="Service", cells=[text(each.condition.name, "bold") for each in shown], least=8),
        *_states([each.condition for each in shown], page),
        Column(head="Desired", cells=[text(str(each.desired)) for each in shown]),
        Column(head="Running", cells=[_number(each.running, each) for each in shown]),
        Column(head="Ready", cells=[_number(each.ready, each) for each in shown]),
        Column(head="Updated", cells=[_number(each.updated, each) for each in shown]),
    ]
    if detailed:
        images = [each.image if page.wide else each.image.partition("@")[0] for each in shown]
        columns.append(Column(head="Image", cells=[*map(text, images)], least=10, omit=1))
        return _with_messages(columns, [each.condition for each in shown], page)
    return [*table(columns, page.width), *_more(len(services) - len(shown), "service", page, ready=True)]


def _number(count: int, service: ServiceCondition) -> Text:
    """Return `2`, `1+1?` if one more is not known, or `?` if none is known."""
    if not service.unknown:
        return text(str(count), STYLES[service.condition.state] if count < service.desired else "")
    known = "" if service.unknown >= service.desired else f"{count}+{service.unknown}"
    return text(f"{known}{UNKNOWN}", "dim")


def host_table(hosts: tuple[HostCondition, ...], page: Page, *, detailed: bool = False) -> list[Text]:
    """Return one row for each host; `detailed` adds what `status` shows elsewhere or not at all."""
    shown = _selected(hosts, page.limits.hosts)
    columns = [
        Column(head="Host", cells=[text(each.condition.name, "bold") for each in shown], least=8),
        *_states([each.condition for each in shown], page),
        Column(head="Role", cells=[_role(each) for each in shown], least=10),
        Column(head="Bridge", cells=[_bridge(each) for each in shown], omit=3),
        Column(head="Replicas", cells=[_count(each, each.running, f"/{each.desired}") for each in shown]),
        Column(head="Ready", cells=[_count(each, each.ready) for each in shown]),
        Column(head="Rev", cells=[_known(each, str(each.revision or "-")) for each in shown], omit=4),
    ]
    if page.wide:
        columns += [
            Column(head="Steps", cells=[_known(each, str(each.open_steps)) for each in shown]),
            Column(head="Reported", cells=[_reported(each, page) for each in shown]),
        ]
    if detailed:
        columns += [
            Column(head="Address", cells=[text(each.address or UNKNOWN) for each in shown], omit=2),
            Column(head="Docker", cells=[_known(each, each.engine_version or "-") for each in shown], omit=5),
            Column(head="Agent", cells=[_known(each, each.agent_version or "-") for each in shown], omit=6),
        ]
        return _with_messages(columns, [each.condition for each in shown], page)
    return [*table(columns, page.width), *_more(len(hosts) - len(shown), "host", page, ready=True)]


def _states(conditions: Sequence[Condition], page: Page) -> list[Column]:
    """Return the column with the reason, which says more than the state, and its age; wide: also with the state."""
    reasons = Column(head="State", cells=[reason(each, page) for each in conditions], least=8)
    if not page.wide:
        return [reasons]
    states = tuple(text(each.state, STYLES[each.state]) for each in conditions)
    return [Column(head="State", cells=states), Column(head="Reason", cells=reasons.cells)]


def reason(condition: Condition, page: Page) -> Text:
    """Return the reason, with its age unless it is Ready."""
    shown = condition.reason if condition.state == "Ready" else aged(condition, page)
    return text(shown, STYLES[condition.state])


def _with_messages(columns: list[Column], conditions: Sequence[Condition], page: Page) -> list[Text]:
    """Return the table with what is wrong in each row: as its last column, or below where lines have a width."""
    wrong = [replace(each, text="") if each.state == "Ready" else each for each in conditions]
    if page.width is None:
        cells = [text(each.text, STYLES[each.state]) for each in wrong]
        return table([*columns, Column(head="Message", cells=cells)], None)
    below = [text(f"{each.name}: {each.text}", STYLES[each.state]) for each in wrong if each.text]
    return [*table(columns, page.width), *(line for each in below for line in paragraph(each, page.width))]


def _role(host: HostCondition) -> Text:
    drained = ", drained" if host.drained and host.condition.reason not in ("Drained", "Draining") else ""
    if host.declared is None:
        return text(f"{host.role or 'host'}, undeclared", "yellow" if host.current else "dim")
    if not (host.current and host.engine_up):
        return text(f"{host.declared}{drained}", "dim")
    if host.role == host.declared:
        return text(f"{host.role}{drained}")
    return text(f"{host.role or 'none'}→{host.declared}{drained}", STYLES[host.condition.state])


def _bridge(host: HostCondition) -> Text:
    if not host.engine_up:
        return text(UNKNOWN, "dim")
    wrong = host.condition.reason in ("ChangingBridge", "BridgeBlocked")
    return _known(host, host.subnet or "none", STYLES[host.condition.state] if wrong else "")


def _count(host: HostCondition, count: int | None, of: str = "") -> Text:
    """Return the number of assigned replicas that run or are ready."""
    if count is None or not host.current:
        return text(f"{UNKNOWN}{of}", "dim")
    return text(f"{count}{of}", STYLES[host.condition.state] if count < host.desired else "")


def _known(host: HostCondition, content: str, style: str = "") -> Text:
    return text(content, style) if host.current else text(UNKNOWN, "dim")


def _reported(host: HostCondition, page: Page) -> Text:
    passed = since(host.reported_at, page.now_s)
    return text(f"{passed} ago" if passed else "never", "" if host.current else "dim")


def _selected(rows: tuple[Entry, ...], most: int) -> tuple[Entry, ...]:
    """Return all rows that are not Ready, and as many others as `most` leaves room for, in their order."""
    if len(rows) <= most:
        return rows
    ready = [each.condition.name for each in rows if each.condition.state == "Ready"]
    most_ready = max(most - (len(rows) - len(ready)), 0)
    omitted = frozenset(ready[most_ready:])
    return tuple(each for each in rows if each.condition.name not in omitted)


# ---- Problems, each with what follows from it, and progress


def _problems(found: ClusterConditions, page: Page) -> list[Text]:
    if not found.problems:
        return []
    replicas = {each.condition.key: each for each in found.replicas}
    lines = [text("Problems", "bold")]
    for each in found.problems[: page.limits.problems]:
        lines += _problem(each, replicas, page)
    return lines + _more(len(found.problems) - page.limits.problems, "problem", page)


def _problem(problem: Problem, replicas: Mapping[str, ReplicaCondition], page: Page) -> list[Text]:
    condition = problem.condition
    lines = paragraph(text(described(condition, page), "red"), page.width, indent=2)
    if problem.consequences:
        affected = text(f"→ affects {_affected(problem.consequences, page)}")
        lines += paragraph(affected, page.width, indent=4)
    # The replicas of one problem, such as a paused rollout, end for the same cause: the first output is enough.
    concerned = [replicas[each.key] for each in (condition, *problem.consequences) if each.key in replicas]
    for line in next((each.output for each in concerned if each.output), ()):
        lines += paragraph(text(f"| {line}", "dim"), page.width, indent=4)
    if condition.command:
        host = _host_of(condition, concerned)
        where = f"next, on {host}: " if host else "next: "
        following = Text.assemble(text(where, "dim"), text(condition.command))
        lines += paragraph(following, page.width, indent=4, hang=6)
    return lines


def _host_of(condition: Condition, concerned: Sequence[ReplicaCondition]) -> str:
    """Return the host on which the command of a condition has to be run; empty: any machine."""
    if condition.kind == "host":
        return condition.name
    if condition.reason not in _ON_HOST:
        return ""
    return next((each.host for each in concerned if each.condition.reason == condition.reason), "")


def described(condition: Condition, page: Page) -> str:
    """Return `host h2 (Unreachable 6m): text`, with the word and the age that the table has."""
    details = f": {condition.text}" if condition.text else ""
    return f"{title(condition)} ({aged(condition, page)}){details}"


def aged(condition: Condition, page: Page) -> str:
    """Return the reason and the age of a condition, as far as it is known: `Unreachable 6 m`."""
    return f"{condition.reason} {since(condition.since, page.now_s)}".rstrip()


def title(condition: Condition) -> str:
    """Return the kind of the resource, and its name if there can be several of the kind."""
    kind = _TITLES.get(condition.kind, condition.kind)
    return kind if condition.kind in _ALONE else f"{kind} {condition.name}"


def _affected(consequences: Iterable[Condition], page: Page) -> str:
    """Return `billing-1, order-2 (replicas), billing (service)`."""
    kinds: dict[str, list[str]] = {}
    for each in consequences:
        name = "" if each.kind in _ALONE else each.name
        kinds.setdefault(_TITLES.get(each.kind, each.kind), []).append(name)
    return ", ".join(_listed(kind, names, page) for kind, names in kinds.items())


def _listed(kind: str, names: list[str], page: Page) -> str:
    if not any(names):
        return kind
    most = page.limits.names
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{rest} ({kind if len(names) == 1 else f'{kind}s'})"


def _progress(found: ClusterConditions, page: Page) -> list[Text]:
    """Return what is under way, but what the problems and their consequences name already."""
    listed = {each.condition.key for each in found.problems}
    listed |= {each.key for problem in found.problems for each in problem.consequences}
    services = {each.condition.name for each in found.services if each.condition.state == "Progressing"}
    candidates = (
        found.document,
        found.quorum,
        found.leader,
        *found.rollouts,
        *(each.condition for each in found.hosts),
        *found.networks,
        *(each.condition for each in found.services),
        # The line of a service is about its replicas.
        *(each.condition for each in found.replicas if each.service not in services),
    )
    shown = [
        each
        for each in candidates
        if each.state == "Progressing" and not each.cause and each.key not in listed
    ]
    if not shown:
        return []
    lines = [text("In progress", "bold")]
    for each in shown[: page.limits.problems]:
        lines += paragraph(text(described(each, page), "yellow"), page.width, indent=2)
    return lines + _more(len(shown) - page.limits.problems, "operation", page)


def _more(count: int, noun: str, page: Page, *, ready: bool = False) -> list[Text]:
    """Return the line for what is only counted: the rest of a list, or the `ready` rows of a table."""
    if count <= 0:
        return []
    more = f"{ELLIPSIS} {counted(count, f'more {noun}')}{', all ready' if ready else ''} (--all shows them)"
    return paragraph(text(more, "dim"), page.width, indent=0 if ready else 2)


# ---- Document and notes


_VERDICTS: dict[Reason, str] = {
    "Ready": "accepted",
    "Paused": "accepted, mode paused",
    "ObserveMode": "accepted, mode observe",
    "Refused": "refused",
    "WaitsForConfirmation": "waits for a confirmation",
    "NoVerdict": "no verdict yet",
    "NoDocument": "none",
    "StoreUnreachable": "not known",
    "RolledBackStore": "held, because etcd was rolled back",
}


def _document(found: ClusterConditions, accepted: int, page: Page) -> list[Text]:
    """Return the line of the document; its problem, or its progress, stands above with the whole text."""
    document = found.document
    verdict = _VERDICTS.get(document.reason, document.reason)
    revision = f"revision {document.revision}, {verdict}" if document.revision else verdict
    other = f"; revision {accepted} is accepted" if accepted not in (0, document.revision) else ""
    style = "" if document.state == "Ready" else STYLES[document.state]
    removed = text(f"Removed from the document, but still running: {', '.join(found.removed)}", "yellow")
    return [
        *(paragraph(removed, page.width) if found.removed else ()),
        *paragraph(Text.assemble("Document: ", text(f"{revision}{other}", style)), page.width),
        *paragraph(Text.assemble("Leader: ", text(found.leader.name or "none")), page.width),
    ]


def _notes(notes: tuple[str, ...], page: Page) -> list[Text]:
    lines: list[Text] = []
    for each in notes[: page.limits.notes]:
        lines += paragraph(text(f"note: {each}", "dim"), page.width)
    return lines + _more(len(notes) - page.limits.notes, "note", page)
