"""A replacement that docker refuses, planned and carried out on a real dockerd: the old container runs again."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from agent.clients.docker import Engine
from agent.diff.container import FillContext, create_request
from agent.errors import SwarmkeeperError
from agent.model import steps
from agent.model.host_state import Attached, ContainerState
from agent.model.intent import NetworkIntent
from agent.model.plan import Plan, Step
from agent.model.records import Assignment, Replica
from agent.model.spec import Attachment, ContainerSpec, Mount, Port, Restart, Ulimit, spec_hash
from agent.planner.host.replicas import plan_replicas
from tests.contract.engines import CLUSTER, DockerScene
from tests.support.builders import cluster, host, intent, observed, outside, service
from tests.support.docker_daemon import BARE, DockerDaemon

NAME = "prod-order-1"
OLD = ContainerSpec(
    image=BARE, command=("sleep", "1000"), stop_signal="SIGKILL", restart=Restart(name="always")
)
REFUSED = {
    "ulimits": replace(OLD, ulimits=(Ulimit(name="nofiles", soft=5, hard=5),)),
    "sysctls": replace(OLD, sysctls=(("vm.swappiness", "1"),)),
    "user": replace(OLD, user="4294967296"),
    "unknown user": replace(OLD, user="nobody-here"),
    "group_add": replace(OLD, group_add=("4294967296",)),
    "tmpfs": replace(OLD, tmpfs=(("/x", "size=abc"),)),
    "command": replace(OLD, command=("/bin/not-there",)),
    "port": replace(OLD, ports=(Port(target=80, published=8080),)),
    "security_opt": replace(OLD, security_opt=("seccomp=/profile.json",)),
    "cap_add": replace(OLD, cap_add=("SYS_TIMES",)),
    "mount": replace(OLD, volumes=(Mount(type="bind", source="/not/there", target="/x"),)),
}


@pytest.fixture
def docker(dockerd: DockerDaemon) -> Iterator[DockerScene]:
    scene = DockerScene(dockerd)
    yield scene
    scene.clean()
    scene.close()


class Host:
    """One replica on one engine: what the planner decides from the engine's answers is done until a step fails."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.errors: list[str] = []
        self.plan = Plan()

    def goes_on(self, spec: ContainerSpec, *, most: int = 1000) -> int:
        """Make passes until none has a step; return how many steps were done, `most` at the most."""
        done = 0
        for _ in range(12):
            self.plan = self._plan(spec)
            for step in self.plan.steps:
                if done == most:
                    return done
                try:
                    self._apply(step)
                except SwarmkeeperError as error:
                    self.errors.append(str(error))
                    break
                done += 1
            if not self.plan.steps:
                return done
            if (
                any(isinstance(each, steps.CreateContainer) for each in self.plan.steps)
                and len(self.errors) > 2
            ):
                return done  # refused by create, which is tried again for as long as the document says so
        raise AssertionError(f"no end: {self.plan}")

    def ours(self) -> dict[str, ContainerState]:
        return {each.name: each for each in self.engine.containers({}, _context).ours}

    def _plan(self, spec: ContainerSpec) -> Plan:
        asked = intent(service(spec=spec))
        specs = {spec_hash(each): each for each in (OLD, spec)}
        replica = Replica(service="order", slot=1, spec=spec_hash(spec))
        state = cluster(
            asked, assignment=Assignment(revision=7, project="prod", replicas=(replica,)), specs=specs
        )
        found = self.engine.containers(specs, _context)
        images = frozenset({each.image for each in specs.values()})
        seen = host(*found.ours, swarm=outside(), images=images)
        return plan_replicas(asked, observed(state, replace(seen, attached=())))

    def _apply(self, step: Step) -> None:
        engine = self.engine
        match step:
            case steps.CreateContainer():
                engine.create_container(
                    create_request(step.spec, step.replica, "prod", CLUSTER, step.becomes)
                )
            case steps.StopContainer():
                engine.stop(step.id, step.grace_s)
            case steps.RenameContainer():
                engine.rename(step.id, step.becomes)
            case steps.StartContainer():
                engine.start(step.name)
            case steps.RemoveContainer():
                engine.remove_container(step.id)
            case _:
                raise AssertionError(step)


def _context(replica: Replica) -> FillContext:
    return FillContext(host="h1", service=replica.service, slot=replica.slot)


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_a_value_that_docker_refuses_costs_a_moment_and_not_the_replica(
    docker: DockerScene, key: str
) -> None:
    here = Host(docker.engine)
    here.goes_on(OLD)
    before = here.ours()[NAME].id
    docker.run_foreign("theirs", port=8080)

    here.goes_on(REFUSED[key])

    assert here.errors
    assert (here.ours()[NAME].id, here.ours()[NAME].status) == (before, "running")
    here.goes_on(OLD)
    assert list(here.ours()) == [NAME]
    assert here.ours()[NAME].id == before


@pytest.mark.parametrize("most", range(1, 9))
def test_wherever_the_agent_ends_dockerd_tells_the_next_one_enough(docker: DockerScene, most: int) -> None:
    """create, stop, both renamed, the start that fails; both renamed back, the old one started."""
    first = Host(docker.engine)
    first.goes_on(OLD)
    before = first.ours()[NAME].id
    first.goes_on(REFUSED["sysctls"], most=most)

    here = Host(docker.engine)
    here.goes_on(REFUSED["sysctls"])

    assert (here.ours()[NAME].id, here.ours()[NAME].status) == (before, "running")
    assert [each.kind for each in here.plan.blocked] == ["refused"]


def test_a_value_that_docker_takes_ends_with_the_new_container_alone(docker: DockerScene) -> None:
    here = Host(docker.engine)
    here.goes_on(OLD)
    taken = replace(OLD, environment=(("X", "y"),))

    here.goes_on(taken)

    ours = here.ours()
    assert list(ours) == [NAME]
    assert (ours[NAME].status, ours[NAME].replica.spec) == ("running", spec_hash(taken))


def test_the_address_of_a_stopped_container_is_free_for_the_next_one(docker: DockerScene) -> None:
    net = NetworkIntent(key="net", name="net", driver="bridge", subnet=IPv4Network("10.20.0.0/24"))
    docker.engine.create_network(net)
    fixed = replace(OLD, networks=(Attachment(network="net", ipv4_address="10.20.0.9"),))
    for name in ("first", "second"):
        replica = Replica(service="order", slot=1, spec=spec_hash(fixed))
        docker.engine.create_container(create_request(fixed, replica, "prod", CLUSTER, name))
    docker.engine.start("first")
    docker.engine.stop("first", 0.0)
    docker.engine.start("second")

    ours = {each.name: each for each in docker.engine.containers({}, _context).ours}
    assert ours["second"].addresses == (("net", "10.20.0.9"),)


def test_a_stopping_container_has_its_port_until_the_list_says_that_it_ended_and_then_it_is_free(
    docker: DockerScene,
) -> None:
    """What a replica that gets a port of another one waits for."""
    ignores = replace(
        OLD, command=("sh", "-c", "trap '' TERM; sleep 1000 & wait; wait"), stop_signal=None,
        ports=(Port(target=80, published=8081),),
    )  # fmt: skip
    for name in ("console", "api"):
        replica = Replica(service=name, slot=1, spec=spec_hash(ignores))
        docker.engine.create_container(create_request(ignores, replica, "prod", CLUSTER, name))
    docker.engine.start("console")
    stopping = threading.Thread(target=docker.engine.stop, args=("console", 2.0))
    stopping.start()
    seen = [_attached(docker.engine, "console")]
    while seen[-1].running:
        seen.append(_attached(docker.engine, "console"))
    docker.engine.start("api")
    stopping.join()

    assert len(seen) > 1
    assert all("8081/tcp" in each.ports for each in seen if each.running)
    assert _attached(docker.engine, "api").running


def _attached(engine: Engine, name: str) -> Attached:
    return next(each for each in engine.containers({}, _context).attached if each.name == name)
