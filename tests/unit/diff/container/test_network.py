"""A network as a container keeps it: by an id that may be of one that is gone."""

from typing import Any

import pytest

from agent.diff.container import create_request, differences
from agent.model.host_state import Difference
from agent.model.records import Replica
from agent.model.spec import Attachment, ContainerSpec, spec_hash
from tests.fakes.container_inspect import inspect_of

SPEC = ContainerSpec(image="bare:1", networks=(Attachment(network="net"),))
BARE = {"Id": "sha256:bare", "Config": {"Env": None, "Cmd": None}}
GONE = "logofdyja57iyvb8uywor11jw"
ERRORS = (
    f"Could not attach to network {GONE}: rpc error: code = NotFound desc = network {GONE} not found",
    f"network {GONE} not found",
)


def found(status: str, error: str, network_id: str) -> tuple[Difference, ...]:
    replica = Replica(service="order", slot=1, spec=spec_hash(SPEC))
    request = create_request(SPEC, replica, project="prod", cluster="test", name="prod-order-1")
    raw: dict[str, Any] = inspect_of(request.body, BARE, container_id="d34d" * 16, name=request.name)
    raw["State"] |= {"Status": status, "Error": error}
    raw["NetworkSettings"]["Networks"]["net"]["NetworkID"] = network_id
    return differences(SPEC, raw, BARE)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("status", ["created", "exited"])
def test_a_replica_that_asks_for_a_network_that_is_gone_is_disconnected_and_reconnected(
    status: str, error: str
) -> None:
    (difference,) = found(status, error, GONE)

    assert (difference.repair, difference.subject) == ("reconnect", "net")
    assert difference.found == "attached as order, to a network that is gone"


@pytest.mark.parametrize(
    ("status", "error", "network_id"),
    [
        ("running", ERRORS[0], GONE),
        ("exited", "", GONE),
        ("exited", ERRORS[0], "another-id"),
        ("created", ERRORS[0], ""),
    ],
)
def test_else_there_is_nothing_to_put_right(status: str, error: str, network_id: str) -> None:
    assert found(status, error, network_id) == ()


def test_a_replica_answers_to_tasks_too_and_one_of_an_earlier_agent_without_it_is_as_wanted() -> None:
    replica = Replica(service="order", slot=1, spec=spec_hash(SPEC))
    request = create_request(SPEC, replica, project="prod", cluster="test", name="prod-order-1")
    endpoint = request.body["NetworkingConfig"]["EndpointsConfig"]["net"]
    assert endpoint["Aliases"] == ["order", "tasks.order"]

    endpoint["Aliases"] = ["order"]
    raw: dict[str, Any] = inspect_of(request.body, BARE, container_id="d34d" * 16, name=request.name)
    assert differences(SPEC, raw, BARE) == ()
    endpoint["Aliases"] = ["tasks.order"]
    raw = inspect_of(request.body, BARE, container_id="d34d" * 16, name=request.name)
    assert [each.repair for each in differences(SPEC, raw, BARE)] == ["reconnect"]
