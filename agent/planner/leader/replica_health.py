"""How a copy that was moved to another spec does there, by what its host says of it and for how long already."""

import re
from dataclasses import dataclass
from typing import Literal

from agent.diff.replicas import HELD_BY_ITS_HOST, finished, is_misgiven
from agent.model.intent import GWBRIDGE
from agent.model.plan import CopyWatch, Observed
from agent.model.records import Copy
from agent.model.spec import ContainerSpec
from agent.model.status import CopyReport

DOWN_S = 5.0
"""So long a copy that was never seen running may be down before that counts: its host may be about to start it."""
_NO_NETWORK = re.compile(
    rf"{GWBRIDGE}|could not attach to network|attaching to network failed|network \S+ not found"
    "|invalid cluster node while attaching",
    re.IGNORECASE,
)
"""What docker says of a start that failed for a network, which the host or the swarm puts right: docker_gwbridge was
missing, or no manager of the swarm answered (docs/engine-quirks.md)."""
_NOT_WATCHED = CopyWatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is known of one copy."""

    is_: Literal["well", "coming", "failed", "away", "unseen"]
    """away: its host cannot say anything now; unseen: its host never said anything, or it was never let start."""
    why: str = ""
    """Why it is not well, in words."""
    for_s: float = 0.0
    """How long it has been so."""
    up: bool = False
    """Whether some container does its work, of whatever spec. Of one that is away, that may be so."""


def condition(copy: Copy, host: str, observed: Observed, spec: ContainerSpec | None) -> Condition:
    """How `copy`, as it is assigned to `host`, is now. `spec` is the one it has, if it is known."""
    cluster = observed.cluster
    assert cluster is not None
    if copy.waits:
        return Condition(is_="unseen", why=copy.waits)
    watch = observed.watches.get((host, *copy.key), _NOT_WATCHED)
    status = cluster.status_of(host)
    if status is None or not status.engine_up:
        if host not in cluster.statuses:
            return Condition(is_="unseen")
        why = "dockerd does not answer" if status else "the agent is away"
        return Condition(is_="away", why=why, for_s=watch.steady_s, up=True)
    reports = [each for each in status.copies if each.key == copy.key]
    up = any(each.status in ("running", "paused") for each in reports)
    mine = [each for each in reports if each.spec == copy.spec]
    held = [each for each in status.blocked if _concerns(each.resource, reports, spec)]
    waits = any(each.kind in HELD_BY_ITS_HOST for each in held)
    faults = (_failure(each, spec, watch, excused=waits or _is_its_hosts(each, copy, spec)) for each in mine)
    if fault := next(filter(None, faults), ""):
        return Condition(is_="failed", why=fault, for_s=watch.steady_s, up=up)
    if len(reports) == len(mine) == 1 and not (unwell := _unwell(mine[0], spec)):
        return Condition(is_="well", for_s=watch.steady_s, up=True)
    doing = unwell if len(reports) == len(mine) == 1 else "it is being replaced"
    why = held[0].reason if held else doing
    return Condition(is_="coming", why=why, for_s=watch.steady_s, up=up)


def _is_its_hosts(report: CopyReport, copy: Copy, spec: ContainerSpec | None) -> bool:
    """Whether its start failed for what its host puts right: it got no network, or an address that is taken."""
    return bool(_NO_NETWORK.search(report.error)) or (spec is not None and is_misgiven(report, copy, spec))


def _failure(report: CopyReport, spec: ContainerSpec | None, watch: CopyWatch, *, excused: bool) -> str:
    """What is wrong with it that waiting does not put right, in words.

    `excused`: that it is down is no doing of its spec, as while its host holds its start after a power cut.
    """
    exited = f"it exited with {report.exit_code}"
    if report.status == "exited" and spec is not None and finished(spec, report):
        return exited if report.exit_code else ""
    if report.status == "restarting":
        return f"{exited}, and is started over and over"
    if report.health == "unhealthy":
        return "it is unhealthy"
    if watch.ended:
        return exited if report.status in ("exited", "dead") else "it ended and was started again"
    if excused or watch.steady_s < DOWN_S or report.status not in ("created", "exited", "dead"):
        return ""
    return report.error or ("" if report.status == "created" else exited)


def _unwell(report: CopyReport, spec: ContainerSpec | None) -> str:
    """What it lacks yet, in words."""
    if any(each.repair != "none" for each in report.differences):
        return "it is not as its spec says yet"
    if report.status == "exited" and spec is not None and finished(spec, report):
        return ""
    if report.status != "running":
        return f"it is {report.status}"
    return "" if report.health in ("", "healthy") else "it is not healthy yet"


def _concerns(resource: str, reports: list[CopyReport], spec: ContainerSpec | None) -> bool:
    names = {f"container/{each.name}" for each in reports}
    return resource in names or (spec is not None and resource == f"image/{spec.image}")
