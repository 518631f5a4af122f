"""States that a document brings about: services that do not come up, rollouts, modes, and documents that wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from integration.cluster import EXAMPLE, Cluster
from integration.states.state import CRITICAL, IMAGE, OK, WARNING, State, order, service
from tests.support.document import document

SHELL = 'entrypoint: ["/bin/busybox", "sh", "-c", "{}"]'
GUARDED = document(EXAMPLE, policy={"deletion_guard": "30%"})
BAD = "bad"
PORT = 8099


@contextmanager
def bad_image(cluster: Cluster) -> Iterator[None]:
    """An image of order whose program ends at once, under the tag BAD."""
    cluster.lab.push("order", BAD, {"PORT": "none"})
    yield


@contextmanager
def squatter(cluster: Cluster) -> Iterator[None]:
    """A container that is not ours holds the port."""
    host = cluster.lab["node-231"]
    host.exec(
        "docker", "run", "-d", "--network", "bridge", "--name", "squatter", "-p", f"{PORT}:8080",
        f"{IMAGE}/order:1.0.0",
    )  # fmt: skip
    try:
        yield
    finally:
        host.exec("docker", "rm", "-f", "squatter")


@contextmanager
def guarded(cluster: Cluster) -> Iterator[None]:
    """The document with a guard is in force; the one of the state comes after it."""
    cluster.wait_converged(cluster.put(GUARDED))
    yield


STATES = (
    State(
        name="converged",
        done="The example document is carried out by three agents.",
        code=OK,
        first=("converged",),
        also=("order +Ready +3 +3 +3", "node-233"),
        core=True,
    ),
    State(
        name="crash-loop",
        done="A new service ends with exit code 1 three seconds after each start (`restart: always`).",
        document=service("looping", "restart: always\n" + SHELL.format("sleep 3; exit 1")),
        cause="(replica|service)/looping.*",
        reason="CrashLoop",
        state="Degraded",
        code=CRITICAL,
        first=("looping",),
        also=("keeps exiting",),
        core=True,
    ),
    State(
        name="never-healthy",
        done="The health check of a new service always fails.",
        document=service(
            "sick",
            "restart: always\n"
            'healthcheck: {test: ["CMD", "false"], interval: 1s, timeout: 1s, retries: 2}',
        ),
        cause="(replica|service)/sick.*",
        reason="Unhealthy",
        state="Degraded",
        code=CRITICAL,
        first=("sick",),
        also=("health check",),
        core=True,
    ),
    State(
        name="foreign-port",
        done="A container that is not managed holds the port that a new service publishes.",
        document=service("shop", f'restart: always\nports: ["{PORT}:8080"]'),
        fault=squatter,
        cause="(replica|service)/shop.*",
        reason="PortInUse",
        state="Blocked",
        code=CRITICAL,
        first=("shop",),
        also=(str(PORT), "squatter"),
        core=True,
    ),
    State(
        name="missing-image",
        done="A new service names a tag that the registry does not have.",
        document=service("lost", f"restart: always\nimage: {IMAGE}/order:9.9.9"),
        cause="(replica|service|image)/.*",
        reason="PullFailed",
        state="Degraded",
        code=CRITICAL,
        first=("lost|order:9.9.9",),
        also=("order:9.9.9",),
    ),
    State(
        name="paused-rollout",
        done="The new image of a service with three replicas ends at once, and its rollout pauses.",
        document=order(BAD, "monitor: 3s, failure_action: pause"),
        fault=bad_image,
        cause="rollout/order",
        reason="RolloutPaused",
        state="Blocked",
        code=WARNING,
        first=("order", "paused"),
        also=("order-1", "bad address"),
        core=True,
    ),
    State(
        name="healthy-rollout",
        done="A service with three replicas gets a new image that runs.",
        document=order("1.0.1", "monitor: 8s"),
        reason="Rollout",
        state="Progressing",
        code=WARNING,
        first=("order", r"\d of 3"),
        fades=True,
        core=True,
    ),
    State(
        name="paused-mode",
        done="The document sets `policy.mode: paused`.",
        document=document(EXAMPLE, policy={"mode": "paused"}),
        cause="cluster|document.*",
        reason="Paused",
        state="Blocked",
        code=WARNING,
        first=("[Pp]aused",),
    ),
    State(
        name="observe-mode",
        done="The document sets `policy.mode: observe` and changes an image.",
        document=document(EXAMPLE, policy={"mode": "observe"}, tags={"billing": "1.0.1"}),
        cause="cluster|document.*",
        reason="ObserveMode",
        state="Blocked",
        code=WARNING,
        first=("[Oo]bserve",),
    ),
    State(
        name="drain",
        done="The document drains node-233, which alone may run `terminal`.",
        document=document(EXAMPLE, hosts={"node-233": {"availability": "drain"}}),
        code=OK,
        first=("converged: 3 hosts, 5 services, 6 replicas",),
        also=("node-233 +Drained",),
    ),
    State(
        name="guard",
        done="A document that removes three of eight replicas waits for its confirmation.",
        document=document(GUARDED, replicas={"order": {"node-231": 0}}),
        fault=guarded,
        cause="document.*",
        reason="WaitsForConfirmation",
        state="Blocked",
        code=WARNING,
        first=("confirm",),
        also=("--confirm",),
    ),
    State(
        name="refused-document",
        done="A document with an unknown key of a service is put.",
        document=document(EXAMPLE, services={"order": {"imagine": "a key"}}),
        cause="document.*",
        reason="Refused",
        state="Blocked",
        code=WARNING,
        first=("refused|document",),
        also=("imagine",),
    ),
)  # fmt: skip
