"""Records of format 1 are read, and what an agent of that format could not write stays unreadable."""

from typing import Any

import msgspec
import pytest

from agent.errors import Invalid
from agent.model.records import (
    Accepted,
    Assignment,
    Digests,
    Disruption,
    LeaderRecord,
    Replica,
    Verdict,
    decode,
    encode,
)
from agent.model.status import HostStatus, StepReport

DIGEST = "sha256:0f"
EARLIER = [
    ({"revision": 3, "document": "era", "era": 2}, Accepted(revision=3, document="era", epoch=2)),
    (
        {"revision": 3, "accepted": False, "in_force": 2, "errors": ["e"], "warnings": [], "confirm": ""},
        Verdict(revision=3, accepted=False, accepted_revision=2, errors=("e",)),
    ),
    (
        {"revision": 3, "era": 1, "images": [["i", DIGEST]], "asked": ["i"]},
        Digests(revision=3, epoch=1, images=(("i", DIGEST),), asked=("i",)),
    ),
    (
        {
            "revision": 3,
            "project": "p",
            "era": 1,
            "copies": [
                {
                    "service": "s",
                    "number": 2,
                    "spec": "a",
                    "addresses": [["n", "10.0.0.9"]],
                    "anew": [["c", "why"]],
                }
            ],
            "pending": ["s"],
        },
        Assignment(
            revision=3,
            project="p",
            epoch=1,
            pending=("s",),
            replicas=(
                Replica(
                    service="s",
                    slot=2,
                    spec="a",
                    addresses=(("n", "10.0.0.9"),),
                    recreate=(("c", "why"),),
                ),
            ),
        ),
    ),
    ({"host": "h", "since": "now"}, LeaderRecord(host="h", since="now")),
]
STATUS: dict[str, Any] = {
    "instance": "i",
    "at": "now",
    "agent_version": "0.1.0",
    "engine_fault": "dockerd is away",
    "state": "active",
    "era": 1,
    "steps": ["start container/p-s-1: it is to run", "pull image/r:80/i:1: missing (3 of 9 MB)"],
    "copies": [
        {
            "service": "s",
            "number": 1,
            "spec": "a",
            "id": "c",
            "name": "p-s-1",
            "status": "running",
            "pinned": [["n", "a"]],
        }
    ],
    "blocked": [{"resource": "r", "reason": "why", "kind": "garbage"}],
}


def of_format_1(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"v": 1, **body})


@pytest.mark.parametrize(("body", "record"), EARLIER, ids=lambda each: type(each).__name__)
def test_a_record_of_format_1_is_read_and_written_as_one_of_format_2(
    body: dict[str, Any], record: object
) -> None:
    assert decode(type(record), of_format_1(body)) == record
    assert b'"v":2' in encode(record)


@pytest.mark.parametrize(
    ("state", "now"), [("offered", "granted"), ("taken", "acquired"), ("done", "released")]
)
def test_a_host_keeps_its_disruption_slot(state: str, now: str) -> None:
    found = decode(Disruption, of_format_1({"host": "h", "state": state, "reason": "why", "quorum": True}))
    assert found.state == now


def test_a_status_says_what_its_host_said() -> None:
    found = decode(HostStatus, of_format_1(STATUS))
    assert (found.state, found.epoch, found.engine_error) == ("active", 1, "dockerd is away")
    assert [(each.key, each.reserved) for each in found.replicas] == [(("s", 1), (("n", "a"),))]
    assert found.steps == tuple(StepReport(resource="", verb="", text=each) for each in STATUS["steps"])


@pytest.mark.parametrize(
    "body", [{"state": ["offered"]}, {"steps": 1}, {"copies": [{"number": []}]}, {"later": 1}]
)
def test_other_values_stay_unreadable(body: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        decode(HostStatus, of_format_1(STATUS | body))
