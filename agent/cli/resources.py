"""`ps`, `services`, `hosts` and `describe`: rows and resources, by the conditions that `status` has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import partial
from operator import itemgetter
from typing import TypeVar

from rich.text import Text

from agent.cli.layout import Column, paragraph, table, text
from agent.cli.output import Output
from agent.cli.render import Page, host_table, reason, service_table
from agent.cli.status import Wish, print_view
from agent.conditions import ClusterConditions, Condition
from agent.conditions.wording import UNKNOWN, since
from agent.diff.reported import alike
from agent.errors import Invalid
from agent.model import Frozen
from agent.model.observed import ClusterState
from agent.model.spec import ContainerSpec, Port
from agent.model.status import UP, ReplicaReport
from agent.observe.look import Look
from agent.yamldoc.faultlist import listed, nearest, quoted

Entry = TypeVar("Entry")
_OLD = "? is from the last report of a host that does not report now: it may differ"


class ReplicaRow(Frozen):
    """A container of a replica as its host reports it, or a replica without one. None stands for not known."""

    name: str
    condition: Condition | None
    """Of the replica, as in `status`; None: the container is not assigned to its host."""
    service: str
    slot: int
    host: str
    current: bool
    """True by the current report of the host, False by its last one, of `reported_at`: it may be out of date."""
    reported_at: str
    container: str | None
    """Its name; empty: the host reports none."""
    status: str | None = None
    health: str | None = None
    image: str | None = None
    addresses: Mapping[str, str] | None = None
    """Network -> IPv4 address."""
    ports: tuple[str, ...] | None = None
    """Published ports as docker shows them: `8080->80/tcp`."""
    restarts: int | None = None
    started_at: str | None = None
    exit_code: int | None = None
    error: str | None = None
    output: tuple[str, ...] = field(default=(), repr=False)


def replica_rows(state: ClusterState, found: ClusterConditions) -> tuple[ReplicaRow, ...]:
    """Return the rows in the document's order. A replica has several while it is replaced or moved."""
    conditions = {(each.service, each.slot, each.host): each.condition for each in found.replicas}
    reports: dict[tuple[str, int, str], list[ReplicaReport]] = {each: [] for each in conditions}
    for host, status in state.statuses.items():
        for report in status.replicas:
            reports.setdefault((*report.key, host), []).append(report)
    by_name = {each.condition.name: each for each in found.hosts}
    order = {each.condition.name: at for at, each in enumerate(found.services)}
    declared = state.accepted.services if state.accepted else ()
    specs = {**{each.spec_hash: each.spec for each in declared}, **state.specs}
    rows = []
    for place in sorted(reports, key=lambda each: (order.get(each[0], len(order)), each)):
        service, slot, name = place
        on = by_name.get(name)
        current = on is not None and on.current and on.engine_up
        for each in reports[place] or (None,):
            spec = specs.get(each.spec) if each else None
            row = alike(
                ReplicaRow,
                each,
                name=f"{service}-{slot}",
                condition=conditions.get(place),
                service=service,
                slot=slot,
                host=name,
                current=current,
                reported_at=on.reported_at if on else "",
                image=spec.image if spec else None,
                container=each.name if each else "" if current or not name else None,
                addresses={network: at for network, at in each.addresses if at} if each else None,
                ports=_ports(spec, each) if each else None,
            )
            rows.append(row)
    return tuple(rows)


def port_text(port: Port) -> str:
    """Return a published port as docker shows it."""
    ip = f"{port.host_ip}:" if port.host_ip else ""
    return f"{ip}{port.published or port.among or 'any'}->{port.target}/{port.protocol}"


def _ports(spec: ContainerSpec | None, found: ReplicaReport) -> tuple[str, ...]:
    declared = (each for each in (spec.ports if spec else ()) if each.published is not None)
    shown = (*map(port_text, declared), *(f"{port}->{target}" for target, port in found.ports))
    return shown if found.status in UP else ()


# ---- Tables


def replica_table(rows: Sequence[ReplicaRow], page: Page) -> list[Text]:
    """Return one line for each row. What an old report has is marked with `?`."""

    def column(head: str, content: Callable[[ReplicaRow], object], omit: int = 0, least: int = 0) -> Column:
        return Column(head=head, cells=[_cell(each, content(each)) for each in rows], least=least, omit=omit)

    digest = "\n" if page.wide else "@"
    address = ":".join if page.wide else itemgetter(1)
    stray = text("unassigned", "yellow")
    states = [reason(each.condition, page) if each.condition else stray for each in rows]
    columns = [
        Column(head="Replica", cells=[text(each.name, "bold") for each in rows], least=8),
        Column(head="Host", cells=[text(each.host or "-") for each in rows], least=8),
        Column(head="State", cells=states, least=8),
        column("Container", lambda each: each.status, 4),
        column("Health", lambda each: each.health, 1),
        column("Image", lambda each: (each.image or "").partition(digest)[0], 5, 10),
        column("Address", lambda each: ", ".join(map(address, (each.addresses or {}).items())), 2),
        column("Ports", lambda each: ", ".join(each.ports or ()), 6, 10),
        column("Restarts", lambda each: str(each.restarts), 3),
        column("Age", lambda each: each.status in UP and since(each.started_at or "", page.now_s)),
        *([column("Name", lambda each: each.container)] if page.wide else ()),
    ]
    old = any(each.container and not each.current for each in rows)
    return [*table(columns, page.width), *(paragraph(text(_OLD, "dim"), page.width) if old else ())]


def _cell(row: ReplicaRow, content: object) -> Text:
    if row.container is None:
        return text(UNKNOWN, "dim")
    if not row.container or not content:
        return text("-", "dim")
    return text(f"{content}") if row.current else text(f"{content}{UNKNOWN}", "dim")


# ---- Printing


def show_rows(command: str, found: Look, names: Sequence[str], output: Output) -> None:
    """Print the rows of `ps`, `services` or `hosts`: those of these names, or all.

    Raises Invalid for a name that nothing has.
    """
    conditions, wish = found.conditions(found.read_s), Wish(output=output, everything=True)
    if command == "ps":
        rows = _chosen(replica_rows(found.state, conditions), names, lambda each: each.service)
        print_view(found, wish, {"replicas": rows}, partial(replica_table, rows))
    elif command == "services":
        services = _chosen(conditions.services, names, lambda each: each.condition.name)
        print_view(found, wish, {command: services}, partial(service_table, services, detailed=True))
    else:
        hosts = _chosen(conditions.hosts, names, lambda each: each.condition.name)
        print_view(found, wish, {command: hosts}, partial(host_table, hosts, detailed=True))


def _chosen(rows: Sequence[Entry], names: Sequence[str], of: Callable[[Entry], str]) -> tuple[Entry, ...]:
    known = [*dict.fromkeys(map(of, rows))]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            has = f"name one of {listed(known)}" if known else "there are none"
            has = f"did you mean {near}? {has}" if near else has
            raise Invalid(f"{quoted(name)} is not in the document or any report: {has}")
    return tuple(each for each in rows if not names or of(each) in names)
