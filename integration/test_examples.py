"""The examples of deploy/examples run as they are, and each container is the one that docker-compose makes.

For Nacos, Grafana and Traefik, which Debian does not have, a stand-in answers on the same ports.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from integration import as_compose, examples
from integration.cluster import Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.test_dubbo import is_called
from tests.support.examples import STACKS, compiled

NORMAL = "redis"
RUNS_S, ANSWERS_S = 180, 60
BY_COMPOSE = "made-by-compose"


def redis(cluster: Cluster) -> None:
    """What is written to the one is read from the others."""
    cluster.lab["node-231"].exec("docker", "exec", "cache-redis-1", "redis-cli", "set", "order", "42")
    for host, name in (("node-232", "cache-replica-1"), ("node-233", "cache-replica-2")):
        eventually(partial(_has_order, cluster, host, name), ANSWERS_S, f"{name} has it")


def _has_order(cluster: Cluster, host: str, name: str) -> bool:
    return cluster.lab[host].exec("docker", "exec", name, "redis-cli", "get", "order").stdout == "42\n"


def mariadb(cluster: Cluster) -> None:
    """The job on another host has created its table."""
    shown = cluster.lab["node-231"].exec(
        *("docker", "exec", "shop-db-1", "sh", "-c"),
        "MYSQL_PWD=$(cat /run/secrets/password) mariadb -h 127.0.0.1 -u shop shop -e 'SHOW TABLES'",
    )
    assert "orders" in shown.stdout.split()


def monitoring(cluster: Cluster) -> None:
    """Prometheus finds the exporters on all hosts by the name of their service, and the agents."""
    for job in ("node", "swarmkeeper"):
        url = f"http://10.159.62.231:9090/api/v1/query?query=sum(up%7Bjob%3D%22{job}%22%7D)"
        eventually(partial(_is_three, cluster, url), ANSWERS_S, f"three of {job} are scraped")
    _stand_in(cluster, "http://10.159.62.232:3000/", "grafana")


def nacos(cluster: Cluster) -> None:
    for host in cluster.lab.hosts:
        for port in (8848, 9848):
            _stand_in(cluster, f"http://{host.address}:{port}/", "nacos")


def traefik(cluster: Cluster) -> None:
    for host in ("232", "233"):
        _stand_in(cluster, f"http://10.159.62.{host}/", "traefik")


def dubbo(cluster: Cluster) -> None:
    eventually(partial(is_called, cluster), ANSWERS_S, "both providers are called")


CHECKS: Mapping[str, Callable[[Cluster], None]] = {
    "dubbo": dubbo,
    "mariadb": mariadb,
    "monitoring": monitoring,
    "nacos": nacos,
    "redis": redis,
    "traefik": traefik,
}


def _is_three(cluster: Cluster, url: str) -> bool:
    result = cluster.lab.lan.http_get(url).json()["data"]["result"]
    return [each["value"][1] for each in result] == ["3"]


def _stand_in(cluster: Cluster, url: str, name: str) -> None:
    eventually(
        lambda: cluster.lab.lan.http_get(url).text == f"stand-in for {name}\n", ANSWERS_S, f"{url} answers"
    )


@pytest.mark.parametrize(
    "stack", [each if each == NORMAL else pytest.param(each, marks=LONG_ONLY) for each in STACKS]
)
def test_an_example_runs_and_docker_compose_makes_the_same_containers(running: Cluster, stack: str) -> None:
    document = compiled(stack)
    with examples.prepared(running.lab, stack):
        running.wait_converged(running.put(document), RUNS_S)
        CHECKS[stack](running)
        compared = {}
        for host in running.lab.hosts:
            ours = {each["Name"].lstrip("/"): each for each in examples.made_by_agent(host)}
            services = {
                name: each["Config"]["Labels"]["io.swarmkeeper.service"] for name, each in ours.items()
            }
            theirs = examples.made_by_compose(host, stack, BY_COMPOSE, set(services.values()))
            for name, each in ours.items():
                compared[name] = as_compose.differences(each, theirs[services[name]], BY_COMPOSE)
    assert compared
    assert {name: found for name, found in compared.items() if found} == {}, json.dumps(compared, indent=1)
