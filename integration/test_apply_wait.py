"""`apply --wait` tells a release that runs from one that does not, over good and bad releases of one service.

A good one ends with 0 and runs as the document says when the command ends; a bad one ends with 1 and names its cause.
In the long mode a seed decides the order, so that releases follow bad ones as well as good ones.
"""

import json
import os
import random
import re
from dataclasses import dataclass

import pytest

from integration.cluster import EXAMPLE, Cluster, running_on
from integration.states.state import IMAGE
from tests.support.document import document

LONG = bool(os.environ.get("SWARMKEEPER_LONG"))
SEED = int(os.environ.get("SWARMKEEPER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
OF_EACH = 20 if LONG else 2
TIMEOUT_S = 60
"""For one release; a bad one that never fails by itself ends by it."""
CONVERGE_S = 120
FILE = "/tmp/release.yaml"
SERVICE = "shop"
PORT = 8096
SHELL = ["/bin/busybox", "sh", "-c"]
CHECKED = {"interval": "1s", "timeout": "1s", "retries": 2}


@dataclass(frozen=True, slots=True)
class Release:
    """Keys of the service that a release changes; `said` is what the end of a bad one names."""

    name: str
    keys: dict[str, object]
    said: str = ""

    @property
    def is_good(self) -> bool:
        return not self.said


def shell(script: str) -> dict[str, object]:
    return {"entrypoint": [*SHELL, script]}


SERVES = "exec /bin/serve"
GOOD = (
    Release("another image", {"image": f"{IMAGE}/terminal:1.0.1"}),
    Release("another variable", {"environment": {"RELEASE": "{turn}"}}),
    Release(
        "a health check that passes",
        {"healthcheck": {"test": ["CMD", "true"], **CHECKED}, "environment": {"RELEASE": "{turn}"}},
    ),
    Release(
        "slow to become healthy",
        {
            **shell(f"(sleep 6; touch /tmp/up) & {SERVES}"),
            "healthcheck": {"test": ["CMD", "test", "-e", "/tmp/up"], **CHECKED, "start_period": "30s"},
        },
    ),
    Release("a slow start without a check", shell(f"sleep 3; {SERVES}")),
    Release("all replicas at once", {"environment": {"RELEASE": "{turn}"}, "parallelism": 0}),
    Release("start-first", {"environment": {"RELEASE": "{turn}"}, "order": "start-first", "ports": []}),
    Release("another port", {"ports": ["8097:20880"]}),
    Release("a limit of memory", {"mem_limit": "64m"}),
)
BAD = (
    Release("ends at once", shell("exit 3"), "exit"),
    Release("ends after two seconds", shell("sleep 2; exit 1"), "exit"),
    Release("ends with 0 and starts again", shell("sleep 1; exit 0"), "exit"),
    Release("never healthy", {"healthcheck": {"test": ["CMD", "false"], **CHECKED}}, "health"),
    Release(
        "healthy only at first",
        {
            **shell(f"touch /tmp/up; (sleep 3; rm /tmp/up) & {SERVES}"),
            "healthcheck": {"test": ["CMD", "test", "-e", "/tmp/up"], **CHECKED},
            "monitor": "10s",
        },
        "health",
    ),
    Release("missing image", {"image": f"{IMAGE}/terminal:9.9.9"}, "9.9.9"),
    Release("registry away", {"image": "127.0.0.1:5009/somecom/terminal:1.0.0"}, "5009"),
    Release("port taken", {"ports": ["8098:20880"]}, "8098"),
    Release("no such program", {"entrypoint": ["/bin/nosuch"]}, "nosuch"),
    Release("no such runtime", {"runtime": "nosuch"}, "nosuch"),
)


def released(release: Release, turn: int) -> str:
    """The example with the service as this release has it."""
    keys = json.loads(json.dumps(release.keys).replace("{turn}", str(turn)))
    settings = {"monitor": keys.pop("monitor", "3s"), "parallelism": keys.pop("parallelism", 1)}
    if "order" in keys:
        settings["order"] = keys.pop("order")
    base = {
        "image": f"{IMAGE}/terminal:1.0.0",
        "x-hosts": ["node-231", "node-233"],
        "restart": "always",
        "networks": ["my-network-overlay"],
        "ports": [f"{PORT}:20880"],
        "labels": {"turn": str(turn)},
        "deploy": {"update_config": settings},
    }
    return document(EXAMPLE, services={SERVICE: {**base, **keys}})


def choose(chance: random.Random) -> list[Release]:
    """As many good as bad ones, each kind about as often as the others; the first is good."""
    if not LONG:
        return [GOOD[0], BAD[0], GOOD[1], BAD[3]]
    rest = [GOOD[number % len(GOOD)] for number in range(1, OF_EACH)]
    rest += [BAD[number % len(BAD)] for number in range(OF_EACH)]
    chance.shuffle(rest)
    return [GOOD[0], *rest]


def is_right(cluster: Cluster, release: Release, turn: int) -> str:
    """Apply a release and wait for it; what was wrong with the outcome, or nothing."""
    host = cluster.lab["node-232"]
    host.write(FILE, released(release, turn))
    ended = host.exec(
        "swarmkeeper", "apply", "-y", "--wait", "--timeout", f"{TIMEOUT_S}", FILE,
        check=False, timeout=TIMEOUT_S + 60,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    if release.is_good:
        faults = [] if ended.returncode == 0 else [f"ended with {ended.returncode}"]
        faults += not_running(cluster, turn)
    else:
        faults = [] if ended.returncode == 1 else [f"ended with {ended.returncode}"]
        faults += [] if re.search(release.said, said) else [f"does not name {release.said}"]
        faults += [] if SERVICE in said else [f"does not name {SERVICE}"]
    return f"{turn} {release.name}: {'; '.join(faults)}\n{said}" if faults else ""


def not_running(cluster: Cluster, turn: int) -> list[str]:
    """What docker shows of the replicas that is not as the release says."""
    found = {}
    for name in ("node-231", "node-233"):
        host = cluster.lab[name]
        for each in running_on(host, everything=True):
            if each.name.startswith(f"prod-{SERVICE}-"):
                labels = host.docker.api.inspect_container(each.id)["Config"]["Labels"]
                found[f"{name} {each.status}"] = labels.get("turn")
    wanted = {"node-231 running": str(turn), "node-233 running": str(turn)}
    return [] if found == wanted else [f"docker shows {found}"]


@pytest.mark.timeout(60 * (5 if not LONG else 75))
def test_the_wait_of_apply_is_right_about_every_release(cluster: Cluster) -> None:
    print(f"\nseed {SEED} (SWARMKEEPER_SEED)")
    squatter = cluster.lab["node-231"]
    squatter.exec(
        "docker", "run", "-d", "--network", "bridge", "--name", "squatter", "-p", "8098:8080",
        f"{IMAGE}/order:1.0.0",
    )  # fmt: skip
    wrong = []
    try:
        releases = choose(random.Random(SEED))
        for turn, release in enumerate(releases, start=1):
            outcome = is_right(cluster, release, turn)
            print(f"{turn:3} {'good' if release.is_good else 'bad '} {release.name}: {outcome or 'right'}")
            wrong += [outcome] if outcome else []
    finally:
        squatter.exec("docker", "rm", "-f", "squatter")
    print(f"right {len(releases) - len(wrong)} of {len(releases)} times")
    cluster.wait_converged(cluster.put(EXAMPLE), CONVERGE_S)
    assert not wrong, "\n".join(wrong)
