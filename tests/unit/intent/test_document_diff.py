"""What differs between two documents by meaning, and which values are told."""

import json
from typing import Any

import pytest

from agent.cli.history import show_differences
from agent.cli.output import Output
from agent.errors import Invalid
from agent.intent.document_diff import differences, meaning
from tests.support.document import document
from tests.unit.cli.conftest import GOOD


def told(before: str, after: str, *, show_secrets: bool = False) -> list[str]:
    one, other = (meaning("x", each.encode()) for each in (before, after))
    return [str(each) for each in differences(one, other, show_secrets=show_secrets)]


def test_comments_quotes_order_and_spelling_are_no_difference() -> None:
    other = "# more\n" + json.dumps(meaning("x", GOOD.encode()))
    assert told(GOOD, other) == []
    listed = document(GOOD, services={"order": {"environment": None}}).replace(
        "x-hosts:", "environment: [PASSWORD=hunter2]\n    x-hosts:"
    )
    assert told(GOOD, listed) == []


ORDER = "services.order"


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ({"image": "order:2"}, f"{ORDER}.image: changed registry.example/order:1.0.0 -> order:2"),
        ({"cap_add": ["NET_RAW"]}, f'{ORDER}.cap_add: added ["NET_RAW"]'),
        ({"environment": {"PASSWORD": "x"}}, f"{ORDER}.environment.PASSWORD: changed"),
        ({"environment": {"TOKEN": "x"}}, f"{ORDER}.environment.TOKEN: added"),
        ({"command": ["--token", "x"]}, f"{ORDER}.command: added"),
        ({"labels": {"a": "secret"}}, f"{ORDER}.labels: added"),
    ],
)
def test_each_difference_is_a_path_with_both_values_unless_they_may_be_secrets(
    order: dict[str, Any], line: str
) -> None:
    assert told(GOOD, document(GOOD, services={"order": order})) == [line]


def test_what_a_document_has_more_is_one_line() -> None:
    more = {"image": "more:1", "x-hosts": ["h1"], "network_mode": "none"}
    assert told(GOOD, document(GOOD, services={"more": more})) == ["services.more: added"]
    assert told(document(GOOD, services={"more": more}), GOOD) == ["services.more: removed"]
    drained = document(GOOD, hosts={"h2": {"availability": "drain"}})
    assert told(GOOD, drained) == ["x-cluster.hosts.h2.availability: added drain"]


def test_with_secrets_values_are_told_too() -> None:
    after = document(GOOD, services={"order": {"environment": {"PASSWORD": "other"}}})
    assert told(GOOD, after, show_secrets=True) == [
        "services.order.environment.PASSWORD: changed hunter2 -> other"
    ]


@pytest.mark.parametrize("key", ["x-shared", "configs", "secrets"])
def test_what_is_not_known_may_be_a_secret(key: str) -> None:
    one, other = ({"name": "x", key: {"a": {"content": each}}} for each in ("hunter2", "hunter3"))
    assert [str(each) for each in differences(one, other)] == [
        str(each) for each in differences(one, other) if "hunter" not in str(each)
    ]
    assert differences(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"services": {"a": {"environment": {"P": "hunter2"}}}}, {"services": {"a": None}}),
        ({"services": {"a": {"environment": {"P": "hunter2"}}}}, {"services": {"a": []}}),
        ({"services": {"a": {"environment": {"P": "hunter2"}}}}, {"services": "none"}),
        ({"services": [{"environment": {"P": "hunter2"}}]}, {"services": []}),
        ({"services": {"a": {}}}, {"services": {"a": {}, "PASSWORD": "hunter2"}}),
        ({"services": {"PASSWORD": "x"}}, {"services": {"PASSWORD": "hunter2"}}),
        ({"networks": {}, "volumes": {}}, {"networks": {"P": "hunter2"}, "volumes": {"P": ["hunter2"]}}),
        ({"services": {"a": {"environment": {}}}}, {"services": {"a": {"environment": ["P: hunter2"]}}}),
        ({"volumes": {"v": {"driver_opts": {"o": "hunter2"}}}}, {"volumes": {"v": None}}),
        ({"volumes": {"v": {"driver_opts": {"o": "hunter2"}}}}, {"volumes": {}}),
        (
            {"services": {"a": {"volumes": [{"volume": {"labels": {"p": "hunter2"}}}]}}},
            {"services": {"a": {}}},
        ),
        (
            {"services": {"a": {"volumes": [{"volume": {"labels": {"p": "hunter2"}}}, "v:/v"]}}},
            {"services": {"a": {"volumes": ["v:/v"]}}},
        ),
        ({"services": {"a": {"deploy": {"labels": ["p=hunter2"]}}}}, {"services": {"a": {"deploy": "x"}}}),
    ],
)
def test_a_secret_below_what_becomes_another_kind_of_value_is_not_told(one: object, other: object) -> None:
    for before, after in ((one, other), (other, one)):
        found = differences(before, after)
        assert found
        assert "hunter2" not in repr(found)
    assert "hunter2" in repr(differences(one, other, show_secrets=True)) or other == {"volumes": {}}


def test_a_list_tells_what_comes_and_goes_or_that_its_order_is_another() -> None:
    def with_dns(*dns: str) -> object:
        return {"services": {"a": {"dns": [*dns]}}}

    assert [
        str(each) for each in differences(with_dns("1.1.1.1", "2.2.2.2"), with_dns("2.2.2.2", "3.3.3.3"))
    ] == [
        "services.a.dns: removed 1.1.1.1",
        "services.a.dns: added 3.3.3.3",
    ]
    (order,) = differences(with_dns("1.1.1.1", "2.2.2.2"), with_dns("2.2.2.2", "1.1.1.1"))
    assert str(order) == "services.a.dns: changed: the order of its entries"


def test_a_faulty_document_is_compared_and_what_is_no_yaml_is_an_error() -> None:
    assert told(GOOD, document(GOOD, roles={"h1": "king"})) == [
        "x-cluster.hosts.h1.role: changed manager -> king"
    ]
    with pytest.raises(Invalid, match=r"mine: line 2, column 1: not YAML"):
        meaning("mine", b"a: [")


def test_as_data_a_change_has_path_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    after = document(GOOD, tags={"order": "1.0.1"})
    assert show_differences(("a", "b"), (GOOD.encode(), after.encode()), Output.JSON)
    data = json.loads(capsys.readouterr().out)
    assert (data["version"], data["from"], data["to"]) == (1, "a", "b")
    assert data["changes"] == [
        {
            "path": "services.order.image",
            "what": "changed",
            "before": "registry.example/order:1.0.0",
            "after": "registry.example/order:1.0.1",
        }
    ]
