"""For which documents an assignment counts."""

from dataclasses import replace
from typing import Any

import pytest

from agent.model.intent import Intent
from agent.model.records import Assignment, Replica
from tests.support.builders import intent, order, service

OTHER = service("other", on={"h2": 1})


def asked(*more: Any, **policy: Any) -> Intent:
    found = intent(service(on={"h1": 1}), *more, hosts="h1 h2 h3", revision=7)
    return replace(found, policy=replace(found.policy, **policy))


def assignment(of: Intent, **more: Any) -> Assignment:
    mine = (Replica(service="order", slot=1, spec=of.services[0].spec_hash),)
    asks = of.asks_of("h1", ["order"])
    return Assignment(**{"revision": 7, "project": "prod", "replicas": mine, "asks": asks, **more})


def counts(found: Assignment, later: Intent, *, epoch: int = 0) -> bool:
    return replace(later, revision=9).counted("h1", found, epoch).revision == 9


@pytest.mark.parametrize("later", [asked(), asked(OTHER)], ids=["the same", "a service on another host"])
def test_an_assignment_counts_for_a_document_that_asks_the_same_of_its_host(later: Intent) -> None:
    assert counts(assignment(asked()), later)


@pytest.mark.parametrize(
    "later",
    [
        asked(reserve_addresses=True),
        asked(service("other", on={"h1": 1})),
        replace(asked(), services=()),
        replace(asked(), services=(service(on={"h1": 2}),)),
        replace(asked(), hosts=asked().hosts[:2]),
    ],
    ids=["a policy", "a new service", "a service gone", "another replica", "a host gone"],
)
def test_it_does_not_count_for_one_that_asks_something_else_of_it(later: Intent) -> None:
    assert not counts(assignment(asked()), later)


def test_it_counts_for_one_with_another_spec_whose_rollout_is_pending() -> None:
    mine, edited = (
        assignment(asked()),
        replace(asked(), services=(service(on={"h1": 1}, spec=order("1.0.1")),)),
    )
    counted = replace(edited, revision=9).counted("h1", mine, 0)

    assert counted == replace(mine, revision=9, pending=("order",))
    assert replace(asked(), revision=10).counted("h1", counted, 0).pending == ()


def test_it_does_not_count_in_another_epoch_with_a_false_hash_or_none_or_with_other_services() -> None:
    mine = assignment(asked())
    assert not counts(mine, asked(), epoch=1)
    assert not counts(replace(mine, asks="0" * 16), asked())
    assert not counts(replace(mine, asks=""), asked())
    extra = Replica(service="other", slot=1, spec="0" * 64)
    assert not counts(replace(mine, replicas=(*mine.replicas, extra)), asked(OTHER))


def test_it_stays_that_of_a_later_document_for_an_agent_with_an_earlier_one() -> None:
    assert asked().counted("h1", assignment(asked(), revision=8), 0).revision == 8


def test_a_document_whose_tags_are_resolved_anew_is_not_known_to_ask_the_same() -> None:
    resolving = asked(resolve_digests=True)
    assert not counts(assignment(resolving), resolving)
