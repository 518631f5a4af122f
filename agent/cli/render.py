"""The conditions of a cluster as lines of text: the answer, services, hosts, problems, progress, document, notes."""

from collections.abc import Mapping, Sequence
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
    wording,
)
from agent.conditions.finding import State
from agent.conditions.wording import UNKNOWN, aged, since, title
from agent.model.phrases import counted

Entry = TypeVar("Entry", ServiceCondition, HostCondition)

STYLES: dict[State, str] = {
    "Ready": "green",
    "Progressing": "yellow",
    "Degraded": "red",
    "Blocked": "red",
    "Unknown": "dim",
}


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
    lacks = STYLES[service.condition.state] if count < service.desired else ""
    return text(wording.number(count, service), "dim" if service.unknown else lacks)


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
    return text(aged(condition, page.now_s), STYLES[condition.state])


def _with_messages(columns: list[Column], conditions: Sequence[Condition], page: Page) -> list[Text]:
    """Return the table with what is wrong in each row: as its last column, or below where lines have a width."""
    wrong = [replace(each, text="") if each.state == "Ready" else each for each in conditions]
    if page.width is None:
        cells = [text(each.text, STYLES[each.state]) for each in wrong]
        return table([*columns, Column(head="Message", cells=cells)], None)
    below = [text(f"{each.name}: {each.text}", STYLES[each.state]) for each in wrong if each.text]
    return [*table(columns, page.width), *(line for each in below for line in paragraph(each, page.width))]


def _role(host: HostCondition) -> Text:
    if host.declared is None:
        return text(wording.role(host), "yellow" if host.current else "dim")
    if not (host.current and host.engine_up):
        return text(wording.role(host), "dim")
    return text(wording.role(host), "" if host.role == host.declared else STYLES[host.condition.state])


def _bridge(host: HostCondition) -> Text:
    if not (host.engine_up and host.current):
        return text(UNKNOWN, "dim")
    wrong = host.condition.reason in ("ChangingBridge", "BridgeBlocked")
    return text(wording.bridge(host), STYLES[host.condition.state] if wrong else "")


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
        affected = text(f"→ affects {wording.affected(problem.consequences, page.limits.names)}")
        lines += paragraph(affected, page.width, indent=4)
    concerned = wording.concerned_by(problem, replicas)
    for line in wording.output_of(concerned):
        lines += paragraph(text(f"| {line}", "dim"), page.width, indent=4)
    if condition.command:
        where = f"{wording.next_on(condition, concerned)}: "
        following = Text.assemble(text(where, "dim"), text(condition.command))
        lines += paragraph(following, page.width, indent=4, hang=6)
    return lines


def described(condition: Condition, page: Page) -> str:
    """Return `host h2 (Unreachable 6m): text`, with the word and the age that the table has."""
    details = f": {condition.text}" if condition.text else ""
    return f"{title(condition)} ({aged(condition, page.now_s)}){details}"


def _progress(found: ClusterConditions, page: Page) -> list[Text]:
    shown = wording.in_progress(found)
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


def _document(found: ClusterConditions, accepted: int, page: Page) -> list[Text]:
    """Return the line of the document; its problem, or its progress, stands above with the whole text."""
    style = "" if found.document.state == "Ready" else STYLES[found.document.state]
    removed = text(f"Removed from the document, but still running: {', '.join(found.removed)}", "yellow")
    return [
        *(paragraph(removed, page.width) if found.removed else ()),
        *paragraph(
            Text.assemble("Document: ", text(wording.document_line(found, accepted), style)), page.width
        ),
        *paragraph(Text.assemble("Leader: ", text(found.leader.name or "none")), page.width),
    ]


def _notes(notes: tuple[str, ...], page: Page) -> list[Text]:
    lines: list[Text] = []
    for each in notes[: page.limits.notes]:
        lines += paragraph(text(f"note: {each}", "dim"), page.width)
    return lines + _more(len(notes) - page.limits.notes, "note", page)
