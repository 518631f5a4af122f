"""`swarmkeeper plan` says what will be done, does nothing, and is then done."""

import json
import os
import re

from integration.cluster import EXAMPLE, Cluster
from integration.test_bad_documents import events
from integration.test_edits import edited

NEWER = "10.159.62.231/somecom/order:1.0.1"
GOOD = EXAMPLE
PLANS = 10 if os.environ.get("SWARMKEEPER_LONG") else 2
"""Of each kind: with nothing to do, and with something."""
DONE = re.compile(r'^info (.+? \S+) reason=(".*"|\S+) seconds=')


def test_plans_cause_no_docker_event_and_no_write_to_etcd(cluster: Cluster) -> None:
    host = cluster.lab.hosts[0]
    host.write("/tmp/edited.yaml", edited(GOOD))
    moments = {each.name: each.exec("date", "+%s.%N").stdout.strip() for each in cluster.lab.hosts}
    before = cluster.writes()
    for _ in range(PLANS):
        assert "nothing to do" in cluster.command("plan").stdout.lower()
        assert "prod-order-4" in cluster.command("plan", "/tmp/edited.yaml").stdout
    assert cluster.writes() == before
    for each in cluster.lab.hosts:
        assert events(each, moments[each.name]) == ""


def test_what_is_done_is_what_was_planned(cluster: Cluster) -> None:
    host = cluster.lab.hosts[0]
    host.write("/tmp/edited.yaml", edited(GOOD))
    for each in cluster.lab.hosts:  # a plan does not know which images a host has beside those it uses
        each.exec("docker", "image", "rm", NEWER, check=False)
    planned = steps(cluster.command("plan", "-o", "json", "/tmp/edited.yaml").stdout)
    assert planned
    moments = {
        each.name: each.exec("date", "+%Y-%m-%d %H:%M:%S.%N").stdout.strip() for each in cluster.lab.hosts
    }
    cluster.wait_converged(cluster.put(edited(GOOD)))
    done = [
        step
        for each in cluster.lab.hosts
        for step in steps_done(each.journal("swarmkeeper", since=moments[each.name]))
    ]
    # A plan needs no trial: it is one. Nor does it show what the leader notes of the document.
    done.remove("prepare verdict: revision N is planned once before it is accepted")
    assert sorted(each for each in done if not each.startswith("record history")) == sorted(planned)


def steps(plan: str) -> list[str]:
    """The steps of a plan, without revisions: the one that the document will get is not known before."""
    hosts = json.loads(plan)["hosts"]
    return [without_revision(step["text"]) for host in hosts for step in host["steps"]]


def steps_done(journal: list[dict[str, str]]) -> list[str]:
    found = (DONE.match(str(entry["MESSAGE"])) for entry in journal)
    return [without_revision(f"{each[1]}: {spoken(each[2])}") for each in found if each]


def spoken(value: str) -> str:
    """A value of the log without the quotes it may have."""
    return str(json.loads(value)) if value.startswith('"') else value


def without_revision(step: str) -> str:
    return re.sub(r"revision \d+", "revision N", step)
