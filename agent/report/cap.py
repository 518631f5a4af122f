"""Encodes a status within what etcd takes in one request, so that a status is always written.

What no decision needs goes first: outputs and texts, then differences, images, volumes and foreign networks. The state
of a replica goes last, and only where even the bare states are too large. `HostStatus.cut` says what was left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from agent.model.intent import GWBRIDGE, PARKING
from agent.model.phrases import cut
from agent.model.records import encode
from agent.model.status import HostStatus, NetworkReport, ReplicaReport

MOST_BYTES = 1_500_000
"""etcd refuses a request of more than 1.5 MiB (--max-request-bytes), key included."""

_SHORT = 100
"""Characters of a text in a status that is too large."""
_WORD = 20
"""Characters of an error of a bare replica: an error at all decides."""
_FEW = 50
"""Entries of a list in a status that is too large."""

T = TypeVar("T")


def encode_status(status: HostStatus, most: int = MOST_BYTES) -> bytes:
    """Return the status as a record of at most `most` bytes, with as little left out as that needs."""
    encoded = encode(status)
    for leave_out, what in _STAGES:
        if len(encoded) <= most:
            return encoded
        left = leave_out(status)
        if left != status:
            status = replace(left, cut=(*status.cut, what))
            encoded = encode(status, terse=True)
    return encoded if len(encoded) <= most else encode(_minimal(status), terse=True)


def _without_output(status: HostStatus) -> HostStatus:
    return _with_replicas(status, lambda each: replace(each, output=()))


def _with_short_texts(status: HostStatus) -> HostStatus:
    return replace(
        status,
        engine_error=cut(status.engine_error, _SHORT),
        swarm_error=cut(status.swarm_error, _SHORT),
        steps=_shortened(status.steps, "text"),
        blocked=_shortened(status.blocked, "reason"),
        waiting=_shortened(status.waiting, "reason"),
        replicas=tuple(
            replace(
                each,
                error=cut(each.error, _SHORT),
                differences=_shortened(each.differences, "wanted", "found"),
            )
            for each in status.replicas
        ),
    )


def _shortened(reports: Sequence[T], *names: str) -> tuple[T, ...]:
    """Return the reports with these texts cut."""
    given: Sequence[Any] = reports
    return tuple(
        replace(each, **{name: cut(getattr(each, name), _SHORT) for name in names}) for each in given
    )


def _with_few_differences(status: HostStatus) -> HostStatus:
    return _with_replicas(status, lambda each: replace(each, differences=each.differences[:1]))


def _with_few_names(status: HostStatus) -> HostStatus:
    return replace(
        status,
        volumes=status.volumes[:_FEW],
        left_volumes=status.left_volumes[:_FEW],
        foreign_names=status.foreign_names[:_FEW],
        networks=tuple(each for each in status.networks if _may_matter(each)),
    )


def _may_matter(network: NetworkReport) -> bool:
    """Return False for a network of this engine alone that no agent made: it concerns no decision of the leader."""
    foreign = not network.ours and network.name not in (GWBRIDGE, PARKING)
    return not (foreign and (network.driver, network.scope) == ("bridge", "local"))


def _with_few_steps(status: HostStatus) -> HostStatus:
    """Keep the first steps, and the resources of what is blocked and waits, which the conditions need."""
    return replace(
        status,
        steps=status.steps[:_FEW],
        blocked=tuple(replace(each, reason="") for each in status.blocked),
        waiting=tuple(replace(each, reason="") for each in status.waiting),
    )


def _with_bare_replicas(status: HostStatus) -> HostStatus:
    """Keep of each replica what decides: which it is, its spec, its state and its addresses."""
    bare = _with_replicas(
        status,
        lambda each: replace(
            each, started_at="", error=each.error[:_WORD], image="", image_now="", differences=()
        ),
    )
    return replace(
        bare,
        blocked=status.blocked[:_FEW],
        waiting=status.waiting[:_FEW],
        attached=tuple(replace(each, ports=()) for each in status.attached),
    )


def _with_replicas(status: HostStatus, change: Callable[[ReplicaReport], ReplicaReport]) -> HostStatus:
    return replace(status, replicas=tuple(change(each) for each in status.replicas))


def _minimal(status: HostStatus) -> HostStatus:
    """Return the facts about host, engine and swarm alone, as of an engine that could not be read.

    A report without replicas that called the engine read would tell the leader that none runs.
    """
    count = len(status.replicas)
    return replace(
        HostStatus(instance=status.instance, at=status.at, agent_version=status.agent_version),
        engine_version=status.engine_version,
        engine_error=f"the report is too large for etcd: it has {count:,} replicas",
        state=status.state,
        swarm_error=cut(status.swarm_error, _SHORT),
        node_id=status.node_id,
        swarm_id=status.swarm_id,
        is_manager=status.is_manager,
        swarm_address=status.swarm_address,
        leading=status.leading,
        epoch=status.epoch,
        stopped=status.stopped,
        cut=(*status.cut, "replicas"),
    )


_STAGES: tuple[tuple[Callable[[HostStatus], HostStatus], str], ...] = (
    (_without_output, "output of replicas"),
    (_with_short_texts, f"texts after {_SHORT} characters"),
    (_with_few_differences, "all but the first difference of each replica"),
    (_with_few_names, f"volumes and foreign names after {_FEW}, foreign networks"),
    (_with_few_steps, f"steps after {_FEW}, reasons"),
    (_with_bare_replicas, f"starts, errors and images of replicas, blocked resources after {_FEW}"),
)
"""The cuts in their order, each with its name in `HostStatus.cut`."""
