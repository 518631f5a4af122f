import json
from collections.abc import Callable
from pathlib import Path

import yaml

from agent.admission import encode
from agent.admission.policy import Policy
from agent.model.intent import Machine
from agent.model.records import Accepted
from agent.model.status import HostStatus
from tests.support.document import document
from tests.unit.cli.conftest import GOOD, Cluster, swarmkeeper

Write = Callable[[str], str]


def test_a_good_document_is_valid_and_its_extent_told(write: Write) -> None:
    name = write(GOOD)
    ended = swarmkeeper("validate", name)

    assert ended.code == 0
    assert ended.out.splitlines()[-1] == f"{name}: valid: 2 hosts, 1 service, 3 replicas"


def test_every_fault_is_told_with_its_place(write: Write) -> None:
    name = write(
        GOOD.replace("role: manager}", "role: king}").replace("role: worker}", "role: king}") + "bogus: 1\n"
    )
    ended = swarmkeeper("validate", name)

    assert ended.code == 1
    assert [line.split(":")[1].strip() for line in ended.out.splitlines()] == [
        "line 5, column 35",
        "line 6, column 35",
        "line 15, column 1",
    ]
    assert ended.err == f"swarmkeeper: {name} is not valid: 3 faults\n"


def test_a_document_may_come_from_standard_input() -> None:
    ended = swarmkeeper("validate", "-", stdin=GOOD)

    assert ended.out.splitlines()[-1] == "<stdin>: valid: 2 hosts, 1 service, 3 replicas"


def test_warnings_do_not_make_a_document_invalid(write: Write) -> None:
    large = (
        "networks:\n  net: {driver: overlay, attachable: true, ipam: {config: [{subnet: 10.16.0.0/12}]}}\n"
    )
    ended = swarmkeeper("validate", write(GOOD + large))

    assert ended.code == 0
    assert "warning: network net: 10.16.0.0/12 is wider than /16" in ended.out


def test_an_empty_document_is_invalid(write: Write) -> None:
    assert swarmkeeper("validate", write("")).code == 1


def test_values_that_could_be_secret_are_not_told(write: Write) -> None:
    faulty = document(GOOD, services={"order": {"environment": {"PASSWORD": ["hunter2"]}}})
    ended = swarmkeeper("validate", write(faulty))

    assert ended.code == 1
    assert "hunter2" not in ended.out + ended.err


def test_against_the_accepted_document_it_says_whether_the_change_would_wait(
    write: Write, tmp_path: Path
) -> None:
    accepted = tmp_path / "in-force.yaml"
    accepted.write_text(document(GOOD, policy={"deletion_guard": "50%"}))
    smaller = document(GOOD, replicas={"order": {"h1": 1}})
    bold = swarmkeeper("validate", write(smaller), "--against", str(accepted))
    tame = swarmkeeper("validate", write(GOOD), "--against", str(accepted))

    assert "needs a confirmation: x-cluster.policy.confirm: " in bold.out
    assert "removes 2 of 3 replicas (order 2 of 3)" in bold.out
    assert tame.out.splitlines()[-1].endswith("needs no confirmation")


def test_faults_and_warnings_are_data_for_programs(write: Write) -> None:
    good = swarmkeeper("validate", write(GOOD), "-o", "json")
    bad = swarmkeeper("validate", write(document(GOOD, roles={"h2": "boss"})), "--output=yaml")

    told = json.loads(good.out)
    assert (good.code, told["version"], told["valid"], told["faults"]) == (0, 1, True, [])
    assert (told["hosts"], told["services"], told["replicas"]) == (2, 1, 3)
    assert "one manager" in " ".join(told["warnings"])
    told = yaml.safe_load(bad.out)
    assert (bad.code, told["valid"], len(told["faults"])) == (1, False, 1)
    fault = told["faults"][0]
    assert (fault["path"], fault["line"]) == ("x-cluster.hosts.h2.role", 10)
    assert {"path", "value", "problem", "remedy", "line", "column"} <= fault.keys()


def test_the_token_of_a_change_is_data_for_programs(write: Write, tmp_path: Path) -> None:
    accepted = tmp_path / "in-force.yaml"
    accepted.write_text(document(GOOD, policy={"deletion_guard": "50%"}))
    smaller = document(GOOD, replicas={"order": {"h1": 1}})
    bold = swarmkeeper("validate", write(smaller), "--against", str(accepted), "-o", "json")
    tame = swarmkeeper("validate", write(GOOD), "--against", str(accepted), "-o", "json")

    asked = json.loads(bold.out)["confirmation"]
    assert len(asked["token"]) == 16
    assert asked["removes"].startswith("2 of 3 replicas")
    assert json.loads(tame.out)["confirmation"] is None


# ---- against the cluster

BARE = document(GOOD, services={"order": {"cap_add": ["NET_ADMIN"]}})
REFUSED = (
    "service order waits on h2: `admission` there does not admit cap_add: NET_ADMIN, "
    "which `capabilities: [NET_ADMIN]` would admit"
)


def with_policies(cluster: Cluster) -> Cluster:
    """h1 admits the capability, h2 does not."""
    for name, policy in (("h1", Policy(capabilities=("NET_ADMIN",))), ("h2", Policy())):
        said = HostStatus(
            instance=name, at="", agent_version="0.1.0", engine_up=True, admission=encode(policy)
        )
        cluster.put(cluster.keys.status(name), said)
    text = document(GOOD, policy={"deletion_guard": "50%"})
    cluster.put(cluster.keys.intent, text)
    revision = cluster.content().values[cluster.keys.intent].mod_revision
    cluster.put(cluster.keys.accepted, Accepted(revision=revision, document=text))
    return cluster


def test_against_the_cluster_it_says_what_hosts_do_not_admit(cluster: Cluster, write: Write) -> None:
    name = write(BARE)
    ended = with_policies(cluster).run("validate", name, "--against-cluster")
    assert ended.code == 0
    assert f"{name}: warning: {REFUSED}" in ended.out
    assert ended.out.splitlines()[-1] == f"{name}: needs no confirmation"
    data = json.loads(cluster.run("validate", name, "--against-cluster", "-o", "json").out)
    assert (data["valid"], data["confirmation"]) == (True, None)
    assert REFUSED in data["warnings"]
    assert "admission" not in swarmkeeper("validate", name).out
    assert "admission" not in cluster.run("validate", write(GOOD), "--against-cluster").out


def test_against_the_cluster_it_says_what_does_not_fit_on_hosts(cluster: Cluster, write: Write) -> None:
    with_policies(cluster)
    for name in ("h1", "h2"):
        said = HostStatus(
            instance=name,
            at="",
            agent_version="0.1.0",
            engine_version="20.10.24",
            machine=Machine(platform="linux/amd64", cpus=2, memory_bytes=8 << 30),
        )
        cluster.put(cluster.keys.status(name), said)
    deploy = {"replicas": 3, "resources": {"reservations": {"cpus": 2}}}
    wanted = document(GOOD, services={"order": {"deploy": deploy, "x-hosts": None}})
    wanted = wanted.replace("    x-hosts: null\n", "")
    ended = cluster.run("validate", write(wanted), "--against-cluster")
    full = "of its 2 CPUs 2 are reserved, and a replica reserves 2"
    assert f"warning: service order: 1 replica too many for the hosts: h1: {full}; h2: {full}" in ended.out
    assert "too many" not in swarmkeeper("validate", write(wanted)).out


def test_against_the_cluster_it_says_whether_the_edit_needs_a_token(cluster: Cluster, write: Write) -> None:
    smaller = document(GOOD, replicas={"order": {"h1": 1}}, policy={"deletion_guard": "50%"})
    ended = with_policies(cluster).run("validate", write(smaller), "--against-cluster")
    assert "removes 2 of 3 replicas (order 2 of 3)" in ended.out


def test_without_etcd_it_says_so(write: Write) -> None:
    options = ("--endpoint", "http://127.0.0.1:1", "--cluster", "prod")
    ended = swarmkeeper("validate", *options, write(GOOD), "--against-cluster")
    assert ended.code != 0
    assert "127.0.0.1:1" in ended.err


def test_it_compares_with_one_document(write: Write) -> None:
    name = write(GOOD)
    ended = swarmkeeper("validate", name, "--against", name, "--against-cluster")
    assert ended.code == 64
    assert "exclude each other" in ended.err
