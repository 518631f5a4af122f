"""The lab as a fixture, and what a failed scenario leaves behind.

`lab` is one lab for the whole session, in whatever state the tests before left it. `fresh_lab` is the same one with
empty disks: a first boot of three hosts, in a few seconds. Both bring the package's dependencies only, not the agent.

The hosts' distribution is this machine's own, or the one SWARMKEEPER_BASE names. What is marked `every_base` runs, in
the long mode, on every base that is a release of Debian as it is.
"""

import os
import re
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from integration import by_hand, rerun
from integration.artifacts import leave_artifacts
from integration.cluster import EXAMPLE, REPLICAS, Cluster
from integration.guarded import DOCUMENT as GUARDED
from integration.guarded import GuardedCluster
from integration.journals import check_journals, renew
from integration.lab import base as bases
from integration.lab.host import Host
from integration.lab.lab import Lab, state_root
from integration.lab.programs import REPOSITORY
from integration.live_bridge import FIRST, NO_SERVICES, Live
from integration.timings import DEFAULT, TIMINGS, Timings
from tests.support.document import document
from tests.support.reliability import NOT_AS_SHIPPED

AnyCluster = TypeVar("AnyCluster", bound=Cluster)
CONVERGE_S = 90
LONG = "SWARMKEEPER_LONG"
LONG_ONLY = pytest.mark.skipif(not os.environ.get(LONG), reason="in the long mode: script/test --long")
KEEP = rerun.KEEP
STAGES = (
    "first_boot", "running", "fresh_cluster", "live_recreated", "live", "ours", "members", "lab", "fresh_lab"
)  # fmt: skip
"""In this order the lab is renewed least often: each kind renews what another one has left, but for the second, which
goes on with what the first leaves."""
PASSED = pytest.StashKey[bool]()
FAILED = pytest.StashKey[bool]()
"""Of the session: True if a test has failed on its lab since the hosts were renewed, and left them in any state."""
SESSION = re.compile(r"pytest-(\d+)(-\w+)*")


def session_name(suffix: str = "") -> str:
    """A lab's name that no other session on this machine uses."""
    return f"pytest-{os.getpid()}{suffix}"


@contextmanager
def carried_out(cluster: AnyCluster, wanted: str) -> Iterator[AnyCluster]:
    """Bring up the cluster's lab, of one module alone, with a document carried out; it is taken down at the end."""
    try:
        cluster.lab.up()
        cluster.install_and_start()
        cluster.wait_converged(cluster.put(wanted), CONVERGE_S)
        yield cluster
        check_journals(cluster.lab)
    finally:
        cluster.lab.down()


def example_on(lab: Lab) -> AbstractContextManager[Cluster]:
    """Bring up a lab with the example document carried out, as `carried_out` does."""
    return carried_out(Cluster(lab, timings=TIMINGS), EXAMPLE)


def may_go_on(host: Host) -> bool:
    """Whether a test that failed has left the host with its power, and with a dockerd that systemd keeps running."""
    return host.is_up and host.systemctl("is-failed", "docker", check=False) != "failed"


def has_agent(host: Host) -> bool:
    """Whether some test has installed the package on the host, whatever became of its cluster."""
    return host.is_up and host.exec("test", "-d", "/opt/swarmkeeper", check=False).returncode == 0


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(rerun)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)
    last: dict[Path, int] = {}
    for item in items:
        last[item.path] = max(_stage(item), last.get(item.path, 0))
    # What has no part in the session's lab stays with its file, which may have a lab of its own.
    items.sort(key=lambda item: _stage(item) or last[item.path])


def _stage(item: pytest.Item) -> int:
    """Its place among scenarios that work on the session's lab, from 1 on; 0: it is none of them."""
    asked = getattr(item, "fixturenames", ())
    if "session_lab" not in asked:
        return 0
    return next(index for index, name in enumerate((*STAGES, "session_lab"), start=1) if name in asked)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "base" not in metafunc.fixturenames or bases.CHOSEN in os.environ or not os.environ.get(LONG):
        return
    if metafunc.definition.get_closest_marker("every_base"):
        metafunc.parametrize(
            "base", [base.name for base in bases.BASES if not base.from_sid], scope="session"
        )


@pytest.fixture(scope="session")
def base() -> str:
    """The distribution of the session's lab."""
    return bases.find().name


@pytest.fixture(scope="session", autouse=True)
def _sweep() -> None:
    """Remove what sessions that were killed left, unless it was to be kept."""
    for folder in state_root().glob("pytest-*"):
        name = SESSION.fullmatch(folder.name)
        if name and not Path("/proc", name[1]).exists() and not (folder / "keep").exists():
            Lab.existing(folder.name).down()


@pytest.fixture(scope="session")
def session_lab(_sweep: None, base: str) -> Iterator[Lab]:
    """The session's lab as it is; tests ask for `lab` or `fresh_lab`."""
    lab = Lab(session_name("" if base == bases.MACHINE.name else f"-{base}"), base=base)
    try:
        lab.up()
        yield lab
        check_journals(lab)
    finally:
        if os.environ.get(KEEP) and lab.lan.is_up:
            (lab.state / "keep").touch()
            print(f"\nkept: script/lab ls --name {lab.name}")
        else:
            lab.down()


@pytest.fixture(scope="session")
def _used() -> set[str]:
    """Names of labs some test has worked on."""
    return set()


def _forget_failed(request: pytest.FixtureRequest, *by_name: dict[str, Any]) -> None:
    """After a failed test, forget what runs on the session's lab, so that the hosts are renewed for the next one."""
    if request.session.stash.get(FAILED, False):
        for each in by_name:
            each.clear()
    request.session.stash[FAILED] = False


@pytest.fixture
def lab(session_lab: Lab, _used: set[str], _agents_run_on: dict[str, Timings], _live: dict[str, Live]) -> Lab:
    """Hosts without agents, in whatever state the tests before left them."""
    if any(has_agent(host) for host in session_lab.hosts):
        _agents_run_on.pop(session_lab.name, None)
        _live.pop(session_lab.name, None)
        renew(session_lab)
    _used.add(session_lab.name)
    return session_lab


@pytest.fixture
def fresh_lab(
    session_lab: Lab, _used: set[str], _agents_run_on: dict[str, Timings], _live: dict[str, Live]
) -> Lab:
    _agents_run_on.pop(session_lab.name, None)
    _live.pop(session_lab.name, None)
    if session_lab.name in _used:
        renew(session_lab)
    _used.add(session_lab.name)
    return session_lab


@pytest.fixture(scope="session")
def _agents_run_on() -> dict[str, Timings]:
    """Labs with agents installed and started, by name: the timings that they have."""
    return {}


@pytest.fixture
def timings(request: pytest.FixtureRequest) -> Timings:
    """Those of this run, or the defaults for what is marked `default_timings`."""
    chosen = DEFAULT if request.node.get_closest_marker("default_timings") else TIMINGS
    if chosen != DEFAULT:
        request.node.user_properties.append((NOT_AS_SHIPPED, True))
    return chosen


@pytest.fixture(scope="session")
def _live() -> dict[str, Live]:
    """Labs with a swarm made by hand and agents that came later, by name."""
    return {}


@pytest.fixture
def running(
    request: pytest.FixtureRequest,
    session_lab: Lab,
    timings: Timings,
    _used: set[str],
    _agents_run_on: dict[str, Timings],
    _live: dict[str, Live],
) -> Cluster:
    """Three agents, and the document that the test before left; the example, if there was none."""
    _forget_failed(request, _agents_run_on, _live)
    cluster = Cluster(session_lab, timings=timings)
    if session_lab.name not in _agents_run_on or not all(may_go_on(host) for host in session_lab.hosts):
        _agents_run_on.pop(session_lab.name, None)
        _live.pop(session_lab.name, None)
        if session_lab.name in _used:
            renew(session_lab)
        _used.add(session_lab.name)
        cluster.install()
        cluster.start()
        _agents_run_on[session_lab.name] = timings
        cluster.wait_converged(cluster.put(EXAMPLE), CONVERGE_S)
        cluster.time_swarm()
    elif _agents_run_on[session_lab.name] != timings:
        cluster.retime()
        _agents_run_on[session_lab.name] = timings
    return cluster


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """The example document carried out by three agents; a test may change it and leave it so."""
    running.wait_converged(running.put_unless_accepted(EXAMPLE), CONVERGE_S)
    here = {each.name: each.host for each in running.containers() if each.name in REPLICAS}
    if here != REPLICAS:
        # A replica keeps its slot on its host, wherever the test before had put it: only new ones start from 1.
        running.wait_converged(
            running.put(document(EXAMPLE, services={"order": None, "api": None})), CONVERGE_S
        )
        running.wait_converged(running.put(EXAMPLE), CONVERGE_S)
    return running


@pytest.fixture(scope="module")
def guarded(_sweep: None) -> Iterator[GuardedCluster]:
    """Two managers and a worker; nobody but the operator's and etcd's root user may write everything."""
    made = GuardedCluster(Lab(session_name("-guarded")), timings=TIMINGS)
    with carried_out(made, GUARDED) as cluster:
        yield cluster


@pytest.fixture
def fresh_cluster(fresh_lab: Lab, timings: Timings) -> Cluster:
    """Agents installed on empty hosts, not started; nothing in etcd. The swarm they make has Docker's own heartbeat."""
    cluster = Cluster(fresh_lab, timings=timings)
    cluster.install()
    return cluster


@pytest.fixture
def first_boot(
    request: pytest.FixtureRequest, fresh_cluster: Cluster, _agents_run_on: dict[str, Timings]
) -> Iterator[Cluster]:
    """`fresh_cluster` for a test that leaves the example carried out, if it passes: `running` goes on with it."""
    yield fresh_cluster
    if request.node.stash.get(PASSED, False):
        _agents_run_on[fresh_cluster.lab.name] = fresh_cluster.timings


@pytest.fixture
def live_recreated(fresh_lab: Lab, timings: Timings, _live: dict[str, Live]) -> Live:
    """Empty hosts that the test makes a swarm of by hand; it starts the agents, and `live` goes on with it."""
    _live[fresh_lab.name] = Live(fresh_lab, by_hand.ALL_MANAGERS, timings)
    return _live[fresh_lab.name]


@pytest.fixture
def live(
    request: pytest.FixtureRequest,
    session_lab: Lab,
    timings: Timings,
    _used: set[str],
    _agents_run_on: dict[str, Timings],
    _live: dict[str, Live],
) -> Live:
    """Three managers with containers, all made by hand; then agents came, and the bridge is as agreed (`agreed`).

    A test that ends well leaves it so, with a bridge of its choice.
    """
    _forget_failed(request, _agents_run_on, _live)
    live = _live.get(session_lab.name)
    if live is None or live.services != NO_SERVICES or not live.is_well():
        _agents_run_on.pop(session_lab.name, None)
        _live.pop(session_lab.name, None)
        if session_lab.name in _used:
            renew(session_lab)
        _used.add(session_lab.name)
        live = _live[session_lab.name] = Live(session_lab, by_hand.ALL_MANAGERS, timings)
        by_hand.make_everything(session_lab, live.roles, timings)
        live.cluster.install_and_start()
        live.change(FIRST)
    return live


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    if report.failed and "session_lab" in getattr(item, "fixturenames", ()):
        item.session.stash[FAILED] = True
    if report.failed and report.when != "teardown" and isinstance(item, pytest.Function):
        used = (getattr(value, "lab", value) for value in item.funcargs.values())
        labs = {value.name: value for value in used if isinstance(value, Lab)}.values()
        folder = REPOSITORY / "build" / "artifacts" / re.sub(r"[^\w.-]+", "-", item.nodeid).strip("-")
        for found in labs:
            leave_artifacts(found, folder)
            report.sections.append(("lab", f"journals and state of every host: {folder}"))
    return report
