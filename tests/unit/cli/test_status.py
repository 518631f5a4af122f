import io
import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from agent.cli.status import render
from agent.cli.view import ClusterView, HostView, IntentView, ReplicasView
from agent.model.records import Disruption, LeaderRecord, Presence, Tokens, Verdict
from agent.model.status import BlockedReport, BridgeReport, HostStatus, ReplicaReport, StepReport
from tests.unit.cli.conftest import GOOD, Cluster

H1 = HostView(
    name="h1",
    agent="leader",
    reported_at="2024-05-01T00:00:00Z",
    engine_up=True,
    state="active",
    role="manager",
    role_wanted="manager",
    node="n1abcdefghijklmnop",
    subnet="172.21.0.0/20",
    replicas=ReplicasView(wanted=2, running=2, healthy=1, checked=1),
    applied=7,
)
VIEW = ClusterView(
    cluster="prod",
    leader="h1",
    swarm="swarm-1",
    intent=IntentView(seen=7, accepted_revision=7, judgement="accepted"),
    hosts=(H1,),
)


def shown(view: ClusterView, width: int = 140) -> list[str]:
    """What a terminal of that width shows, without colours."""
    console = Console(file=io.StringIO(), width=width)
    console.print(render(view, width))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def with_host(**more: object) -> ClusterView:
    return replace(VIEW, hosts=(replace(H1, **more),))  # type: ignore[arg-type]


def test_a_host_is_one_line_of_a_table() -> None:
    assert [line.split() for line in shown(VIEW)] == [
        ["Cluster", "prod:", "converged,", "leader", "h1,", "swarm", "swarm-1"],
        ["Host", "Agent", "Role", "Node", "Bridge", "Replicas", "Healthy", "Revision", "To", "do", "Blocked"],
        ["h1", "leader", "manager", "n1abcdefghij", "172.21.0.0/20", "2/2", "1/1", "7", "0", "0"],
        [],
        ["Intent:", "revision", "7,", "accepted"],
    ]


def test_where_not_all_columns_have_room_the_most_telling_stay() -> None:
    assert [line.split() for line in shown(VIEW, width=80)[1:3]] == [
        ["Host", "Agent", "Role", "Bridge", "Replicas", "Revision", "To", "do", "Blocked"],
        ["h1", "leader", "manager", "172.21.0.0/20", "2/2", "7", "0", "0"],
    ]


@pytest.mark.parametrize("width", range(40, 100, 3))
def test_at_no_width_a_word_of_the_table_is_broken(width: int) -> None:
    assert any("172.21.0.0/20" in line for line in shown(VIEW, width))


def test_on_a_narrow_terminal_a_host_is_a_block_and_no_line_is_broken() -> None:
    lines = shown(VIEW, width=60)

    assert lines[1:4] == ["h1", "  Agent    leader", "  Role     manager"]
    assert "  Bridge   172.21.0.0/20" in lines


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (with_host(engine_up=False), "dockerd unreachable"),
        (with_host(role="worker"), "worker (manager wanted)"),
        (with_host(role="", state="inactive"), "inactive (manager wanted)"),
        (with_host(role_wanted=""), "manager (not in the intent)"),
        (with_host(bridge_faults=("wrong",)), "172.21.0.0/20 (wrong)"),
        (with_host(bridge_faults=("there is none",), subnet=""), "none"),
        (with_host(to_do=("start container/x: exited",)), "h1: to do: start container/x: exited"),
        (with_host(blocked=("swarm: locked",)), "h1: blocked swarm: locked"),
        (with_host(agent="unreachable"), "h1: note: last report at 2024-05-01T00:00:00Z"),
        (replace(VIEW, unreadable=("/key: not JSON",)), "unreadable /key: not JSON"),
        (replace(VIEW, leader=None, swarm=None), "no leader, no swarm"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(view: ClusterView, words: str) -> None:
    assert any(words in line for line in shown(view))


def test_a_refused_document_is_shown_with_all_its_errors_and_what_is_accepted() -> None:
    intent = IntentView(seen=9, accepted_revision=7, judgement="refused", errors=("line 1: a", "line 2: b"))

    assert shown(replace(VIEW, intent=intent))[-3:] == [
        "Intent: revision 9, refused; revision 7 is accepted",
        "  line 1: a",
        "  line 2: b",
    ]


def test_a_cluster_with_nothing_in_it_is_shown(cluster: Cluster) -> None:
    ended = cluster.run("status")

    assert ended.code == 0
    assert "not converged, no leader, no swarm" in ended.out
    assert "Intent: none" in ended.out


def test_the_status_is_read_from_what_the_agents_wrote(cluster: Cluster) -> None:
    cluster.put(cluster.keys.intent, GOOD)
    cluster.put(
        cluster.keys.status("h1"),
        HostStatus(
            instance="run",
            at="2024-05-01T00:00:00Z",
            agent_version="0.1.0",
            blocked=(BlockedReport(resource="engine", reason="no such socket", kind="engine"),),
        ),
    )
    cluster.put(
        cluster.keys.presence("h1"), Presence(instance="run", boot_id="b", version="0.1.0", since="s")
    )
    before = cluster.content()
    told = json.loads(cluster.run("status", "--json").out)

    assert [(host["name"], host["agent"]) for host in told["hosts"]] == [
        ("h1", "up"),
        ("h2", "never seen"),
    ]
    assert told["hosts"][0]["blocked"] == ["engine: no such socket"]
    assert told["converged"] is False
    assert cluster.content() == before


OBEYED = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e\u2028\r\n"
"""What a terminal would do, or not show, if it were told."""


@pytest.mark.parametrize(("name", "subnet"), [(f"h1{OBEYED}x", ""), ("h1", ""), ("h1", OBEYED)])
def test_no_terminal_obeys_what_somebody_wrote_to_etcd(cluster: Cluster, name: str, subnet: str) -> None:
    keys = cluster.keys
    cluster.put(keys.intent, GOOD)
    refused = Verdict(
        revision=cluster.content().revision,
        accepted=False,
        accepted_revision=0,
        errors=(OBEYED,),
        warnings=(OBEYED,),
    )
    replica = ReplicaReport(
        service="order",
        slot=1,
        spec="s",
        id="c",
        name=f"c{OBEYED}",
        status="exited",
        crashes=2,
        output=(OBEYED,),
    )
    status = HostStatus(
        instance=OBEYED,
        at=OBEYED,
        agent_version=OBEYED,
        engine_up=True,
        state="active",
        node_id=OBEYED,
        bridge=BridgeReport(subnet=subnet),
        steps=(StepReport(resource=OBEYED, verb=OBEYED, text=OBEYED),),
        blocked=(BlockedReport(resource=OBEYED, reason=OBEYED, kind="error"),),
        replicas=(replica,),
    )
    cluster.put(keys.verdict, refused)
    cluster.put(keys.leader, LeaderRecord(host=OBEYED, since=OBEYED))
    cluster.put(keys.disruption, Disruption(host=OBEYED, state="acquired", reason=OBEYED, quorum=True))
    cluster.put(keys.status(name), status)
    for each in (keys.presence(name), keys.presence(f"away{OBEYED}"), keys.assignment(OBEYED)):
        cluster.put(each, "{")

    for arguments in (("status",), ("status", "--json"), ("plan",), ("plan", "--json")):
        ended = cluster.run(*arguments)
        shown = f"{ended.out}{ended.err}".replace("\n", "")
        assert shown.isprintable()
        assert "owned" in shown
        assert "\\x1b" in shown or "\\u001b" in shown


def test_unsealed_join_tokens_are_told_for_as_long_as_they_are_there(cluster: Cluster) -> None:
    words = "warning: join tokens are not sealed"
    assert words not in cluster.run("status").out
    cluster.put(cluster.keys.tokens, Tokens(swarm_id="s", worker="w", manager="m"))
    assert words in cluster.run("status").out
    cluster.put(cluster.keys.tokens, Tokens(swarm_id="s", worker="", manager="", sealed="x"))
    assert words not in cluster.run("status").out


def test_lines_are_not_broken_where_there_is_no_terminal(cluster: Cluster) -> None:
    reason = "a very long reason " * 20
    blocked = BlockedReport(resource="swarm", reason=reason, kind="error")
    status = HostStatus(instance="run", at="now", agent_version="0.1.0", blocked=(blocked,))
    cluster.put(cluster.keys.status("h1"), status)

    assert f"h1: blocked swarm: {reason}" in cluster.run("status").out


def test_a_watched_status_is_shown_again_when_something_changes_and_ends_on_interrupt(
    cluster: Cluster,
) -> None:
    # Where the tests themselves run behind `&` of a shell, SIGINT is ignored, and children inherit that.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, sys.executable, "-m", "agent.cli.app", "status", "--watch", "--json"]
    options = ["--endpoint", cluster.endpoint, "--cluster", cluster.name]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["intent"]["seen"] == 0
        cluster.put(cluster.keys.intent, GOOD)
        seen = 0
        while not seen:  # the watch may wake once more before the change
            seen = json.loads(watching.stdout.readline())["intent"]["seen"]
        watching.send_signal(signal.SIGINT)

        assert watching.wait(10) == 0
        assert seen == cluster.content().revision
