"""Reading etcd: what is there, how much of it is asked for, and what cannot be read."""

import hashlib
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.conditions import conditions_of
from agent.errors import Denied
from agent.model import spec
from agent.model.history import Note
from agent.model.keys import host_role
from agent.model.observed import ClusterState, Observed
from agent.model.records import (
    LARGEST_VALUE,
    Accepted,
    Assignment,
    Disruption,
    LeaderRecord,
    SwarmRecord,
    encode,
)
from agent.model.store import Fence, KeyRange, Put
from agent.observe import ClusterReader
from agent.observe.accepted import LONGEST_PROBLEM
from agent.planner import make_plan
from tests.fakes.etcd import in_any
from tests.support.builders import host, member, worker
from tests.support.document import document
from tests.support.etcd_keys import (
    ACCEPTED_AT,
    DIGEST,
    DOCUMENT,
    GOOD,
    KEYS,
    ME,
    OLD_DIGEST,
    OLD_SPEC,
    OTHER,
    PRESENCE,
    RECORDS,
    REPLICA,
    SPEC,
    STATUS,
    TOKENS,
    Scene,
)


@pytest.fixture
def scene() -> Scene:
    """A follower that has read once already, and knows that there is a swarm."""
    scene = Scene()
    scene.read()
    return scene


@pytest.fixture
def leading() -> Scene:
    scene = Scene()
    scene.lead()
    scene.read()
    return scene


# ---- what is there


def test_every_key_is_read_as_what_it_is(leading: Scene) -> None:
    state = leading.read().state
    assert state.unreadable == ()
    assert state.document is not None
    assert state.document.text == DOCUMENT
    assert state.accepted is not None
    assert (state.accepted.project, state.accepted.revision) == ("prod", ACCEPTED_AT)
    assert state.verdict == RECORDS[KEYS.verdict]
    assert state.leader == ME
    assert state.record == RECORDS[KEYS.swarm]
    assert state.tokens == TOKENS
    assert state.assignment == RECORDS[KEYS.assignment(ME)]
    assert state.specs == {DIGEST: SPEC}
    assert state.assignments == {each: RECORDS[KEYS.assignment(each)] for each in (ME, OTHER)}
    assert state.stored_specs == {DIGEST, OLD_DIGEST}
    assert state.statuses == {OTHER: STATUS}
    assert state.present == {ME: "run-2", OTHER: "run-2"}


def test_in_an_empty_etcd_nothing_is_there_and_nothing_is_wrong(scene: Scene) -> None:
    scene.store.etcd.wipe()
    empty = ClusterReader(KEYS, ME).read(scene.store, None, frozenset()).state
    assert (empty.document, empty.accepted, empty.record, empty.leader, empty.unreadable) == (
        None, None, None, None, ()
    )  # fmt: skip
    assert empty.record_revision == 0


def test_a_takeover_names_the_record_as_it_was_seen(scene: Scene) -> None:
    scene.put(**{KEYS.swarm: encode(SwarmRecord(claimed_by=OTHER))})
    reading = scene.read()
    found = scene.store.read([KeyRange(key=KEYS.swarm)]).values[KEYS.swarm]
    assert reading.state.record_revision == found.mod_revision


def test_a_key_of_another_cluster_or_deeper_down_is_no_hosts_key(leading: Scene) -> None:
    leading.put(
        **{f"{KEYS.hosts}h3/old/status": b"x", f"{KEYS.assignments}h3/x": b"x", "/swarmkeeper/a": b"x"}
    )
    state = leading.read().state
    assert set(state.statuses) == {OTHER}
    assert state.unreadable == ()


def test_the_lock_is_told_as_it_was_in_the_same_snapshot(leading: Scene) -> None:
    lock = leading.read().lock
    assert lock is not None
    assert lock.lease == leading.lease


# ---- how much is read


def asked_for(scene: Scene, key: str) -> bool:
    """Whether the last reading asked for that key."""
    return any(in_any(key, ranges) for ranges in scene.store.reads)


def without_order(scene: Scene) -> Scene:
    """A host with a membership order also reads what managers report."""
    scene.delete(KEYS.membership_order(ME))
    scene.read()
    return scene


def test_a_follower_reads_no_other_hosts_keys(scene: Scene) -> None:
    without_order(scene).read()
    for name in ("h2", "h3", "any-other"):
        assert not asked_for(scene, KEYS.status(name))
        assert not asked_for(scene, KEYS.presence(name))
        assert not asked_for(scene, KEYS.assignment(name))
    for key in (KEYS.intent, KEYS.accepted, KEYS.verdict, KEYS.leader, KEYS.swarm, KEYS.assignment(ME)):
        assert asked_for(scene, key)
    assert len(scene.store.reads) == 1


def test_a_leader_reads_everything_at_one_revision(leading: Scene) -> None:
    leading.read()
    (ranges,) = leading.store.reads
    assert [key for key in GOOD if not in_any(key, ranges)] == []


def test_a_leader_reads_the_values_of_the_specs_that_an_assignment_or_a_rollout_names(leading: Scene) -> None:
    unnamed = "0" * 64
    leading.put(**{KEYS.spec(unnamed): b"x" * LARGEST_VALUE})
    reader = ClusterReader(KEYS, ME)
    leading.store.reads.clear()
    state = reader.read(leading.store, leading.lease, frozenset()).state
    *_, asked = leading.store.reads
    assert asked == (KeyRange(key=KEYS.spec(DIGEST)),)
    assert state.stored_specs == {DIGEST, OLD_DIGEST, unnamed}
    leading.store.reads.clear()
    reader.read(leading.store, leading.lease, frozenset())
    assert len(leading.store.reads) == 1
    leading.put(**{KEYS.spec(DIGEST): b"damaged"})
    assert reader.read(leading.store, leading.lease, frozenset()).state.stored_specs == {OLD_DIGEST, unnamed}


@pytest.mark.parametrize("record", [None, SwarmRecord(claimed_by=OTHER)])
def test_until_there_is_a_swarm_everybody_reads_everything(scene: Scene, record: SwarmRecord | None) -> None:
    scene.delete(KEYS.swarm) if record is None else scene.put(**{KEYS.swarm: encode(record)})
    assert scene.read().state.statuses == {OTHER: STATUS}


def test_who_finds_himself_leading_reads_all_in_the_same_pass(scene: Scene) -> None:
    scene.lead()
    assert scene.read().state.statuses == {OTHER: STATUS}
    assert len(scene.store.reads) == 2
    scene.read()
    assert len(scene.store.reads) == 1


def test_who_leads_no_more_reads_narrowly_again(leading: Scene) -> None:
    leading.put(**{KEYS.leader: GOOD[KEYS.leader]})
    leading.read()
    without_order(leading).read()
    assert not asked_for(leading, KEYS.status(OTHER))


def test_who_sees_no_nodes_reads_what_the_others_say_of_themselves_while_nobody_leads(scene: Scene) -> None:
    def told() -> bool:
        return bool(scene.reader.read(scene.store, scene.lease, frozenset(), hindered=True).state.statuses)

    without_order(scene)
    assert not told()
    scene.delete(KEYS.leader)
    assert told()
    scene.put(**{KEYS.leader: GOOD[KEYS.leader]})
    told()
    assert not told()


def test_a_lock_on_another_lease_is_somebody_elses_whatever_it_says(scene: Scene) -> None:
    without_order(scene).put(**{KEYS.leader: encode(LeaderRecord(host=ME, since="now"))})
    scene.read()
    assert not asked_for(scene, KEYS.status(OTHER))


def test_without_a_lease_nobody_reads_as_a_leader(leading: Scene) -> None:
    leading.delete(KEYS.membership_order(ME))
    leading.reader.read(leading.store, None, frozenset())
    leading.store.reads.clear()
    leading.reader.read(leading.store, None, frozenset())
    assert not asked_for(leading, KEYS.status(OTHER))


def test_a_follower_is_woken_for_its_own_keys_and_a_leader_for_all_hosts(scene: Scene) -> None:
    without_order(scene)
    assert not in_any(KEYS.status(OTHER), scene.reader.watched())
    assert in_any(KEYS.assignment(ME), scene.reader.watched())
    scene.lead()
    scene.read()
    assert in_any(KEYS.status(OTHER), scene.reader.watched())


def test_with_a_membership_order_a_host_reads_in_the_same_pass_what_managers_report_and_is_woken_by_it(
    scene: Scene,
) -> None:
    without_order(scene)
    scene.put(**{KEYS.membership_order(ME): GOOD[KEYS.membership_order(ME)]})
    scene.store.role = host_role(KEYS, ME, may_lead=False)
    assert scene.read().state.statuses == {OTHER: STATUS}
    assert not asked_for(scene, KEYS.assignment(OTHER))
    for name in (ME, OTHER):  # the declared managers
        assert in_any(KEYS.status(name), scene.reader.watched())
    assert not in_any(KEYS.status("no-manager"), scene.reader.watched())
    assert scene.read().state.statuses == {OTHER: STATUS}
    assert len(scene.store.reads) == 2  # a manager with the role of a worker looks whether it was extended
    scene.store.role = None
    without_order(scene).read()  # its role was extended: it may lead, and reads all once
    assert scene.read().state.statuses == {}


def test_with_a_membership_order_a_host_reads_what_the_managers_report_that_its_engine_lists() -> None:
    """The document declares them workers: it is to be the manager, and only they can tell that they lack its node."""
    scene, text = Scene(), document(DOCUMENT, hosts={OTHER: {"role": "worker"}})
    scene.put(**{KEYS.intent: text.encode()})
    scene.put(**{KEYS.accepted: encode(Accepted(revision=scene.store.etcd.revision, document=text))})
    scene.read()
    state = scene.read().state
    assert (state.membership_order is None, state.statuses) == (False, {})
    swarm = replace(worker(ME), managers=(("node-2", "10.0.0.2:2377"), ("node-9", "10.9.9.9:2377")))
    assert scene.reader.learn(host(swarm=swarm), state)  # it is read again in the same pass
    state = scene.read().state
    assert state.statuses == {OTHER: STATUS}
    assert in_any(KEYS.status(OTHER), scene.reader.watched())
    assert not scene.reader.learn(host(swarm=swarm), state)
    without_order(scene)
    assert not in_any(KEYS.status(OTHER), scene.reader.watched())


def test_with_the_role_that_an_earlier_version_printed_an_order_is_read_and_no_report(scene: Scene) -> None:
    without_order(scene).put(**{KEYS.membership_order(ME): GOOD[KEYS.membership_order(ME)]})
    role = host_role(KEYS, ME, may_lead=False)
    scene.store.role = replace(
        role, permissions=tuple(each for each in role.permissions if each.key != KEYS.hosts)
    )
    for _ in range(2):
        state = scene.read().state
        assert (state.membership_order, state.statuses) == (RECORDS[KEYS.membership_order(ME)], {})
        assert not in_any(KEYS.status(OTHER), scene.reader.watched())


def test_a_spec_is_read_once_for_each_hash(scene: Scene) -> None:
    scene.read()
    assert not asked_for(scene, KEYS.spec(DIGEST))
    assert scene.read(frozenset({OLD_DIGEST})).state.specs == {DIGEST: SPEC, OLD_DIGEST: OLD_SPEC}
    assert asked_for(scene, KEYS.spec(OLD_DIGEST))
    assert not asked_for(scene, KEYS.spec(DIGEST))
    scene.read(frozenset({OLD_DIGEST}))
    assert len(scene.store.reads) == 1


def test_a_spec_nobody_names_any_more_is_forgotten(scene: Scene) -> None:
    scene.read(frozenset({OLD_DIGEST}))
    assert scene.read().state.specs == {DIGEST: SPEC}


def test_a_spec_that_was_missing_is_asked_for_until_it_is_there(scene: Scene) -> None:
    missing = replace(SPEC, image="registry.example/order:2.0.0")
    digest = spec.spec_hash(missing)
    state = scene.read(frozenset({digest})).state
    assert digest not in state.specs
    assert state.unreadable == ()
    scene.put(**{KEYS.spec(digest): spec.encode(missing)})
    assert scene.read(frozenset({digest})).state.specs[digest] == missing


def test_a_leader_knows_the_specs_of_all_replicas_and_keeps_those_of_its_own(leading: Scene) -> None:
    theirs = Assignment(revision=1, project="prod", replicas=(replace(REPLICA, spec=OLD_DIGEST),))
    leading.put(**{KEYS.assignment(OTHER): encode(theirs)})
    reading = leading.read()
    assert reading.state.specs == {DIGEST: SPEC, OLD_DIGEST: OLD_SPEC}
    assert KEYS.spec(OLD_DIGEST) not in {each.key for each in reading.kept}


def test_a_document_is_parsed_once_for_each_revision(scene: Scene) -> None:
    first = scene.read().state
    second = scene.read().state
    assert second.document is first.document
    assert second.accepted is first.accepted
    scene.put(**{KEYS.intent: document(DOCUMENT, tags={"order": "1.0.1"}).encode()})
    third = scene.read().state
    assert third.document is not first.document
    assert third.accepted is first.accepted


# ---- what cannot be read

UNREADABLE = {
    "empty": b"",
    "not JSON": b"{",
    "not text": b"\xff\xfe\x00",
    "another kind": b'{"v":2}',
    "a list": b"[]",
    "a newer format": b'{"v":3,"everything":"new"}',
    "a field of a newer version": None,
    "deeply nested": b"[" * 50_000,
    "huge": b'{"v":2,"' + b"x" * 1_000_000 + b'":0}',
}
SHOWN_IN = {
    KEYS.accepted: {"accepted", "accepted_held", "accepted_text", "assigned_at"},
    KEYS.verdict: {"verdict"},
    KEYS.trial: {"trial"},
    KEYS.leader: {"leader", "last_leader"},
    KEYS.swarm: {"record", "record_held", "record_revision"},
    KEYS.tokens: {"tokens"},
    KEYS.unlock: {"unlock"},
    KEYS.assignment(ME): {"assignment", "assigned_at", "assignments", "specs", "undeclared"},
    KEYS.assignment(OTHER): {"assignments"},
    KEYS.disruption: {"disruption", "disruption_revision", "slot_revision"},
    KEYS.slot(OTHER): {"disruption", "slot_revision"},
    KEYS.digests: {"digests", "digests_revision"},
    KEYS.membership_order(ME): {"membership_order", "membership_orders"},
    KEYS.membership_order(OTHER): {"membership_orders"},
    KEYS.rollout(REPLICA.service): {"rollouts", "specs"},
    KEYS.presence(ME): {"presence", "present"},
    KEYS.presence(OTHER): {"present"},
    KEYS.status(OTHER): {"statuses"},
}
"""What of the cluster's state comes from each record."""


def spoiled(key: str, how: str) -> bytes:
    if how == "a field of a newer version":
        return msgspec.json.encode(msgspec.json.decode(GOOD[key]) | {"added_later": 1})
    value = UNREADABLE[how]
    assert value is not None
    return value


@pytest.mark.parametrize("how", UNREADABLE)
@pytest.mark.parametrize("key", SHOWN_IN)
def test_a_record_that_cannot_be_read_is_named_briefly_and_nothing_else_suffers(key: str, how: str) -> None:
    scene = Scene()
    scene.lead()
    whole = scene.read().state
    value = spoiled(key, how)
    scene.put(**{key: value})
    state = ClusterReader(KEYS, ME).read(scene.store, scene.lease, frozenset()).state
    ((where, problem),) = state.unreadable
    assert where == key
    assert 0 < len(problem) <= LONGEST_PROBLEM + 3
    suffers = SHOWN_IN[key] | {"revision", "unreadable", "newer_format"}
    for name in {each.name for each in fields(ClusterState)} - suffers:
        assert getattr(state, name) == getattr(whole, name)


@pytest.mark.parametrize("key", [*SHOWN_IN, KEYS.spec(DIGEST)])
def test_a_value_that_is_too_large_is_not_decoded(key: str) -> None:
    scene = Scene()
    scene.lead()
    scene.put(**{key: GOOD[key] + b" " * LARGEST_VALUE})
    state = ClusterReader(KEYS, ME).read(scene.store, scene.lease, frozenset()).state
    ((where, problem),) = state.unreadable
    assert where == key
    assert f"{LARGEST_VALUE + len(GOOD[key])} bytes, and the maximum is " in problem


def test_every_record_is_spoiled_here() -> None:
    assert SHOWN_IN.keys() == RECORDS.keys()


def test_every_key_that_agents_write_is_a_record_here_or_a_spec() -> None:
    names = {name for name in dir(KEYS) if not name.startswith("_")}
    folders = {
        "root",
        "hosts",
        "slots",
        "assignments",
        "membership_orders",
        "rollouts",
        "specs",
        "cluster",
    } | {"history", "note", "events"}
    named = {getattr(KEYS, name) for name in names if isinstance(getattr(KEYS, name), str)}
    per_host = {getattr(KEYS, name)(ME) for name in ("assignment", "membership_order", "presence")} | {
        KEYS.status(OTHER),
        KEYS.slot(OTHER),
        KEYS.rollout(REPLICA.service),
    }
    assert names - folders == {
        *(
            "intent",
            "accepted",
            "verdict",
            "trial",
            "leader",
            "swarm",
            "tokens",
            "unlock",
            "disruption",
            "digests",
        ),
        *("spec", "assignment", "membership_order", "rollout", "presence", "status", "slot"),
    }
    assert named - {getattr(KEYS, each) for each in folders} - {KEYS.intent} | per_host <= RECORDS.keys()


LEADERS = sorted(key for key in RECORDS if not key.startswith((KEYS.hosts, KEYS.slots)))


@pytest.mark.parametrize("key", SHOWN_IN)
def test_a_key_that_a_newer_agent_wrote_as_leader_is_told_from_a_damaged_one(key: str) -> None:
    scene = Scene()
    scene.lead()
    scene.put(**{key: b'{"v":3,"everything":"new"}'})
    state = ClusterReader(KEYS, ME).read(scene.store, scene.lease, frozenset()).state
    assert state.newer_format == ((key,) if key in LEADERS else ())
    assert dict(state.unreadable)[key].endswith("of format 3; this agent reads format 2")
    scene.put(**{key: b"\x00"})
    assert ClusterReader(KEYS, ME).read(scene.store, scene.lease, frozenset()).state.newer_format == ()


@pytest.mark.parametrize("key", LEADERS)
def test_no_agent_leads_where_a_newer_one_has_led(key: str) -> None:
    scene = Scene()
    scene.lead()
    scene.put(**{key: b'{"v":3}'})
    reading = ClusterReader(KEYS, ME).read(scene.store, scene.lease, frozenset())
    lock = Fence(key=KEYS.leader, create_revision=1)
    leading = Observed(
        me=ME, host=None, cluster=reading.state, fence=lock, lease=True, instance=PRESENCE.instance
    )
    (step,) = make_plan(leading).steps
    assert str(step) == (
        f"resign as leader: {key} is of a newer agent, and this one would overwrite what it cannot read"
    )


@pytest.mark.parametrize("key", [KEYS.accepted, KEYS.swarm, KEYS.assignment(ME)])
def test_of_a_key_of_a_newer_agent_the_last_readable_value_counts_also_after_a_restart(
    scene: Scene, key: str
) -> None:
    before = scene.read()
    scene.put(**{key: b'{"v":3}'})
    restarted = ClusterReader(KEYS, ME)
    restarted.recall(before.kept)
    reading = restarted.read(scene.store, None, frozenset())
    assert reading.kept == before.kept
    assert reading.state.assignment == before.state.assignment
    assert reading.state.accepted is not None


def test_a_spec_of_a_newer_agent_is_named_and_its_replica_is_left_as_it_is(scene: Scene) -> None:
    raw = b'{"image":"registry.example/order:1.0.0","of_a_newer_version":1}'
    digest = hashlib.sha256(raw).hexdigest()
    scene.put(**{KEYS.spec(digest): raw})
    state = scene.read(frozenset({digest})).state
    assert digest not in state.specs
    assert [key for key, _ in state.unreadable] == [KEYS.spec(digest)]


def test_a_lock_that_cannot_be_read_is_held_by_somebody(scene: Scene) -> None:
    scene.put(**{KEYS.leader: b"\x00"})
    assert scene.read().state.leader == "?"


def test_an_agent_whose_presence_cannot_be_read_is_there_all_the_same(leading: Scene) -> None:
    leading.put(**{KEYS.presence(OTHER): b'{"v":3}'})
    assert leading.read().state.present == {ME: "run-2", OTHER: "?"}


def test_a_record_that_cannot_be_read_is_not_taken_for_none(scene: Scene) -> None:
    """But its ids of overlays count no more: who can read it may have recreated one."""
    known = SwarmRecord(claimed_by=OTHER, swarm_id="swarm-1", networks=("net",))
    scene.put(**{KEYS.swarm: encode(replace(known, overlay_ids=(("net", "overlay-id"),)))})
    scene.read()
    scene.put(**{KEYS.swarm: b"\x00"})
    for reader, record in ((scene.reader, known), (ClusterReader(KEYS, ME), None)):
        state = reader.read(scene.store, scene.lease, frozenset()).state
        assert state.record == record
        assert state.record_held
        assert state.record_revision > 0


def test_a_presence_that_is_gone_while_its_lease_goes_on_was_deleted_by_somebody(scene: Scene) -> None:
    assert not scene.read().state.presence_lost
    scene.put(**{KEYS.presence(ME): b"\x00"})
    assert not scene.read().state.presence_lost
    scene.delete(KEYS.presence(ME))
    assert scene.read().state.presence_lost
    assert not scene.reader.read(scene.store, None, frozenset()).state.presence_lost


@pytest.mark.parametrize("how", UNREADABLE)
def test_a_document_that_cannot_be_read_is_a_refused_one(scene: Scene, how: str) -> None:
    scene.put(**{KEYS.intent: UNREADABLE[how] or b"services: 1"})
    state = scene.read().state
    assert state.document is not None
    assert state.document.intent is None
    assert state.document.faults
    assert state.accepted is not None


@pytest.mark.parametrize("how", UNREADABLE)
def test_the_accepted_document_stays_so_when_its_key_cannot_be_read_any_more(scene: Scene, how: str) -> None:
    before = scene.read().state.accepted
    scene.put(**{KEYS.accepted: spoiled(KEYS.accepted, how)})
    state = scene.read().state
    assert state.accepted is before
    assert [key for key, _ in state.unreadable] == [KEYS.accepted]


def test_the_last_assignment_is_held_when_its_key_cannot_be_read_any_more(scene: Scene) -> None:
    before = scene.read().state
    scene.put(**{KEYS.assignment(ME): b"\x00"})
    state = scene.read().state
    assert (state.assignment, state.specs) == (before.assignment, before.specs)
    assert [key for key, _ in state.unreadable] == [KEYS.assignment(ME)]


def test_an_accepted_document_with_faults_is_named_and_the_last_one_stays_accepted(scene: Scene) -> None:
    before = scene.read().state.accepted
    scene.put(**{KEYS.accepted: encode({"revision": 99, "document": "services: 1"})})
    state = scene.read().state
    assert state.accepted is before
    assert [key for key, _ in state.unreadable] == [KEYS.accepted]


flips = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7))


def flipped(value: bytes, place: float, bit: int) -> bytes:
    raw = bytearray(value)
    raw[int(place * len(raw))] ^= 1 << bit
    return bytes(raw)


@settings(max_examples=100, deadline=None)
@given(key=st.sampled_from([key for key in GOOD if key != KEYS.leader]), flip=flips)
def test_a_flipped_bit_anywhere_is_read_or_named_and_no_other_key_suffers(
    key: str, flip: tuple[float, int]
) -> None:
    scene = Scene()
    scene.lead()
    scene.put(**{key: flipped(GOOD[key], *flip)})
    state = scene.read().state
    assert {where for where, _ in state.unreadable} <= {key}


@settings(max_examples=50, deadline=None)
@given(flip=flips)
def test_a_spec_with_a_flipped_bit_is_never_taken_for_what_its_name_says(flip: tuple[float, int]) -> None:
    scene = Scene()
    scene.lead()
    scene.put(**{KEYS.spec(DIGEST): flipped(GOOD[KEYS.spec(DIGEST)], *flip)})
    state = scene.read().state
    assert state.specs == {}
    assert state.stored_specs == {OLD_DIGEST}
    assert [key for key, _ in state.unreadable] == [KEYS.spec(DIGEST)]


# ---- what a host keeps


def test_what_is_kept_is_enough_to_go_on_from(scene: Scene) -> None:
    reading = scene.read()
    recalled = ClusterReader(KEYS, ME).recall(reading.kept)
    for name in ("accepted", "assignment", "specs", "record"):
        assert getattr(recalled, name) == getattr(reading.state, name)
    assert recalled.unreadable == ()


def test_no_join_token_and_nobody_elses_business_is_kept(leading: Scene) -> None:
    kept = leading.read(frozenset({OLD_DIGEST})).kept
    assert {each.key for each in kept} == {
        KEYS.accepted,
        KEYS.swarm,
        KEYS.assignment(ME),
        KEYS.spec(DIGEST),
        KEYS.spec(OLD_DIGEST),
        f"{KEYS.root}declared",
        f"{KEYS.root}returned",
    }
    assert b"SWMTKN" not in b"".join(each.value for each in kept)


@pytest.mark.parametrize("key", [KEYS.accepted, KEYS.swarm, KEYS.assignment(ME)])
def test_of_a_key_that_cannot_be_read_any_more_the_last_readable_value_is_kept(
    scene: Scene, key: str
) -> None:
    before = scene.read().kept
    scene.put(**{key: b"\x00"})
    assert scene.read().kept == before


def test_a_swarm_record_that_was_deleted_is_kept_no_longer(scene: Scene) -> None:
    scene.read()
    scene.delete(KEYS.swarm)
    assert KEYS.swarm not in {each.key for each in scene.read().kept}


def test_a_recalled_document_stays_accepted_when_etcd_comes_back_with_unreadable_values(scene: Scene) -> None:
    kept = scene.read().kept
    reader = ClusterReader(KEYS, ME)
    recalled = reader.recall(kept)
    scene.put(**{KEYS.accepted: b"\x00"})
    assert reader.read(scene.store, None, frozenset()).state.accepted is recalled.accepted


# ---- a key of a host that another host wrote


ELSEWHERE = {
    KEYS.status(OTHER): replace(STATUS, host=ME),
    KEYS.presence(OTHER): replace(PRESENCE, host=ME),
    KEYS.presence(ME): replace(PRESENCE, host=OTHER),
    KEYS.slot(OTHER): Disruption(host=ME, state="acquired", reason="r", quorum=True, grant=1),
}


@pytest.mark.parametrize("key", ELSEWHERE)
def test_a_record_that_names_another_host_than_its_key_does_not_count(leading: Scene, key: str) -> None:
    whole = leading.read().state
    assert whole.unreadable == ()
    leading.put(**{key: encode(ELSEWHERE[key])})
    state = leading.read().state
    ((where, problem),) = state.unreadable
    assert where == key
    owner, named = (ME, OTHER) if key == KEYS.presence(ME) else (OTHER, ME)
    assert problem == f"it is of {named}, and only {owner} may write here: it does not count"
    for name in {each.name for each in fields(ClusterState)} - SHOWN_IN[key] - {"revision", "unreadable"}:
        assert getattr(state, name) == getattr(whole, name)


def test_a_record_without_the_name_of_its_host_counts_as_agents_wrote_it_before(leading: Scene) -> None:
    assert leading.read().state.statuses == {OTHER: STATUS}
    assert STATUS.host == ""


def test_the_status_of_a_host_that_is_not_declared_is_told(leading: Scene) -> None:
    leading.put(
        **{
            KEYS.presence("stranger"): encode(replace(PRESENCE, host="stranger")),
            KEYS.status("stranger"): encode(replace(STATUS, host="stranger")),
        }
    )
    found = conditions_of(leading.read().state, now_s=0.0)
    assert "stranger is not declared, and its agent runs" in found.notes


# ---- the disruption slot: the leader's grant, and what its host makes of it


def slot(leading: Scene, host: str, *, grant: int | None = None, state: Any = "acquired") -> Disruption:
    """Write the slot of a host for the grant in etcd, or another one."""
    granted = leading.store.etcd.snapshot([KeyRange(key=KEYS.disruption)]).values[KEYS.disruption]
    revision = granted.mod_revision if grant is None else grant
    record = Disruption(host=host, state=state, reason="r", quorum=True, grant=revision)
    leading.put(**{KEYS.slot(host): encode(record)})
    return record


def test_the_slot_is_as_its_host_has_written_it_for_this_grant(leading: Scene) -> None:
    granted = leading.read().state
    assert granted.disruption == RECORDS[KEYS.disruption]
    record = slot(leading, OTHER)
    taken = leading.read().state
    assert taken.disruption == record
    assert taken.disruption_revision == granted.disruption_revision
    assert taken.slot_revision > granted.slot_revision
    slot(leading, OTHER, grant=granted.disruption_revision - 1)
    assert leading.read().state.disruption == granted.disruption


def test_what_another_host_writes_of_the_slot_does_not_count(leading: Scene) -> None:
    before = leading.read().state
    slot(leading, ME)
    assert leading.read().state.disruption == before.disruption
    assert leading.read().state.slot_revision == before.slot_revision


def test_a_slot_of_an_agent_before_the_hosts_had_keys_of_their_own_counts(leading: Scene) -> None:
    acquired = Disruption(host=OTHER, state="acquired", reason="r", quorum=True)
    leading.put(**{KEYS.disruption: encode(acquired)})
    assert leading.read().state.disruption == acquired


@pytest.mark.parametrize(
    ("host", "held", "why"),
    [(OTHER, "acquired", "has not acquired it itself"), ("h9", "granted", "is not declared")],
)
def test_a_slot_that_no_leader_grants_is_named_with_the_remedy(
    leading: Scene, host: str, held: Any, why: str
) -> None:
    assert leading.read().state.untrusted == frozenset()
    forged = Disruption(host=host, state=held, reason="forged", quorum=True)
    leading.put(**{KEYS.disruption: encode(forged)})
    state = leading.read().state
    assert (state.disruption, state.untrusted) == (forged, frozenset({KEYS.disruption}))
    problem = dict(state.unreadable)[KEYS.disruption]
    assert f"{host} has the disruption slot, and {why}" in problem
    assert f"`etcdctl del {KEYS.disruption}`" in problem


# ---- an agent whose role in etcd is a worker's


def test_an_agent_that_may_not_read_all_reads_what_it_needs_and_does_not_lead(scene: Scene) -> None:
    scene.delete(KEYS.swarm)
    scene.delete(KEYS.membership_order(ME))
    scene.store.role = host_role(KEYS, ME, may_lead=False)
    state = scene.read().state
    assert not state.may_lead
    assert state.accepted is not None
    assert state.assignment is not None
    assert not in_any(KEYS.status(OTHER), scene.reader.watched())
    scene.store.role = host_role(KEYS, ME, may_lead=True)
    assert scene.read().state.may_lead


def test_a_manager_tries_again_until_its_role_is_extended(scene: Scene) -> None:
    scene.reader = ClusterReader(KEYS, ME)
    scene.store.role = host_role(KEYS, ME, may_lead=False)
    assert not scene.read().state.may_lead
    assert not scene.read().state.may_lead
    scene.store.role = host_role(KEYS, ME, may_lead=True)
    assert scene.read().state.may_lead


def test_a_command_with_a_workers_role_is_refused(scene: Scene) -> None:
    scene.store.role = host_role(KEYS, ME, may_lead=False)
    with pytest.raises(Denied):
        ClusterReader(KEYS, "").read(scene.store, None, frozenset())


def test_no_host_keeps_the_leader_from_its_work_by_a_slot_of_a_newer_format(leading: Scene) -> None:
    leading.put(**{KEYS.slot(OTHER): b'{"v":2,"everything":"new"}'})
    state = leading.read().state
    assert state.newer_format == ()
    assert [key for key, _ in state.unreadable] == [KEYS.slot(OTHER)]
    assert state.disruption is None, "its host may have acquired it"
    assert state.disruption_revision


# ---- The history, of which names are read alone, and what the operator said of the document


def test_the_names_below_the_history_are_read_without_their_values() -> None:
    scene = Scene()
    scene.lead()
    scene.put(**{f"{KEYS.history}7": b"\xff no record" * 1000, f"{KEYS.history}7/paused": b""})
    state = scene.read().state
    assert state.history == {"7", "7/paused"}
    assert state.unreadable == ()
    (history,) = {each for ranges in scene.store.reads for each in ranges if each.key == KEYS.history}
    assert history.keys_only


def test_a_name_that_is_no_text_is_left_out_as_no_leader_could_delete_it() -> None:
    scene = Scene()
    scene.lead()
    scene.put(**{f"{KEYS.history}7": b"", f"{KEYS.history}\\xff": b"", f"{KEYS.specs}\\xff": b""})
    state = scene.read().state
    assert state.history == {"7"}
    assert not any("\\" in each for each in state.stored_specs)


def with_note(value: bytes, *, apart: bool = False) -> ClusterState:
    scene = Scene()
    scene.lead()
    put = [Put(key=KEYS.intent, value=DOCUMENT.encode()), Put(key=KEYS.note, value=value)]
    for each in [put[:1], put[1:]] if apart else [put]:
        scene.store.txn([], each)
    return scene.read().state


def test_a_note_counts_if_it_was_written_with_the_document() -> None:
    note = Note(author="anna", message="more")
    assert with_note(encode(note)).note == note
    assert with_note(encode(note), apart=True).note is None


@pytest.mark.parametrize(
    "value",
    [b"\xff", b"{}", b'{"v": 99}', encode(Note(author="a" * 30_000))],
    ids=["bytes", "empty", "newer", "large"],
)
def test_a_note_that_cannot_be_read_is_none_and_stops_no_leader(value: bytes) -> None:
    state = with_note(value)
    assert state.note is None
    assert (state.unreadable, state.newer_format) == ((), ())


def test_since_when_nothing_else_is_asked_of_a_host_is_known_while_its_assignment_counts(
    scene: Scene,
) -> None:
    assert scene.read().state.assigned_at == ACCEPTED_AT
    scene.put(**{KEYS.intent: AS_WORKER.encode()})
    revision = scene.store.etcd.revision
    scene.put(**{KEYS.accepted: encode(Accepted(revision=revision, document=AS_WORKER))})
    assert scene.read().state.assigned_at == 0


# ---- who may lead


AS_WORKER = document(DOCUMENT, hosts={ME: {"role": "worker"}})


def test_at_its_first_reading_a_host_that_is_to_be_a_worker_does_not_read_all() -> None:
    scene = Scene()
    scene.put(**{KEYS.intent: AS_WORKER.encode()})
    scene.delete(KEYS.accepted)
    scene.read()
    assert not any(in_any(KEYS.status(OTHER), each) for each in scene.store.reads)


@pytest.mark.parametrize("manages", [True, False])
def test_a_manager_of_the_swarm_that_is_declared_a_worker_is_woken_by_the_lock_that_it_may_take(
    manages: bool,
) -> None:
    scene = Scene()
    scene.put(**{KEYS.intent: AS_WORKER.encode()})
    revision = scene.store.etcd.revision
    scene.put(**{KEYS.accepted: encode(Accepted(revision=revision, document=AS_WORKER))})
    reading = scene.read()
    scene.reader.learn(host(swarm=replace(member(ME), is_manager=manages)), reading.state)
    assert in_any(KEYS.leader, scene.reader.watched()) == manages
    assert in_any(KEYS.intent, scene.reader.watched()) == manages
    # It reports the nodes while a host has an order: no declared manager may be in the swarm to confirm it.
    assert in_any(KEYS.membership_order(OTHER), scene.reader.watched()) == manages
