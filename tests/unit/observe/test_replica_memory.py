"""What a host remembers of its replicas when their containers are gone."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clients.disk import REPLICAS, StateDirectory
from agent.diff.container import FillContext, by_slot
from agent.diff.container.table import shape
from agent.errors import Refused
from agent.model.host_state import ContainerState, FinishedRun, Remembered
from agent.model.records import Replica
from agent.model.spec import ContainerSpec, Restart, spec_hash
from agent.model.store import KeyValue
from agent.observe.replica_memory import Assigned, Memory, ReplicaMemory, remember

JOB = ContainerSpec(image="job:1", restart=Restart(name="no"))
BIGGER = replace(JOB, memory_limit_bytes=2**26)
"""The same in everything that cannot change in place."""
OTHER = replace(JOB, image="job:2")
SPECS = {spec_hash(each): each for each in (JOB, BIGGER, OTHER)}
KEY = ("job", 1)
OLD, NEW = "a" * 64, "b" * 64


def replica(spec: ContainerSpec = JOB) -> Replica:
    return Replica(service="job", slot=1, spec=spec_hash(spec))


def ended(spec: ContainerSpec = JOB, **more: object) -> ContainerState:
    found = ContainerState(
        id="1", name="prod-job-1", replica=replica(spec), status="exited", started_at="2026-01-01T00:00:00Z",
        shape=shape(spec),
    )  # fmt: skip
    return replace(found, **more)  # type: ignore[arg-type]


def assigned(*replicas: Replica) -> Assigned:
    return Assigned(replicas=by_slot(replicas), specs=SPECS, fill_for=_context)


def _context(found: Replica) -> FillContext:
    return FillContext(host="h", service=found.service, slot=found.slot)


UNKNOWN = Assigned(replicas=None, specs=SPECS, fill_for=_context)


def after(
    *looks: Iterable[ContainerState], volumes: Iterable[str] = (), at_last: Assigned | None = None
) -> Memory:
    """The memory after these looks, of which the last is with another assignment."""
    memory: Memory = {}
    for number, found in enumerate(looks, 1):
        is_last = number == len(looks) and at_last is not None
        mine = at_last if is_last and at_last else assigned(replica())
        memory = remember(memory, found, frozenset(volumes), mine)
    return memory


def run(memory: Memory) -> FinishedRun | None:
    found = memory.get(KEY)
    return found.run if found else None


def mounts(memory: Memory) -> dict[str, str]:
    found = memory.get(KEY)
    return dict(found.volumes) if found else {}


def test_a_finished_run_outlives_its_container() -> None:
    found = run(after([ended(exit_code=3)], [], []))

    assert found is not None
    assert (found.spec, found.exit_code, found.name) == (spec_hash(JOB), 3, "prod-job-1")


@pytest.mark.parametrize("status", ["running", "restarting", "paused", "dead"])
def test_a_run_that_has_begun_again_is_not_finished(status: str) -> None:
    assert run(after([ended()], [ended(status=status)], [])) is None


def test_a_run_that_was_removed_while_it_ran_is_not_finished() -> None:
    assert run(after([ended(status="running")], [])) is None


def test_a_container_with_a_step_in_flight_changes_no_memory() -> None:
    locked = ended(status="running", locked_by_engine=True)
    assert run(after([ended()], [locked], [])) is not None


def test_a_run_ends_with_its_assignment_and_stays_without_any() -> None:
    assert run(after([ended()], [], at_last=assigned())) is None
    assert run(after([ended()], [], at_last=UNKNOWN)) is not None


def test_an_edit_that_the_container_would_have_taken_in_place_keeps_the_run() -> None:
    found = run(after([ended()], [], at_last=assigned(replica(BIGGER))))
    assert found is not None
    assert found.spec == spec_hash(BIGGER)


def test_another_edit_keeps_the_run_under_its_own_spec() -> None:
    found = run(after([ended()], [], at_last=assigned(replica(OTHER))))
    assert found is not None
    assert found.spec == spec_hash(JOB)


def test_volumes_stay_for_as_long_as_they_exist() -> None:
    with_volume = ended(status="running", volumes=(("/data", OLD),))

    assert mounts(after([with_volume], [], volumes=[OLD])) == {"/data": OLD}
    assert mounts(after([with_volume], [], volumes=[OLD], at_last=assigned())) == {"/data": OLD}
    assert after([with_volume], [], volumes=[]) == {}


def test_the_volume_that_is_known_stays_while_a_container_has_it() -> None:
    old = ended(id="2", status="running", volumes=(("/data", OLD),))
    empty = ended(id="1", status="created", started_at="", volumes=(("/data", NEW),))

    assert mounts(after([old], [empty, old], volumes=[OLD, NEW])) == {"/data": OLD}
    assert mounts(after([empty, old], volumes=[OLD, NEW])) == {"/data": OLD}
    assert mounts(after([old], [empty], volumes=[OLD, NEW])) == {"/data": NEW}


def test_the_memory_is_on_the_disk_before_the_next_step(tmp_path: Path) -> None:
    disk = StateDirectory(tmp_path, REPLICAS)
    seen = ReplicaMemory(disk).look([ended(volumes=(("/data", OLD),))], (), assigned(replica()))

    after_restart = ReplicaMemory(StateDirectory(tmp_path, REPLICAS))

    assert after_restart.look([], [OLD], assigned(replica())) == seen
    assert isinstance(seen[0], Remembered)


def damage(directory: Path, kind: str) -> bytes:
    path = directory / REPLICAS
    if kind == "fifo":
        os.mkfifo(path)
        return b""
    content = {"damaged": b"{}", "newer": b'{"v":9}', "another": b""}[kind]
    if kind == "another":
        entry = KeyValue(key="replicas", value=b"{}", create_revision=0, mod_revision=0)
        StateDirectory(directory, REPLICAS).save((entry,))
        return path.read_bytes()
    path.write_bytes(content)
    return content


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["damaged", "newer", "another", "fifo"])
def test_an_unreadable_memory_stays_beside_the_new_one_and_is_a_fault_until_it_is_taken_away(
    tmp_path: Path, kind: str
) -> None:
    content = damage(tmp_path, kind)
    memory = ReplicaMemory(StateDirectory(tmp_path, REPLICAS))
    aside = tmp_path / f"{REPLICAS}.unread"

    assert memory.look([], (), UNKNOWN) == ()
    assert len(memory.look([ended()], (), UNKNOWN)) == 1
    for run in (memory, ReplicaMemory(StateDirectory(tmp_path, REPLICAS))):
        seen = run.look([ended()], (), assigned(replica()))
        assert len(seen) == 1
        assert str(aside) in run.fault
        assert "Volumes and finished jobs of containers that were gone then are not known" in run.fault
    assert (aside.is_fifo() and not content) or aside.read_bytes() == content

    aside.unlink()
    memory.look([ended()], (), assigned(replica()))
    assert memory.fault == ""


def test_of_several_unreadable_memories_the_first_stays(tmp_path: Path) -> None:
    for content in ("first", "second", "third"):
        (tmp_path / REPLICAS).write_text(content)
        memory = ReplicaMemory(StateDirectory(tmp_path, REPLICAS))
        memory.look([ended()], (), assigned(replica()))

    assert (tmp_path / f"{REPLICAS}.unread").read_text() == "first"
    assert sorted(each.name for each in tmp_path.iterdir()) == [REPLICAS, f"{REPLICAS}.unread"]
    assert len(ReplicaMemory(StateDirectory(tmp_path, REPLICAS)).look([], (), UNKNOWN)) == 1


class FullDisk(StateDirectory):
    is_full = True

    def save(self, values: object) -> None:
        if self.is_full:
            raise Refused("no space left on device")


def test_a_memory_that_cannot_be_saved_is_a_fault_until_it_can(tmp_path: Path) -> None:
    disk = FullDisk(tmp_path, REPLICAS)
    memory = ReplicaMemory(disk)

    memory.look([ended()], (), assigned(replica()))
    assert memory.fault == (
        "no space left on device; after a restart, the agent knows no volumes and finished jobs of removed "
        "containers: free space on the file system of the state directory, or make it writable"
    )
    disk.is_full = False
    memory.look([ended()], (), assigned(replica()))
    assert memory.fault == ""


# ---- Runs that the agent stops itself


BEGAN = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"


def up() -> ContainerState:
    return ended(status="running", started_at=BEGAN)


def interrupted(memory: ReplicaMemory, found: ContainerState, now: float = 0.0) -> bool:
    (seen,) = memory.with_stops([found], now)
    memory.look([seen], (), UNKNOWN)
    return seen.interrupted


@pytest.fixture
def stopping(tmp_path: Path) -> ReplicaMemory:
    """The memory of an agent that ended as soon as it had noted a stop, loaded by the next one."""
    first = ReplicaMemory(StateDirectory(tmp_path, REPLICAS))
    assert not interrupted(first, up())
    first.note_stop("1", 10.0)
    return ReplicaMemory(StateDirectory(tmp_path, REPLICAS))


def test_a_run_that_the_agent_stopped_is_not_finished_for_as_long_as_its_container_rests(
    stopping: ReplicaMemory, tmp_path: Path
) -> None:
    assert not interrupted(stopping, up())
    assert interrupted(stopping, ended(exit_code=143), now=1.0)
    assert interrupted(stopping, ended(exit_code=143), now=1e6)

    after_a_reboot = ReplicaMemory(StateDirectory(tmp_path, REPLICAS))
    assert interrupted(after_a_reboot, ended(exit_code=143))
    assert after_a_reboot.look([], (), assigned(replica())) == ()


def test_its_next_run_may_finish_at_once(stopping: ReplicaMemory) -> None:
    assert interrupted(stopping, ended())
    assert not interrupted(stopping, ended(started_at=LATER))
    assert not interrupted(stopping, ended())


def test_a_stop_that_never_came_is_forgotten(stopping: ReplicaMemory, tmp_path: Path) -> None:
    assert not interrupted(stopping, up(), now=100.0)
    assert not interrupted(stopping, up(), now=171.0)
    assert not interrupted(stopping, ended(), now=172.0)
    assert not interrupted(ReplicaMemory(StateDirectory(tmp_path, REPLICAS)), ended())


def test_a_stop_that_comes_late_counts(stopping: ReplicaMemory) -> None:
    assert not interrupted(stopping, up(), now=100.0)
    assert interrupted(stopping, ended(), now=169.0)


def test_a_run_that_had_ended_when_the_agent_came_to_stop_it_is_finished() -> None:
    memory = ReplicaMemory()
    interrupted(memory, up())
    interrupted(memory, ended())
    memory.note_stop("1", 10.0)
    assert not interrupted(memory, ended())


def test_dockerd_that_works_on_the_container_changes_nothing(stopping: ReplicaMemory) -> None:
    busy = ended(status="running", started_at="", locked_by_engine=True)
    interrupted(stopping, up())
    interrupted(stopping, busy, now=1000.0)
    assert interrupted(stopping, ended(), now=1001.0)

    memory = ReplicaMemory()
    interrupted(memory, up())
    interrupted(memory, busy)
    memory.note_stop("1", 10.0)
    assert interrupted(memory, ended())


def test_a_removed_container_takes_its_stop_along(stopping: ReplicaMemory) -> None:
    stopping.with_stops([], 0.0)
    assert not interrupted(stopping, ended())


def test_a_stop_is_known_also_while_the_disk_takes_nothing(tmp_path: Path) -> None:
    memory = ReplicaMemory(StateDirectory(tmp_path / "gone", REPLICAS))
    interrupted(memory, up())
    memory.note_stop("1", 10.0)
    assert memory.fault
    assert interrupted(memory, ended())
