import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agent.cli.describe import show_description
from agent.cli.output import Output
from agent.cli.render import Page
from agent.cli.resources import replica_rows, replica_table, show_rows
from agent.cli.status_form import status_schema
from agent.conditions import conditions_of
from agent.errors import Invalid
from agent.model.events import EventLog
from agent.model.observed import ClusterState
from agent.model.spec import Port, spec_hash
from agent.model.store import Upkeep
from agent.observe.look import Look
from tests.support.cluster_states import (
    BILLING,
    CLUSTERS,
    HEALTHY,
    NOW_S,
    STORE_ERRORS,
    B,
    C,
    absent,
    cluster,
    document,
    on,
    replica,
    report,
    with_replica,
)
from tests.unit.cli.conftest import Cluster, swarmkeeper

BAD = "a\x1b[2Jb\u202ec\x9b2J"
Shown = Callable[..., str]


def reading(state: ClusterState, store_error: str = "") -> Look:
    return Look(cluster="prod", state=state, upkeep=Upkeep(alarm=store_error), read_s=NOW_S)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Show rows as a program gets them, or on a terminal of that width; returns what was printed."""

    def showing(command: str, state: ClusterState, *names: str, output: Output = Output.TABLE) -> str:
        show_rows(command, reading(state), names, output)
        return capsys.readouterr().out

    return showing


def rows_of(printed: str) -> list[list[str]]:
    """Return the cells of a table, whose columns are two spaces apart."""
    return [[cell.strip() for cell in line.split("  ") if cell] for line in printed.splitlines()]


def line_of(printed: str, name: str) -> str:
    return next(line for line in printed.splitlines() if line.startswith(name))


# ---- ps


def test_ps_has_a_line_for_each_replica_over_all_hosts(shown: Shown) -> None:
    web = replace(
        BILLING, spec=replace(BILLING.spec, ports=(Port(target=80, published=8080), Port(target=81)))
    )
    state = with_replica(
        cluster(document(web)),
        B,
        "billing",
        1,
        addresses=(("net", "10.10.0.7"),),
        ports=(("81/tcp", "49153"),),
    )

    assert [" ".join(line.split()) for line in shown("ps", state).splitlines()] == [
        "Replica Host State Container Health Image Address Ports Restarts Age",
        "billing-1 node-232 Ready running - registry.local/billing:1.0.0 10.10.0.7 8080->80/tcp, 49153->81/tcp 0 2 h",
    ]
    assert "net:10.10.0.7" in shown("ps", state, output=Output.WIDE)
    assert "prod-billing-1" in shown("ps", state, output=Output.WIDE)


def test_a_stopped_container_has_neither_an_age_nor_ports(shown: Shown) -> None:
    web = replace(BILLING, spec=replace(BILLING.spec, ports=(Port(target=80, published=8080),)))
    state = with_replica(
        cluster(document(web)), B, "billing", 1, status="exited", exit_code=1, crashes=2, restarts=4
    )

    assert shown("ps", state).splitlines()[1].split()[3:] == [
        "exited", "-", "registry.local/billing:1.0.0", "-", "-", "4", "-",
    ]  # fmt: skip


def test_what_a_dead_host_reported_last_is_marked_and_never_shown_as_known(shown: Shown) -> None:
    printed = shown("ps", CLUSTERS["host off for 6 minutes"])

    dead = line_of(printed, "web-2")
    assert "Unreachable 6 m" in dead
    assert all(each in dead for each in ("running?", "healthy?", "0?", "2 h?"))
    assert "?" not in line_of(printed, "web-1")
    assert printed.splitlines()[-1].startswith("? is from the last report of a host that does not report now")
    assert "last report" not in shown("ps", HEALTHY)


@pytest.mark.parametrize(
    "name", ["dockerd down", "frozen: the report is old", "agent stopped", "host starting"]
)
def test_so_is_every_other_report_that_is_not_current(shown: Shown, name: str) -> None:
    assert "running?" in line_of(shown("ps", CLUSTERS[name]), "billing-1")


def test_what_was_never_reported_is_unknown(shown: Shown) -> None:
    state = CLUSTERS["host never seen"]

    assert line_of(shown("ps", state), "web-3").split() == ["web-3", "node-233", "NeverSeen", *["?"] * 7]
    row = next(each for each in rows_as_data(shown, state) if each["name"] == "web-3")
    assert (row["current"], row["container"], row["health"], row["restarts"]) == (False, None, None, None)


def test_a_replica_without_a_container_has_none(shown: Shown) -> None:
    state = CLUSTERS["foreign name"]

    assert line_of(shown("ps", state), "billing-1").split() == [
        "billing-1",
        "node-232",
        "NameInUse",
        *["-"] * 7,
    ]
    row = next(each for each in rows_as_data(shown, state) if each["name"] == "billing-1")
    assert (row["current"], row["container"]) == (True, "")


def test_a_container_on_another_host_than_the_assigned_one_has_a_line_of_its_own(shown: Shown) -> None:
    printed = shown("ps", CLUSTERS["replica still on its earlier host"])

    lines = [line.split()[:3] for line in printed.splitlines() if line.startswith("billing-1")]
    assert ["billing-1", C, "unassigned"] in lines
    assert len(lines) == 2


def test_both_containers_of_a_slot_are_shown(shown: Shown) -> None:
    printed = shown("ps", CLUSTERS["two containers of a slot"], output=Output.WIDE)

    assert printed.count("prod-billing-1") == 2
    assert "prod-billing-1-old" in printed


def test_a_service_that_was_removed_from_the_document_is_shown_while_it_runs(shown: Shown) -> None:
    gone = replica(replace(BILLING, name="gone"), 1)
    state = on(HEALTHY, C, replicas=(*HEALTHY.statuses[C].replicas, gone))

    assert line_of(shown("ps", state), "gone-1").split()[1:3] == [C, "unassigned"]
    assert shown("ps", state, "gone").splitlines()[1:] == [line_of(shown("ps", state, "gone"), "gone-1")]


def test_names_choose_services_and_an_unknown_one_is_named(shown: Shown) -> None:
    printed = shown("ps", HEALTHY, "web", "billing")

    assert {line.split("-")[0] for line in printed.splitlines()[1:]} == {"web", "billing"}
    with pytest.raises(
        Invalid,
        match=r"'wbe' is not in the document or any report: did you mean web\? name one of web, order or billing",
    ):
        shown("ps", HEALTHY, "wbe")


def test_an_image_is_that_of_the_container_and_not_of_the_document(shown: Shown) -> None:
    printed = shown("ps", CLUSTERS["healthy rollout"], "order")

    assert "registry.local/order:1.0.1" in line_of(printed, "order-1")
    assert "registry.local/order:1.0.0" in line_of(printed, "order-4")


def test_the_digest_of_an_image_is_only_in_wide_and_data(shown: Shown) -> None:
    digested = replace(BILLING, spec=replace(BILLING.spec, image="billing:1@sha256:abc"))
    state = cluster(document(digested))

    assert "billing:1 " in shown("ps", state)
    assert "@sha256" not in shown("ps", state)
    assert "billing:1@sha256:abc" in shown("ps", state, output=Output.WIDE)
    assert rows_as_data(shown, state)[0]["image"] == "billing:1@sha256:abc"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("10.159.62.231:5000/somecom/order:1.1.0", "…somecom/order:1.1.0"),
        ("registry.example/group/of/projects/order:1.1.0", "…projects/order:1.1.0"),
        ("order:1.1.0", "order:1.1.0"),
        ("a.example/the-name-of-a-very-long-image:1.1.0", "…the-name-o…mage:1.1.0"),
    ],
)
def test_in_a_window_an_image_loses_its_registry_before_its_name(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, image: str, name: str
) -> None:
    state = cluster(document(replace(BILLING, spec=replace(BILLING.spec, image=image))))
    monkeypatch.setenv("COLUMNS", "100")

    printed = shown("ps", state)
    assert f"  {name}  " in line_of(printed, "billing-1")
    assert all(len(line) <= 100 for line in printed.splitlines())


def test_a_spec_that_nobody_knows_is_an_unknown_image(shown: Shown) -> None:
    state = with_replica(HEALTHY, B, "billing", 1, spec="f" * 64)

    assert next(each for each in rows_as_data(shown, state) if each["name"] == "billing-1")["image"] is None


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_a_table_fits_its_window_and_keeps_the_state(width: int) -> None:
    state = CLUSTERS["host off for 6 minutes"]
    rows = replica_rows(state, conditions_of(state, now_s=NOW_S))
    lines = replica_table(rows, Page(width=width, now_s=NOW_S))

    assert all(line.cell_len <= width for line in lines)
    assert "State" in lines[0].plain


def test_no_terminal_obeys_what_hosts_and_the_document_say(shown: Shown) -> None:
    host = report(BAD, replica(replace(BILLING, name=BAD), 1, name=BAD, health=BAD, addresses=((BAD, BAD),)))
    state = replace(HEALTHY, statuses={**HEALTHY.statuses, BAD: host})
    state = on(absent(state, B), B, engine_version=BAD)

    for command in ("ps", "services", "hosts"):
        for output in Output:
            printed = shown(command, state, output=output)
            assert printed.replace("\n", "").isprintable(), (command, output)
    assert "a\\x1b[2Jb\\u202ec\\x9b2J-1" in shown("ps", state)


# ---- services and hosts


def test_services_and_hosts_have_what_status_has_and_what_is_wrong(shown: Shown) -> None:
    services = shown("services", CLUSTERS["crash loop, exited"])
    hosts = shown("hosts", CLUSTERS["host off for 6 minutes"])

    assert line_of(services, "billing").split()[:7] == [
        "billing", "CrashLoop", "1", "0", "0", "1", "registry.local/billing:1.0.0",
    ]  # fmt: skip
    assert "it keeps exiting, 7 times so far" in line_of(services, "billing")
    assert line_of(services, "web").endswith("registry.local/web:1.0.0")
    assert "10.0.0.232" in line_of(hosts, "node-232")
    assert "unreachable for 6 m" in line_of(hosts, "node-232")
    assert line_of(hosts, "node-231").split()[-1] == "0.1.0"


def test_where_lines_have_a_width_what_is_wrong_stands_below(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed = shown("hosts", CLUSTERS["host off for 6 minutes"])

    assert all(len(line) <= 80 for line in printed.splitlines())
    assert "node-232: unreachable for 6 m" in printed


def test_the_rows_are_those_of_the_status(shown: Shown) -> None:
    state = CLUSTERS["rollout paused"]
    swarm = conditions_of(state, now_s=NOW_S)

    services = json.loads(shown("services", state, output=Output.JSON))["services"]
    hosts = json.loads(shown("hosts", state, output=Output.JSON))["hosts"]
    assert [each["condition"]["reason"] for each in services] == [
        each.condition.reason for each in swarm.services
    ]
    assert [each["open_steps"] for each in hosts] == [each.open_steps for each in swarm.hosts]


def test_names_choose_hosts_too(shown: Shown) -> None:
    assert len(shown("hosts", HEALTHY, B).splitlines()) == 2
    with pytest.raises(Invalid, match="name one of node-231, node-232 or node-233"):
        shown("hosts", HEALTHY, "node-9")


# ---- Every state, and the command itself


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_named_state_can_be_shown(name: str, shown: Shown) -> None:
    look = reading(CLUSTERS[name], STORE_ERRORS.get(name, ""))
    found = look.conditions(NOW_S)
    rows = replica_rows(look.state, found)

    assert {each.name for each in rows} >= {each.condition.name for each in found.replicas}
    known = {each.condition.name for each in found.hosts if each.current and each.engine_up}
    assert {each.host for each in rows if each.current} <= known
    assert all(each.current is False for each in rows if each.host not in known)
    for command in ("ps", "services", "hosts"):
        assert shown(command, CLUSTERS[name])


def test_the_command_reads_etcd(cluster: Cluster) -> None:
    cluster.put(cluster.keys.status("h1"), report("h1", replica(BILLING, 1)))

    ended = cluster.run("ps", "-o", "json")
    assert ended.code == 0
    assert json.loads(ended.out)["replicas"][0] == {
        "name": "billing-1", "condition": None, "service": "billing", "slot": 1, "host": "h1", "current": False,
        "reported_at": "2026-11-29T12:08:30Z", "container": "prod-billing-1", "status": "running", "health": "",
        "image": None, "addresses": {}, "ports": [], "restarts": 0, "started_at": "2026-11-29T10:00:00Z",
        "exit_code": 0, "error": "", "output": [],
    }  # fmt: skip
    assert cluster.run("ps", "nothing").code == 1
    assert (
        "'nothing' is not in the document or any report: name one of billing"
        in cluster.run("ps", "nothing").err
    )
    assert cluster.run("hosts").code == 0
    assert cluster.run("services").out.startswith("None: ")


@pytest.mark.parametrize("command", ["ps", "services", "hosts"])
def test_a_cluster_that_etcd_does_not_have_is_an_error(cluster: Cluster, command: str) -> None:
    assert cluster.run(command).code == 1
    unreachable = swarmkeeper(command, "--endpoint", "http://127.0.0.1:1", "--cluster", "prod")
    assert (unreachable.code, unreachable.out) == (3, "")


def rows_as_data(shown: Shown, state: ClusterState) -> list[dict[str, Any]]:
    found = json.loads(shown("ps", state, output=Output.JSON))
    assert (found["version"], found["name"], found["source"]) == (1, "prod", "etcd")
    return list(found["replicas"])


def test_yaml_is_the_same(shown: Shown) -> None:
    in_yaml = yaml.safe_load(shown("ps", HEALTHY, output=Output.YAML))
    assert in_yaml == json.loads(shown("ps", HEALTHY, output=Output.JSON))
    assert spec_hash(BILLING.spec) not in str(in_yaml)


# ---- The documented form


def documented(heading: str) -> set[str]:
    """Return the properties in the table below a heading of docs/command-json.md."""
    page = (Path(__file__).parents[3] / "docs/command-json.md").read_text()
    below = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in below.splitlines() if line.startswith("| `")]
    return {name for each in firsts for name in re.findall(r"`(\w+)`", each)}


HEAD = {"version", "name", "read_at", "source", "accepted_revision"}


def test_the_page_has_every_property_of_a_row_and_no_other(shown: Shown) -> None:
    found = json.loads(shown("ps", HEALTHY, output=Output.JSON))

    assert found.keys() == HEAD | {"replicas"}
    assert all(each.keys() == documented("ps, services, hosts") for each in found["replicas"])
    for command in ("services", "hosts"):
        assert json.loads(shown(command, HEALTHY, output=Output.JSON)).keys() == HEAD | {command}


@pytest.mark.parametrize("name", ["web", "web-1", "node-231", "net", "leader"])
def test_it_has_those_of_a_description_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_description(name, reading(HEALTHY), EventLog(), Output.JSON)

    assert json.loads(capsys.readouterr().out).keys() == HEAD | documented("describe")


def test_the_rows_of_services_and_hosts_have_the_form_of_the_schema(shown: Shown) -> None:
    schema = status_schema()
    for command, kind in (("services", "ServiceCondition"), ("hosts", "HostCondition")):
        checked = jsonschema.Draft202012Validator({**schema["$defs"][kind], "$defs": schema["$defs"]})
        rows = json.loads(shown(command, CLUSTERS["host off for 6 minutes"], output=Output.JSON))[command]
        assert rows
        assert all(checked.is_valid(each) for each in rows)
