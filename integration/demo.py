"""The whole main job before your eyes: three hosts boot, the agents form the swarm and run the services."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

import typer

from integration.cluster import DOCUMENT, NAME, Cluster
from integration.lab.eventually import eventually
from integration.lab.lab import Lab

LAB = "demo"
CONVERGE_S = 120
ANSWER_S = 15

T = TypeVar("T")

demo = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)


@demo.callback(invoke_without_command=True)
def up(context: typer.Context) -> None:
    """Boot the lab, install Swarmkeeper on its hosts, put the intent, show what came of it. `down` removes it all."""
    if context.invoked_subcommand is None:
        show(Cluster(Lab(LAB), log_level="info"))


@demo.command()
def down() -> None:
    """Remove the demo's hosts and everything they left."""
    lab = Lab.existing(LAB)
    lab.down()
    print(f"gone; leaks: {lab.leaks()}")


def show(cluster: Cluster) -> None:
    """The demo, step by step."""
    lab = cluster.lab
    timed("three hosts boot: systemd, docker, etcd, a registry", lab.up)
    timed("the package is installed, the agents are started", cluster.install_and_start)
    revision = timed(
        f"etcdctl put /swarmkeeper/{NAME}/intent < {DOCUMENT.name}", lambda: cluster.put(DOCUMENT.read_text())
    )
    timed("the cluster becomes what the document says", lambda: cluster.wait_converged(revision, CONVERGE_S))
    print("\n$ swarmkeeper status")
    print(cluster.command("status").stdout)
    api = lab["node-233"]
    print(f"$ curl http://{api.address}/   (from the LAN: api -> order -> billing, across hosts)")
    print(eventually(lambda: answer(lab, api.address), ANSWER_S, "api answers"))
    print(NEXT.format(name=LAB))


def answer(lab: Lab, address: str) -> str:
    """What a request from the LAN gets; AssertionError while it is not the whole chain."""
    found = lab.lan.http_get(f"http://{address}/")
    assert found.status == 200, found
    return found.text.strip()


def timed(what: str, action: Callable[[], T]) -> T:
    began = time.monotonic()
    print(f"{what} ...", end=" ", flush=True)
    result = action()
    print(f"{time.monotonic() - began:.1f} s")
    return result


NEXT = """
Look around:
  script/lab exec --name {name} node-231 journalctl -u swarmkeeper
  script/lab exec --name {name} node-231 docker ps
  script/lab exec --name {name} node-231 docker kill prod-order-1     and watch: ... swarmkeeper status --watch
Remove it all:
  script/demo down
"""

if __name__ == "__main__":
    os.umask(0o022)
    demo()
