import json
from collections.abc import Callable

from agent.cli.plan import _totals
from agent.model.leader_steps import PublishVerdict
from agent.model.records import Accepted, Verdict
from agent.model.status import HostStatus
from agent.model.steps import StartContainer
from agent.planner.dry_run.cluster import ClusterPlan, HostPlan
from tests.support.document import document
from tests.unit.cli.conftest import GOOD, Cluster

Write = Callable[[str], str]


def test_the_plan_for_a_document_is_told_by_host_as_if_it_were_put(cluster: Cluster, write: Write) -> None:
    ended = cluster.run("plan", write(GOOD))
    lines = ended.out.splitlines()

    assert ended.code == 0
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "order: new, 3 replicas on h1, h2",
        "h1: docker_gwbridge created with 172.21.0.0/20; creates the swarm",
        "h2: docker_gwbridge created with 172.21.0.0/20; joins the swarm as worker",
        "image registry.example/order:1.0.0: pulled on h1, h2",
        "waiting swarm on h2 for host/h1",
        "h1 (leader)",
        "h2",
        lines[-1],
    ]
    assert "  join swarm: declared a worker of swarm (new swarm)" in lines
    assert "  create, start container/prod-order-3: order replica 3 is assigned here" in lines


def test_bookkeeping_is_folded_unless_every_step_is_asked_for(cluster: Cluster, write: Write) -> None:
    short, full = cluster.run("plan", write(GOOD)).out, cluster.run("plan", write(GOOD), "--all").out

    for step in ("campaign for leader", "publish verdict", "publish assignment/h1", "publish tokens"):
        assert f"  {step}" in full
        assert step not in short
    total = len(json.loads(cluster.run("plan", write(GOOD), "-o", "json").out)["hosts"][0]["steps"])
    assert total == sum(line.startswith("  ") for line in full.partition("\nh2\n")[0].splitlines()) - 1
    data = json.loads(cluster.run("plan", write(GOOD), "-o", "json").out)["hosts"]
    records = sum(step["bookkeeping"] for host in data for step in host["steps"])
    steps = sum(len(host["steps"]) for host in data)
    assert (
        f"{steps - records} steps on 2 hosts; {records} more for records in etcd and labels: --all" in short
    )
    assert f"{steps} steps on 2 hosts" in full


def test_a_host_whose_steps_are_all_folded_is_not_counted() -> None:
    records = PublishVerdict(verdict=Verdict(revision=1, accepted=True, accepted_revision=1), reason="valid")
    start = StartContainer(name="prod-web-1", reason="created, but never started")
    hosts = (
        HostPlan(name="h1", is_leader=True, steps=(records,)),
        HostPlan(name="h2", steps=(start, records)),
    )

    def total(*shown: HostPlan, every_step: bool = False) -> str:
        return _totals(ClusterPlan(hosts=shown), every_step=every_step)

    assert total(*hosts) == "1 step on 1 host; 2 more for records in etcd and labels: --all shows them."
    assert total(*hosts, every_step=True) == "3 steps on 2 hosts."
    assert total(hosts[0]) == "No step; 1 more for records in etcd and labels: --all shows them."


def test_a_plan_writes_nothing(cluster: Cluster, write: Write) -> None:
    cluster.put(cluster.keys.intent, GOOD)
    before = cluster.content()
    for _ in range(3):
        cluster.run("plan", write(document(GOOD, tags={"order": "1.0.1"})))
        cluster.run("plan")

    assert cluster.content() == before


def test_without_a_file_the_document_in_etcd_is_planned(cluster: Cluster) -> None:
    cluster.put(cluster.keys.intent, GOOD)
    revision = cluster.content().revision

    assert f"publish verdict: revision {revision} is accepted" in cluster.run("plan", "--all").out


def test_a_document_that_is_put_gets_the_revision_that_was_planned(cluster: Cluster, write: Write) -> None:
    planned = cluster.run("plan", write(GOOD), "--all").out
    cluster.put(cluster.keys.intent, GOOD)

    assert f"revision {cluster.content().revision} is accepted" in planned


def test_an_edit_that_needs_a_token_shows_the_whole_command_that_gives_it(
    cluster: Cluster, write: Write
) -> None:
    guarded = document(GOOD, policy={"deletion_guard": "50%"})
    cluster.put(cluster.keys.intent, guarded)
    cluster.put(cluster.keys.accepted, Accepted(revision=cluster.content().revision, document=guarded))
    file = write(document(guarded, replicas={"order": {"h1": 1}}))
    ended = cluster.run("plan", file)

    asked = json.loads(cluster.run("plan", file, "-o", "json").out)["confirmation"]
    command = (
        f"swarmkeeper apply --endpoint {cluster.endpoint} --cluster {cluster.name}"
        f" --confirm {asked['token']} {file}"
    )
    assert asked["command"] == command
    assert f"  {command}\n" in ended.out
    assert "This edit removes 2 of 3 replicas (order 2 of 3)" in ended.out


def test_nothing_to_do_but_something_blocked_ends_with_5_for_who_asks(cluster: Cluster) -> None:
    cluster.put(cluster.keys.intent, GOOD)
    revision = cluster.content().revision
    cluster.put(cluster.keys.accepted, Accepted(revision=revision, document=GOOD))
    cluster.put(cluster.keys.verdict, Verdict(revision=revision, accepted=True, accepted_revision=revision))
    for host in ("h1", "h2"):
        status = HostStatus(instance="run", at="now", agent_version="0.1.0", engine_error="no such socket")
        cluster.put(cluster.keys.status(host), status)
    ended = cluster.run("plan", "--exit-code")

    assert ended.code == 5, ended.out
    assert cluster.run("plan").code == 0
    assert "blocked engine: no such socket" in ended.out


def test_something_to_do_ends_with_4_for_who_asks(cluster: Cluster, write: Write) -> None:
    assert cluster.run("plan", write(GOOD), "--exit-code").code == 4
    assert cluster.run("plan", "--exit-code").code == 0


def test_nothing_to_plan_is_said(cluster: Cluster) -> None:
    assert cluster.run("plan").out == "Nothing to plan: etcd has no document and no report of a host.\n"


def test_a_faulty_document_is_not_planned(cluster: Cluster, write: Write) -> None:
    ended = cluster.run("plan", write("name: prod\n"), "-o", "json")

    assert ended.code == 1
    assert ended.out == ""
    assert "'x-cluster' is missing" in ended.err


def test_the_plan_as_json_holds_the_lines_that_the_agents_will_log(cluster: Cluster, write: Write) -> None:
    told = json.loads(cluster.run("plan", write(GOOD), "-o", "json").out)

    assert told["settled"] is True
    assert [host["name"] for host in told["hosts"]] == ["h1", "h2"]
    assert told["hosts"][1]["steps"][0] == {
        "text": "create network/docker_gwbridge: there is no docker_gwbridge",
        "verb": "create",
        "resource": "network/docker_gwbridge",
        "reason": "there is no docker_gwbridge",
        "bookkeeping": False,
    }
    assert told["version"] == 1
    assert told["confirmation"] is None
    assert told["summary"][0] == {
        "kind": "service",
        "name": "order",
        "text": "new, 3 replicas on h1, h2",
    }


def test_a_value_of_the_environment_is_not_told(cluster: Cluster, write: Write) -> None:
    cluster.put(cluster.keys.intent, GOOD)
    revision = cluster.content().revision
    cluster.put(cluster.keys.accepted, Accepted(revision=revision, document=GOOD))
    cluster.put(cluster.keys.verdict, Verdict(revision=revision, accepted=True, accepted_revision=revision))
    other = document(GOOD, services={"order": {"environment": {"PASSWORD": "hunter3"}}})
    ended = cluster.run("plan", write(other))

    assert "hunter" not in ended.out + ended.err
