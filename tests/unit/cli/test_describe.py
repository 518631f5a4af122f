import json
from dataclasses import replace

import pytest

from agent.cli.describe import describe, named, render_description, show_description
from agent.cli.output import Output
from agent.cli.render import Page
from agent.conditions import conditions_of
from agent.errors import Invalid
from agent.model.events import Event, EventLog
from agent.model.intent import NetworkIntent, ServiceIntent
from agent.model.observed import ClusterState
from agent.model.spec import Port
from agent.model.status import NetworkReport
from agent.model.store import Upkeep
from agent.observe.look import Look
from tests.support.cluster_states import (
    BILLING,
    CLUSTERS,
    HEALTHY,
    NOW_S,
    STORE_ERRORS,
    WEB,
    A,
    B,
    C,
    absent,
    cluster,
    document,
    on,
)
from tests.unit.cli.conftest import Cluster

NO_EVENTS = EventLog()


def plain(name: str, state: ClusterState, width: int | None = None) -> list[str]:
    found = conditions_of(state, now_s=NOW_S)
    description = describe(named(name, found), state, found)
    return [line.plain for line in render_description(description, Page(width=width, now_s=NOW_S))]


def section(lines: list[str], heading: str) -> list[str]:
    """Return the lines below a heading, up to the next one."""
    after = lines[lines.index(heading) + 1 :]
    return after[: after.index("")] if "" in after else after


def data(
    name: str, state: ClusterState, capsys: pytest.CaptureFixture[str], events: EventLog = NO_EVENTS
) -> dict[str, object]:
    show_description(
        name, Look(cluster="prod", state=state, upkeep=Upkeep(), read_s=NOW_S), events, Output.JSON
    )
    return dict(json.loads(capsys.readouterr().out))


# ---- Events


def happened(number: int, resource: str) -> Event:
    return Event(at=f"2026-11-29T12:{number:02}:00Z", kind="condition", resource=resource, state="Ready")


def test_the_last_ten_events_about_the_resource_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLog(events=tuple(happened(n, f"host/{B if n % 2 else C}") for n in range(30)))

    shown = data(B, HEALTHY, capsys, log)["events"]

    assert isinstance(shown, list)
    assert [each["at"][14:16] for each in shown] == [f"{n:02}" for n in range(29, 10, -2)]


def test_an_event_is_one_line_of_the_description() -> None:
    found = conditions_of(HEALTHY, now_s=NOW_S)
    event = Event(
        at="2026-11-29T12:00:00Z", kind="condition", resource=f"host/{B}", state="Down", text="it is off"
    )
    description = replace(describe(named(B, found), HEALTHY, found), events=(event,))

    lines = [line.plain for line in render_description(description, Page(width=None, now_s=NOW_S))]

    assert section(lines, "Events") == ["  2026-11-29T12:00:00Z  Down: it is off"]


def test_events_that_cannot_be_read_hide_no_description(cluster: Cluster) -> None:
    cluster.put(cluster.keys.events, "[")

    ended = cluster.run("describe", "leader")

    assert ended.code == 0
    assert f"the key {cluster.keys.events} cannot be read" in ended.err


# ---- Names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("web", "service/web"),
        ("service/web", "service/web"),
        ("web-1", "replica/web-1"),
        (B, f"host/{B}"),
        ("net", "network/net"),
        ("quorum", "quorum/"),
        ("leader", "leader/"),
    ],
)
def test_a_bare_name_is_enough_where_only_one_has_it(name: str, key: str) -> None:
    assert named(name, conditions_of(HEALTHY, now_s=NOW_S)).key == key


def test_a_service_goes_before_its_rollout() -> None:
    found = conditions_of(CLUSTERS["rollout paused"], now_s=NOW_S)

    assert named("order", found).key == "service/order"
    assert named("rollout/order", found).key == "rollout/order"


def test_a_name_of_several_is_refused_with_the_ways_to_write_it() -> None:
    service = ServiceIntent(name="net", spec=WEB.spec, replicas=1)
    state = replace(HEALTHY, accepted=replace(document(), services=(service,)))

    with pytest.raises(Invalid, match="'net' is the name of several: write network/net or service/net"):
        named("net", conditions_of(state, now_s=NOW_S))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wbe", "'wbe' is no resource of this cluster: did you mean web?"),
        (
            "xyz",
            "'xyz' is no resource of this cluster: `swarmkeeper ps`, `services` and `hosts` list the names",
        ),
        ("rollout/web", "'rollout/web': no rollout of it is under way, paused or rolled back"),
        ("a\x1b[2J", r"'a\x1b[2J' is no resource of this cluster: `swarmkeeper ps`"),
    ],
)
def test_an_unknown_name_is_refused_with_what_to_do(name: str, message: str) -> None:
    with pytest.raises(Invalid) as error:
        named(name, conditions_of(HEALTHY, now_s=NOW_S))
    assert str(error.value).startswith(message)


# ---- What is shown


def test_a_service_has_its_document_its_numbers_and_its_replicas() -> None:
    spec = replace(
        BILLING.spec, ports=(Port(target=80, published=8080),), environment=(("PASSWORD", "hunter2"),)
    )
    lines = plain(
        "billing",
        cluster(document(WEB, replace(BILLING, spec=spec, depends_on=(("web", "service_started"),)))),
    )

    assert lines[0] == "service billing: Ready"
    assert section(lines, "Desired") == [
        "  replicas: 1",
        "  hosts:",
        "    node-232: 1",
        "  image: registry.local/billing:1.0.0",
        "  networks:",
        "  - net",
        "  ports:",
        "  - 8080->80/tcp",
        "  depends_on:",
        "    web: service_started",
        "  update: 1 at a time, stop-first, on failure pause",
    ]
    assert section(lines, "Observed") == ["  running: 1", "  ready: 1", "  updated: 1", "  unknown: 0"]
    assert section(lines, "Replicas")[1].startswith("billing-1  node-232  Ready  running")
    assert "hunter2" not in "".join(lines)


def test_a_condition_has_its_text_its_command_and_what_it_follows_from() -> None:
    lines = plain("billing-1", CLUSTERS["crash loop, exited"])

    assert lines[:3] == [
        "replica billing-1: Degraded, CrashLoop",
        "  it keeps exiting, 7 times so far, last with code 1",
        "  next: swarmkeeper logs billing-1",
    ]
    assert "  exit_code: 1" in lines
    assert "  restarts: 7" in lines
    assert section(lines, "Related conditions")[0].startswith("  service billing (CrashLoop)")


def test_a_dead_host_has_its_last_report_marked_and_what_follows_from_it() -> None:
    lines = plain(B, CLUSTERS["host off, its last report blocked"])

    assert lines[0] == "host node-232: Unknown, Unreachable 6 m"
    assert "Observed" not in lines
    assert "  running: '?'" in section(lines, "Observed (last report)")
    assert "  engine_up: true" in section(lines, "Observed (last report)")
    assert section(lines, "Differences")[0] == (
        "  node-232 (last report) blocked container/prod-order-2: port 80/tcp is used by the container nginx"
    )
    assert any(
        each.startswith("  replica billing-1 (Unreachable 6 m)")
        for each in section(lines, "Related conditions")
    )


@pytest.mark.parametrize(
    ("state", "name", "difference"),
    [
        (
            "differs from its spec",
            "order-1",
            f"{A} differs container/prod-order-1: memory_limit_bytes: 1 wanted, 2 found",
        ),
        (
            "differs from its spec",
            "order",
            f"{A} differs container/prod-order-1: memory_limit_bytes: 1 wanted, 2 found",
        ),
        ("network cannot be created", "net", f"{A} blocked network/net: no free subnet"),
        ("no host fits", "order", f"{A} blocked placement/order: node-231: publishes a port of the host"),
        (
            "missing image at a first start",
            "order-1",
            f"{A} blocked image/registry.local/order:1.0.0: registry",
        ),
        ("drain under way", C, f"{A} waiting drain/node-233: node-233 is not empty yet"),
        ("duplicate node", C, f"{A} blocked node/id-node-233: node-233 and copy both report this node id"),
        ("first start", A, f"{A} step container/prod-web-1: create container/prod-web-1"),
    ],
)
def test_differences_are_what_hosts_report_about_the_resource(state: str, name: str, difference: str) -> None:
    differences = section(plain(name, CLUSTERS[state]), "Differences")

    assert any(each.startswith(f"  {difference}") for each in differences), differences


def test_what_concerns_others_is_left_out() -> None:
    assert "Differences" not in plain("web", CLUSTERS["differs from its spec"])
    assert "Differences" not in plain(B, CLUSTERS["drain under way"])


def test_a_host_shows_what_the_swarm_has() -> None:
    desired = section(plain(C, CLUSTERS["other address in the swarm"]), "Desired")
    observed = section(plain(C, CLUSTERS["other address in the swarm"]), "Observed")

    assert "  address: 10.0.0.233" in desired
    assert "  address: 10.0.0.9" in observed
    assert "  swarm: active" in observed


def test_a_network_shows_each_host_that_has_it() -> None:
    net = NetworkReport(
        id="0123456789abcdef", name="net", driver="overlay", scope="swarm", subnet="10.10.0.0/24"
    )
    state = on(on(HEALTHY, A, networks=(net,)), B, networks=(net,))
    declared = NetworkIntent(key="net", name="net", driver="overlay")
    state = absent(replace(state, accepted=replace(document(), networks=(declared,))), B)
    lines = plain("net", state)

    assert "  driver: overlay" in section(lines, "Desired")
    assert section(lines, "Observed") == [
        "  node-231: overlay 10.10.0.0/24 0123456789ab",
        "  node-232: overlay 10.10.0.0/24 0123456789ab (last report)",
    ]


def test_a_rollout_shows_both_images_and_why_it_paused() -> None:
    lines = plain("rollout/order", CLUSTERS["rollout paused"])

    assert "  image: registry.local/order:1.0.1" in section(lines, "Desired")
    observed = section(lines, "Observed")
    assert "  before: registry.local/order:1.0.0" in observed
    assert "  to: registry.local/order:1.0.1" in observed
    assert "  why: 'order-1: it exited with 3'" in observed
    assert [each.split()[0] for each in section(lines, "Replicas")[1:]] == [
        f"order-{slot}" for slot in (1, 2, 3, 4)
    ]


def test_as_data_it_has_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    found = data("order-1", CLUSTERS["differs from its spec"], capsys)

    assert (found["version"], found["condition"]["name"]) == (1, "order-1")  # type: ignore[index]
    assert found["desired"]["hosts"] == [A]  # type: ignore[index]
    assert found["observed"]["container"] == "prod-order-1"  # type: ignore[index]
    assert found["differences"] == [
        {
            "host": A,
            "kind": "differs",
            "resource": "container/prod-order-1",
            "text": "memory_limit_bytes: 1 wanted, 2 found",
            "current": True,
        }
    ]


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_resource_of_every_named_state_can_be_described(name: str) -> None:
    state = CLUSTERS[name]
    found = conditions_of(state, now_s=NOW_S, store_error=STORE_ERRORS.get(name, ""))

    for condition in found.every():
        description = describe(condition, state, found)
        lines = render_description(description, Page(width=60, now_s=NOW_S))
        assert description.condition == condition
        assert all(line.cell_len <= 60 for line in lines)
        assert condition.text.partition(" ")[0] in lines[min(1, len(lines) - 1)].plain


def test_the_command_wants_one_name(cluster: Cluster) -> None:
    cluster.put(cluster.keys.presence("h1"), "{")

    assert cluster.run("describe").code == 64
    assert cluster.run("describe", "a", "b").code == 64
    assert "name one resource, as service/web" in cluster.run("describe").err
    unknown = cluster.run("describe", "web")
    assert (unknown.code, unknown.out) == (1, "")
    assert "'web' is no resource of this cluster" in unknown.err
    assert cluster.run("describe", "document").code == 0


def test_of_a_host_that_has_never_reported_nothing_is_observed(capsys: pytest.CaptureFixture[str]) -> None:
    state = absent(replace(HEALTHY, statuses={k: v for k, v in HEALTHY.statuses.items() if k != B}), B)

    assert data(B, state, capsys)["observed"] == {}
