"""Values that may be passwords, marked, over the life of a service: whatever is said, none of them is in it.

etcd holds them, in the document and in the specs made from it; so do the agents' disks and dockerd.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent.admission.policy import Policy
from agent.cli.connect import Connection
from agent.cli.describe import show_description
from agent.cli.output import Output
from agent.cli.plan import show_plan, with_document
from agent.cli.resources import show_rows
from agent.cli.status import Wish, look, show_status
from agent.model.events import EventLog
from tests.fakes.store import FakeStore
from tests.support.document import document
from tests.support.simulated_cluster import KEYS, SimulatedCluster, images

MARK = "mArK"


def secret(word: str) -> str:
    """The example, with that word and the mark wherever an option of a service may hold a secret."""
    value = f"{word}{MARK}"
    options = {
        "command": ["serve", f"--password={value}"],
        "entrypoint": ["/bin/sh", value],
        "environment": {"PASSWORD": value},
        "labels": {"auth": value},
        "annotations": {"auth": value},
        "logging": {"driver": "json-file", "options": {"tag": value}},
        "healthcheck": {"test": ["CMD", "check", value], "interval": "5s"},
        "deploy": {"update_config": {"parallelism": 0}},
    }
    return document(services={"order": options})


SECRET, OTHERS = secret("first"), secret("second")
_FAULTS = {
    "command": ["serve", f"--password=$NAME{MARK}"],
    "environment": {"PASSWORD": [MARK]},
}
_LABELS = {"auth": f"{{{{.Nobody}}}} {MARK}"}
FAULTY = document(SECRET, services={"order": _FAULTS}) + f"name: {MARK}\n"
"""It has a key twice, besides."""
FAULTY_LABEL = document(SECRET, services={"order": {"labels": _LABELS}})
"""A placeholder is looked at once every value of the service can be read."""
UNSPOKEN = (KEYS.intent, KEYS.accepted)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def cluster(tmp_path: Path, logged: list[Any]) -> SimulatedCluster:
    """Carried out, with everything that is said of it noted."""
    made = SimulatedCluster(tmp_path, SECRET)
    made.lan.registry |= images(OTHERS)
    for host in made.hosts.values():
        host.admission = Policy(annotations=("auth",))
    made.put_intent(SECRET)
    made.start()
    made.settle()
    return made


def reader(cluster: SimulatedCluster) -> Connection:
    return Connection(store=FakeStore(cluster.etcd), keys=KEYS)


def changed_by_hand(cluster: SimulatedCluster) -> None:
    for host in cluster.hosts.values():
        for name, raw in host.replicas().items():
            if "order" in name:
                raw["Config"]["Env"] = [f"PASSWORD=byhand{MARK}"]
                raw["Config"]["Cmd"] = [f"byhand{MARK}"]
                raw["Config"]["Entrypoint"] = [f"byhand{MARK}"]
                raw["Config"]["Labels"]["auth"] = f"byhand{MARK}"
                raw["HostConfig"]["LogConfig"]["Config"] = {"tag": f"byhand{MARK}"}


def said(cluster: SimulatedCluster, logged: list[Any]) -> dict[str, str]:
    """Everything that is told of the cluster, by where."""
    found = {
        key: value.value.decode()
        for key in cluster.written()
        if key not in UNSPOKEN and not key.startswith(KEYS.specs) and (value := cluster.read(key))
    }
    for name, agent in cluster.agents.items():
        found[f"plan of {name}"] = f"{agent.plan} {agent.plan!r}"
        found[f"metrics of {name}"] = agent.metrics.exposition().decode()
        found[f"steps of {name}"] = repr(agent.outcomes)
    return {**found, "log": repr(logged), "what is seen": repr(reader(cluster).read())}


def leaks(cluster: SimulatedCluster, logged: list[Any]) -> list[str]:
    return [where for where, text in said(cluster, logged).items() if MARK in text]


def test_nothing_that_is_said_of_a_service_holds_its_secrets(
    cluster: SimulatedCluster, logged: list[Any]
) -> None:
    assert leaks(cluster, logged) == []
    changed_by_hand(cluster)
    seen = set()
    for _ in range(20):
        cluster.round()
        assert leaks(cluster, logged) == []
        seen |= {
            each for each in ("environment.PASSWORD", "command: ", "labels.auth") if each in repr(logged)
        }
    assert seen == {"environment.PASSWORD", "command: ", "labels.auth"}
    cluster.put_intent(OTHERS)
    cluster.settle()
    assert leaks(cluster, logged) == []
    assert "environment PASSWORD changed" in repr(logged)


@pytest.mark.parametrize(("faulty", "faults"), [(FAULTY, 3), (FAULTY_LABEL, 1)])
def test_nor_does_the_word_on_a_document_with_faults_in_them(
    cluster: SimulatedCluster, logged: list[Any], faulty: str, faults: int
) -> None:
    cluster.put_intent(faulty)
    cluster.rounds(3)
    verdict = cluster.verdict()
    assert verdict is not None
    assert len(verdict.errors) == faults
    assert leaks(cluster, logged) == []


def test_plan_and_status_show_them_to_nobody_who_does_not_ask(
    cluster: SimulatedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_by_hand(cluster)
    for agent in cluster.agents.values():
        agent.look()
    mind = with_document(reader(cluster).read(), "new.yaml", OTHERS.encode())
    for as_json in (False, True):
        output = Output.JSON if as_json else Output.WIDE
        show_plan(mind, output=output)
        show_status(reader(cluster), Wish(output=output), None)
        found = look(reader(cluster))
        for command in ("ps", "services", "hosts"):
            show_rows(command, found, (), output)
        for each in found.conditions(found.read_s).every():
            show_description(each.key, found, EventLog(), output)
    told = capsys.readouterr()
    assert "environment PASSWORD changed" in told.out
    assert MARK not in told.out + told.err


def test_plan_shows_what_changes_to_who_asks(
    cluster: SimulatedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    mind = with_document(reader(cluster).read(), "new.yaml", OTHERS.encode())
    show_plan(mind, show_secrets=True)
    told = capsys.readouterr().out
    for change in (
        f"environment PASSWORD: first{MARK} -> second{MARK}",
        f"command: serve --password=first{MARK} -> serve --password=second{MARK}",
        f"labels auth: first{MARK} -> second{MARK}",
        f"logging options.tag: first{MARK} -> second{MARK}",
        f"healthcheck test: CMD check first{MARK} -> CMD check second{MARK}",
    ):
        assert change in told
