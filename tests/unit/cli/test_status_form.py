import json

import jsonschema
import pytest

from agent.cli.local_agent import conditions_without_etcd
from agent.cli.status_form import status_form, status_schema
from agent.conditions import ClusterConditions, conditions_of
from tests.support.cluster_states import CLUSTERS, STORE_ERRORS
from tests.support.cluster_states import NOW_S as STATES_AT_S
from tests.unit.cli.conftest import swarmkeeper
from tests.unit.cli.sample_conditions import BAD, GOOD, NOW_S, long_names, many

SCHEMA = json.loads(swarmkeeper("schema", "--of", "status").out)


def valid(form: object) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(form))


@pytest.mark.parametrize("found", [GOOD, BAD, many(50, 30), long_names()])
def test_every_status_has_the_form_of_the_schema(found: ClusterConditions) -> None:
    form = json.loads(json.dumps(status_form("prod", found, now_s=NOW_S)))

    assert valid(form)
    assert (form["version"], form["name"], form["source"]) == (1, "prod", "etcd")
    assert form["read_at"] == "2024-05-01T12:06:00Z"
    assert form["converged"] is found.converged


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_named_state_has_it_too(name: str) -> None:
    found = conditions_of(CLUSTERS[name], now_s=STATES_AT_S, store_error=STORE_ERRORS.get(name, ""))

    assert valid(status_form("prod", found, now_s=STATES_AT_S, accepted=7))


def test_also_the_one_without_etcd() -> None:
    form = status_form(
        "prod", conditions_without_etcd("etcd does not answer"), now_s=NOW_S, page={"host": "h1"}
    )

    assert valid(form)
    assert (form["source"], form["code"], form["agent"]) == ("agent", 3, {"host": "h1"})


def test_the_schema_is_one_and_refuses_what_is_not_of_the_form() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    form = status_form("prod", BAD, now_s=NOW_S)

    assert status_schema() == SCHEMA
    assert valid({**form, "added": "later"})
    assert not valid({**form, "version": 2})
    assert not valid({key: value for key, value in form.items() if key != "problems"})
    assert not valid({**form, "cluster": {**form["cluster"], "state": "Sick"}})
    without = {key: value for key, value in form["cluster"].items() if key != "command"}
    assert not valid({**form, "cluster": without})
