"""The history of documents survives compaction, documents of etcdctl, and a leader that is killed during a rollback."""

import json
from typing import Any

import pytest

from agent.model.history import MOST_DOCUMENTS, Entry
from agent.model.records import decode
from integration.cluster import EXAMPLE, PREFIX, UNIT, Cluster
from integration.lab.eventually import eventually
from integration.test_leadership import leader, led_by_another_than
from tests.support.document import document

COUNT, COMPACT_EVERY, RELEASED = 60, 10, 30
"""Documents that are put, those between two compactions, and the one from which on a service has another image."""
WITHIN_S, CONVERGE_S = 30, 120
FILE = "/tmp/document.yaml"
HISTORY = f"{PREFIX}history/"
NEWER = document(EXAMPLE, tags={"order": "1.0.1"})


def text(number: int) -> str:
    """A document that no other one equals."""
    return f"{NEWER if number >= RELEASED else EXAMPLE}# {number}\n"


def entry(cluster: Cluster, revision: int) -> Entry:
    found = cluster.etcdctl("get", "--print-value-only", f"{HISTORY}{revision}").strip()
    assert found, f"no entry of revision {revision}"
    return decode(Entry, found.encode())


def entries(cluster: Cluster) -> list[str]:
    """The revisions that have an entry, the newest first, as the keys have them."""
    listed = cluster.etcdctl("get", "--prefix", "--keys-only", HISTORY).split()
    names = (each.removeprefix(HISTORY) for each in listed)
    return sorted((each for each in names if "/" not in each), key=int, reverse=True)


def shown(cluster: Cluster) -> list[dict[str, Any]]:
    found = json.loads(cluster.command("history", "-o", "json").stdout)["documents"]
    return [dict(each) for each in found]


def put(cluster: Cluster, number: int) -> int:
    """Put a document, every second one by `apply`; return its revision once it has its entry."""
    if number % 2:
        revision = cluster.put(text(number))
    else:
        cluster.lab.hosts[0].write(FILE, text(number))
        options = ("--yes", "--no-wait", "-o", "json", "-m", f"number {number}")
        revision = int(json.loads(cluster.command("apply", FILE, *options).stdout)["revision"])
    found = eventually(lambda: entry(cluster, revision), WITHIN_S, f"an entry of document {number}")
    assert found.text() == text(number)
    assert found.result == "accepted"
    assert found.message == ("" if number % 2 else f"number {number}")
    return revision


@pytest.mark.timeout(600)
def test_a_rollback_goes_on_under_another_leader_and_the_history_of_sixty_documents_is_whole(
    cluster: Cluster,
) -> None:
    documents: dict[int, str] = {}
    for number in range(COUNT):
        revision = put(cluster, number)
        documents[revision] = text(number)
        if number % COMPACT_EVERY == COMPACT_EVERY - 1:
            cluster.etcdctl("compact", str(revision))
    cluster.wait_converged(revision, CONVERGE_S)
    kept = sorted(documents, reverse=True)[:MOST_DOCUMENTS]
    assert [each["revision"] for each in shown(cluster)] == kept
    others = {name: at for name, at in cluster.started().items() if "order" not in name}

    # The leader's host kills its own agent at the moment at which etcd has the document.
    target = next(each for each in kept if documents[each] == text(RELEASED - 1))
    killed = leader(cluster)
    operator = next(each for each in cluster.lab.hosts if each is not killed)
    cluster.operator = operator
    kill = f"systemctl kill --kill-who=main --signal=KILL {UNIT}; systemctl stop {UNIT}"
    watch = ("etcdctl", "watch", f"--rev={cluster.etcd_revision() + 1}", f"{PREFIX}intent")
    script = f"{' '.join(watch)} | {{ read -r _; {kill}; }}"
    killed.exec("systemd-run", "--unit=killer", "--setenv=ETCDCTL_API=3", "sh", "-c", script)
    ended = cluster.command("rollback", str(target), "--yes", host=operator, check=False)

    assert ended.returncode == 0, ended.stderr
    put_again = cluster.newest()
    follower = led_by_another_than(cluster, killed)["host"]
    assert "status=9/KILL" in killed.journal_text(UNIT)
    killed.systemctl("start", UNIT)
    cluster.wait_converged(put_again, CONVERGE_S)
    assert leader(cluster).name == follower
    images = {each.image for each in cluster.containers() if each.name.startswith("prod-order")}
    assert images == {"10.159.62.231/somecom/order:1.0.0"}
    assert {name: at for name, at in cluster.started().items() if "order" not in name} == others

    documents[put_again] = documents[target]
    kept = sorted(documents, reverse=True)[:MOST_DOCUMENTS]
    eventually(lambda: shown(cluster)[0]["result"] == "carried-out", WITHIN_S, "the rollback is carried out")
    assert entries(cluster) == [str(each) for each in kept]
    listed = shown(cluster)
    assert [each["revision"] for each in listed] == kept
    assert [each["accepted"] for each in listed] == [True] + [False] * (MOST_DOCUMENTS - 1)
    assert {each: entry(cluster, each).text() for each in kept} == {each: documents[each] for each in kept}
    assert entry(cluster, put_again).message == f"rollback to revision {target}"
