"""A status is always written: what is left out of one that is too large for etcd, and what never is."""

import time
from dataclasses import replace
from hashlib import sha256

import pytest

from agent.model.host_state import Attached, Difference
from agent.model.records import decode, encode
from agent.model.status import (
    BlockedReport,
    HostStatus,
    NetworkReport,
    ReplicaReport,
    StepReport,
)
from agent.report.status import MOST_NAMES
from agent.report.status_key import MOST_BYTES, encode_status

HASH = "0123456789abcdef" * 4
STATUS = HostStatus(instance="run-1", at="10:00", agent_version="1.0", revision=7, engine_up=True)


def replica(slot: int, **other: object) -> ReplicaReport:
    found = ReplicaReport(
        service="order",
        slot=slot,
        spec=HASH,
        id=f"{slot:064x}",
        name=f"prod-order-{slot}",
        status="running",
        health="healthy",
        started_at="2026-01-01T00:00:00.123456789Z",
        addresses=(("backend", f"10.{slot // 65536}.{slot // 256 % 256}.{slot % 256}"),),
        image=f"sha256:{HASH}",
        steady=True,
    )
    return replace(found, **other)  # type: ignore[arg-type]


def written(status: HostStatus) -> HostStatus:
    encoded = encode_status(status)
    assert len(encoded) <= MOST_BYTES
    return decode(HostStatus, encoded)


def states(status: HostStatus) -> list[tuple[object, ...]]:
    return [
        (
            each.service,
            each.slot,
            each.spec,
            each.id,
            each.status,
            each.health,
            each.crashes,
            each.steady,
            each.addresses,
        )
        for each in status.replicas
    ]


def test_a_status_of_ordinary_size_is_whole() -> None:
    status = replace(STATUS, replicas=tuple(replica(slot) for slot in range(50)))

    assert written(status) == status


@pytest.mark.parametrize(
    "other",
    [
        {"engine_error": "x" * 3_000_000},
        {"swarm_error": "я" * 3_000_000},
        {"steps": (StepReport(resource="image/app", verb="pull", text="x" * 3_000_000),)},
        {"blocked": (BlockedReport(resource="image/app", reason="x" * 3_000_000, kind="error"),)},
        {"replicas": (replica(1, error="x" * 3_000_000),)},
        {"replicas": (replica(1, output=("x" * 3_000_000,)),)},
        {
            "replicas": (
                replica(
                    1,
                    differences=(
                        Difference(field="env", wanted="x" * 3_000_000, found="", repair="replace"),
                    ),
                ),
            )
        },
    ],
    ids=lambda each: next(iter(each)),
)
def test_a_text_of_3_mb_costs_the_text_and_no_state(other: dict[str, object]) -> None:
    status = replace(STATUS, replicas=(replica(1), replica(2)))
    status = replace(status, **other)  # type: ignore[arg-type]

    found = written(status)

    assert states(found) == states(status)
    assert found.cut
    assert found.engine_up


def test_what_is_left_out_stops_as_soon_as_the_rest_fits() -> None:
    loud = replica(1, output=("x" * 280,), error="exited with 3", image_now="sha256:f")

    found = written(replace(STATUS, replicas=(loud,) * 2500))

    assert found.cut == ("texts after 100 characters",)
    assert [replace(each, output=()) for each in found.replicas] == [replace(loud, output=())] * 2500


def failing(count: int, error: str, *output: str) -> HostStatus:
    return replace(
        STATUS,
        replicas=tuple(replica(slot, error=error, output=output) for slot in range(count)),
        blocked=tuple(
            BlockedReport(resource=f"container/prod-order-{slot}", reason=error, kind="error")
            for slot in range(count)
        ),
    )


@pytest.mark.parametrize("count", [20, 200])
def test_texts_are_cut_to_equal_parts_where_those_of_all_replicas_are_long(count: int) -> None:
    status = failing(count, "address in use " + "x" * 700, "first " + "y" * 390, "last " + "y" * 390)

    found = written(status)

    texts = [text for each in found.replicas for text in (each.error, *each.output)]
    texts += [each.reason for each in found.blocked]
    assert {text[:14] for text in texts} == {"address in use", "last " + "y" * 9}
    assert all(text.endswith(" more characters") for text in texts)
    assert 300 < sum(map(len, texts)) / count < 400
    assert found.cut == ("texts after 100 characters",)
    assert states(found) == states(status)


def test_a_long_text_of_few_replicas_is_reported_whole() -> None:
    status = failing(2, "x" * 700, *("y" * 390 for _ in range(3)))

    assert written(status) == status


@pytest.mark.parametrize(("count", "other"), [(4000, {}), (5000, {"addresses": ()})])
def test_thousands_of_replicas_are_reported_with_their_states(count: int, other: dict[str, object]) -> None:
    status = replace(
        STATUS,
        replicas=tuple(
            replica(slot, output=("panic: " + "x" * 390,) * 5, error="x" * 1000, crashes=slot % 7, **other)
            for slot in range(count)
        ),
        blocked=tuple(
            BlockedReport(resource=f"container/prod-order-{slot}", reason="x" * 1000, kind="error")
            for slot in range(5000)
        ),
        networks=tuple(
            NetworkReport(id=f"{number:064x}", name=f"other-{number}", driver="bridge", scope="local")
            for number in range(3000)
        ),
        foreign_names=tuple(f"prod-other-{number}" for number in range(MOST_NAMES)),
    )

    began = time.process_time()
    found = written(status)

    assert states(found) == states(status)
    assert found.engine_up
    assert time.process_time() - began < 20


def test_the_networks_of_the_cluster_and_of_the_swarm_stay() -> None:
    ours = NetworkReport(id="a", name="backend", driver="overlay", scope="swarm")
    bridge = NetworkReport(id="b", name="docker_gwbridge", driver="bridge", scope="local")
    other = NetworkReport(id="c", name="theirs", driver="bridge", scope="local")
    many = tuple(replace(other, name=f"x{number:0200}") for number in range(6000))

    found = written(replace(STATUS, networks=(ours, bridge, *many)))

    assert found.networks == (ours, bridge)


def test_a_report_that_cannot_hold_its_replicas_does_not_say_that_none_runs() -> None:
    found = written(replace(STATUS, replicas=tuple(replica(slot) for slot in range(20_000))))

    assert (found.replicas, found.engine_up) == ((), False)
    assert "20,000 replicas" in found.engine_error
    assert found.instance == "run-1"


def test_a_report_of_20_replicas_takes_less_than_6_kb() -> None:
    def digest(name: str) -> str:
        return sha256(name.encode()).hexdigest()

    replicas = tuple(
        replica(
            slot,
            id=digest(f"container {slot}"),
            service=f"service-{slot % 10}",
            spec=digest(f"spec {slot % 10}"),
            image=f"sha256:{digest(f'image {slot % 10}')}",
        )
        for slot in range(20)
    )
    attached = tuple(Attached(id=each.id, name=each.name, networks=("backend",)) for each in replicas)
    status = replace(STATUS, replicas=replicas, attached=attached)

    assert len(encode(status, terse=True)) > 9_000
    assert len(encode_status(status)) < 6_000
    assert written(status) == status
