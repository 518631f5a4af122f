"""`depends_on` over hosts: what starts after what, by the clocks of the containers themselves."""

from integration.cluster import EXAMPLE, Cluster
from integration.lab.eventually import eventually

GOOD = EXAMPLE
_IMAGE = "    image: 10.159.62.231/somecom/order:1.0.0\n    network_mode: none\n"
ORDERED = f"""{GOOD}
  job:
{_IMAGE}    command: [/bin/sh, -c, "sleep 3"]
    entrypoint: []
    restart: "no"
    x-hosts: [node-231]
  store:
{_IMAGE}    restart: always
    x-hosts: [node-232]
    healthcheck: {{test: [CMD, test, -e, /tmp/ready], interval: 1s, retries: 100}}
    depends_on: {{job: {{condition: service_completed_successfully}}}}
  front:
{_IMAGE}    restart: always
    x-hosts: [node-233, node-231]
    depends_on: {{store: {{condition: service_healthy}}}}
"""


def test_replicas_start_after_those_of_other_hosts_they_depend_on_and_are_never_held_up_again(
    cluster: Cluster,
) -> None:
    revision = cluster.put(ORDERED)
    why = "depends on store: store-1 on node-232 has to be healthy first"

    def front_waits_for_store() -> None:
        assert "prod-store-1" in cluster.started()
        for host in (cluster.lab["node-231"], cluster.lab["node-233"]):
            assert why in str(cluster.status(host)["waiting"])

    eventually(front_waits_for_store, 60, "the job is done, and only the last service waits")
    job = cluster.lab["node-231"].docker.api.inspect_container("prod-job-1")["State"]
    store = cluster.lab["node-232"].docker.api.inspect_container("prod-store-1")["State"]
    assert (job["Status"], job["ExitCode"]) == ("exited", 0)
    assert job["FinishedAt"] < store["StartedAt"]
    assert not [name for name in cluster.started() if name.startswith("prod-front")]

    cluster.lab["node-232"].exec("docker", "exec", "prod-store-1", "touch", "/tmp/ready")
    cluster.wait_converged(revision)
    started = cluster.started()
    assert {"prod-front-1", "prod-front-2"} <= started.keys()

    cluster.lab["node-232"].exec("docker", "exec", "prod-store-1", "rm", "/tmp/ready")
    cluster.lab["node-233"].exec("docker", "rm", "--force", "prod-front-1")
    eventually(lambda: _is_there_again(cluster, started["prod-front-1"]), 30, "it is made again at once")
    assert cluster.started()["prod-front-2"] == started["prod-front-2"]


def _is_there_again(cluster: Cluster, before: str) -> None:
    assert cluster.started().get("prod-front-1", before) != before
