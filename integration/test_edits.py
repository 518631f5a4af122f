"""An edit does what it says and nothing else restarts."""

from integration.cluster import EXAMPLE, Cluster
from integration.lab.eventually import eventually
from tests.support.document import document

GOOD = EXAMPLE


def edited(text: str) -> str:
    """Edit: order at 1.0.1 and one replica more on node-233; console gone."""
    more = {"node-231": 2, "node-232": 1, "node-233": 1}
    return document(text, services={"console": None}, tags={"order": "1.0.1"}, replicas={"order": more})


def test_a_changed_document_is_carried_out_and_nothing_else_restarts(cluster: Cluster) -> None:
    before = cluster.started()
    cluster.wait_converged(cluster.put(edited(GOOD)), 120)
    after = cluster.started()
    assert sorted(after) == sorted({*before, "prod-order-4"} - {"prod-console-1"})
    blocked_plan = [name for name in before if not name.startswith(("prod-order", "prod-console"))]
    assert {name: after[name] for name in blocked_plan} == {name: before[name] for name in blocked_plan}
    orders = [each for each in cluster.containers(everything=True) if each.name.startswith("prod-order")]
    assert {each.image for each in orders} == {"10.159.62.231/somecom/order:1.0.1"}
    assert next(each.host for each in orders if each.name == "prod-order-4") == "node-233"
    answer = cluster.lab.lan.http_get(f"http://{cluster.lab['node-233'].address}/").text
    assert '"version":"1.0.1"' in answer


def test_an_image_that_does_not_exist_leaves_the_old_replica_running_and_says_so(cluster: Cluster) -> None:
    before = cluster.started()
    revision = cluster.put(document(GOOD, tags={"billing": "9.9.9"}))
    host = cluster.lab["node-232"]

    def told() -> None:
        status = cluster.status(host)
        words = str(status["blocked"])
        assert status["revision"] < revision
        assert "somecom/billing:9.9.9" in words, words
        assert "not found" in words or "unknown" in words, words

    eventually(told, 30, "the registry's words are in the status")
    assert cluster.started() == before
    cluster.wait_converged(cluster.put(GOOD))
    assert cluster.started() == before


def test_a_repeated_document_in_another_spelling_restarts_nothing(cluster: Cluster) -> None:
    before = cluster.started()
    lines = [line.rstrip() for line in GOOD.splitlines()]
    cluster.wait_converged(cluster.put("# another spelling\n" + "\n\n".join(lines) + "\n"))
    assert cluster.started() == before
