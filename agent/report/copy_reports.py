"""What the status says of each copy."""

from agent.diff.container import by_number
from agent.diff.replicas import image_now
from agent.model.observed import ContainerState, HostState, Observed
from agent.model.records import CopyReport, DifferenceReport
from agent.model.spec import Pairs


def copy_reports(observed: Observed, host: HostState) -> tuple[CopyReport, ...]:
    """Every container of ours on the host, in the order observed."""
    assignment = observed.cluster.assignment if observed.cluster else None
    assigned = by_number(assignment.copies) if assignment else {}
    pins = {key: each.addresses for key, each in assigned.items()}
    cluster, reports = observed.cluster, []
    for each in host.containers:
        pinned = pins.get((each.copy.service, each.copy.number), ())
        reports.append(_copy(each, pinned, image_now(cluster, host, each) if cluster else ""))
    return tuple(reports)


def _copy(found: ContainerState, pinned: Pairs, now: str) -> CopyReport:
    return CopyReport(
        service=found.copy.service,
        number=found.copy.number,
        spec=found.copy.spec,
        id=found.id,
        name=found.name,
        status=found.status,
        health=found.health,
        exit_code=found.exit_code,
        error=found.error,
        started_at=found.started_at,
        restarts=found.restarts,
        addresses=tuple(sorted(found.addresses)),
        pinned=pinned,
        differences=tuple(
            DifferenceReport(
                field=each.field,
                wanted=each.wanted,
                found=each.found,
                repair=each.repair,
                subject=each.subject,
            )
            for each in found.differences
        ),
        image=found.image,
        image_now=now,
        crashes=found.crashes,
        output=found.output,
    )
