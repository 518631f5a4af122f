"""An edit that takes much away waits for a word, with nothing but etcdctl at hand; then it is carried out whole."""

from integration.cluster import EXAMPLE, Cluster
from integration.lab.eventually import eventually
from tests.support.document import document

GOOD = EXAMPLE
GUARDED = document(GOOD, policy={"deletion_guard": "30%"})
FORGOTTEN = document(GUARDED, replicas={"order": {"node-231": 0}}, tags={"billing": "1.0.1"})
"""Three of eight replicas are gone, and another one is to be changed."""


def test_a_large_edit_waits_whole_and_the_word_in_the_verdict_lets_it_through(cluster: Cluster) -> None:
    cluster.wait_converged(cluster.put(GUARDED))
    before = cluster.started()
    revision = cluster.put(FORGOTTEN)

    def word() -> str:
        verdict = cluster.get("verdict")
        assert verdict is not None
        assert (verdict["revision"], verdict["accepted"]) == (revision, False)
        assert "it would remove 3 of 8 replicas (order 3 of 3)" in verdict["errors"][0]
        return str(verdict["confirm"])

    confirm = eventually(word, 20, "the verdict says what the edit waits for")
    assert cluster.started() == before
    assert f"swarmkeeper apply --confirm {confirm}" in _said_by_apply(cluster)
    confirmed = document(FORGOTTEN, policy={"confirm": confirm})
    assert cluster.started() == before
    cluster.wait_converged(cluster.put(confirmed))
    after = cluster.started()
    assert sorted(before.keys() - after.keys()) == ["prod-order-1", "prod-order-2", "prod-order-3"]
    changed = [name for name in after if after[name] != before[name]]
    assert changed == ["prod-billing-1"]


def _said_by_apply(cluster: Cluster) -> str:
    """What an operator reads who would put the document by the command, which refuses before it asks."""
    host = cluster.lab.hosts[0]
    other = FORGOTTEN + "# the same, with a comment\n"
    host.write("/tmp/new.yaml", other)
    return host.exec("swarmkeeper", "apply", "/tmp/new.yaml", check=False).stderr
