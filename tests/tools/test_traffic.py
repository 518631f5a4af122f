"""What bench/rollout asks a resolver, and how it counts."""

import struct

import pytest

from bench.run_rollout import ORDERS, Service, Swarmkeeper, report
from bench.traffic import Count, Request, addresses, count, question

NAME = b"\x03web\x00"
POINTER = b"\xc0\x0c"


def test_a_question_is_what_a_resolver_expects() -> None:
    assert question("web.net", 7) == (
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x03net\x00\x00\x01\x00\x01"
    )


@pytest.mark.parametrize("name", [NAME, POINTER], ids=["written out", "compressed"])
def test_an_answer_has_the_addresses_and_nothing_else(name: bytes) -> None:
    def record(kind: int, data: bytes) -> bytes:
        return name + struct.pack("!HHIH", kind, 1, 600, len(data)) + data

    asked = NAME + struct.pack("!2H", 1, 1)
    answer = struct.pack("!6H", 7, 0x8180, 1, 3, 0, 0) + asked
    answer += record(1, bytes([10, 10, 0, 3])) + record(28, bytes(16)) + record(1, bytes([10, 10, 0, 4]))
    assert addresses(answer) == ["10.10.0.3", "10.10.0.4"]


def test_a_name_that_is_not_known_has_no_address() -> None:
    assert addresses(struct.pack("!6H", 7, 0x8183, 1, 0, 0, 0) + NAME + struct.pack("!2H", 1, 1)) == []


def test_requests_count_between_two_moments_by_their_beginning() -> None:
    def request(at_s: float, *, first: bool = True, answered: bool = True) -> Request:
        return Request(at_s=at_s, seconds=at_s / 10, first=first, answered=answered)

    seen = [request(1, first=False), request(2), request(3, first=False)]
    seen += [request(4, first=False, answered=False), request(5, first=False)]
    assert count(seen, 2, 5) == Count(requests=3, failed=2, lost=1, slowest_s=0.4)
    assert count((), 2, 5) == Count(requests=0, failed=0, lost=0, slowest_s=0.0)


def test_the_report_has_every_contender_that_was_measured_and_the_ratio_to_it() -> None:
    found = Count(requests=200, failed=3, lost=1, slowest_s=1.5)
    taken = {f"{kind.title}, {order}": [(12.0, found)] for kind in (Swarmkeeper, Service) for order in ORDERS}
    lines = report(taken).splitlines()
    assert [line.split()[-8:] for line in lines if line.endswith("1.50 s")] == [
        ["200", "3", "1.50", "%", "1", "0.50", "%", "1.50", "s"][-8:]
    ] * 4
    assert [line for line in lines if " / " in line] == [
        f"Swarmkeeper, {order} / docker service update, dnsrr, {order} = 1.00" for order in ORDERS
    ]
