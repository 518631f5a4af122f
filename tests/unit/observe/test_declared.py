"""The specs that a host may start: those of the documents that were accepted on it, and nothing that agents write."""

import hashlib
from itertools import count
from typing import NoReturn

import pytest

from agent.errors import Unreachable
from agent.model import spec
from agent.model.records import Accepted, Assignment, Replica, encode
from agent.model.spec import ContainerSpec
from agent.observe import ClusterReader
from agent.observe.declared import EARLIER
from tests.support.document import document
from tests.support.etcd_keys import DOCUMENT, KEYS, ME, REPLICA, Scene
from tests.support.simulated_cluster import parsed

DIGEST = "@sha256:" + "1" * 64
BY_DIGEST = document(DOCUMENT, policy={"resolve_digests": True})


@pytest.fixture
def scene() -> Scene:
    return Scene()


def tagged(tag: int | str, base: str = DOCUMENT) -> str:
    return document(base, tags={"order": str(tag)})


def spec_of(text: str) -> ContainerSpec:
    (order,) = parsed(text).services
    return order.spec


def accept(scene: Scene, text: str) -> None:
    """An operator puts it and the leader accepts it; nobody reads meanwhile."""
    scene.put(**{KEYS.intent: text.encode()})
    revision = scene.store.etcd.revision
    scene.forge(KEYS.accepted, encode(Accepted(revision=revision, document=text)))


SLOTS = count(10)


def refuses(scene: Scene, wanted: ContainerSpec, service: str = "order", raw: bytes = b"") -> bool:
    """Whether the host refuses a new replica to which the leader gives this spec, encoded as `raw`."""
    raw = raw or spec.encode(wanted)
    digest = hashlib.sha256(raw).hexdigest()
    replica = Replica(service=service, slot=next(SLOTS), spec=digest)
    accepted = scene.read().state.accepted
    assert accepted is not None
    scene.forge(KEYS.spec(digest), raw)
    assignment = Assignment(revision=accepted.revision, project="prod", replicas=(replica,))
    scene.forge(KEYS.assignment(ME), encode(assignment))
    state = scene.read().state
    assert state.assignment is not None
    assert (replica in state.assignment.replicas) != (replica.key in state.refused)
    return replica.key in state.refused


def restart(scene: Scene) -> None:
    kept = scene.read().kept
    scene.reader = ClusterReader(KEYS, ME)
    scene.reader.recall(kept)


def test_the_spec_of_the_document_is_started_and_another_one_is_not(scene: Scene) -> None:
    assert not refuses(scene, spec_of(DOCUMENT))
    assert refuses(scene, spec_of(tagged("2")))
    assert refuses(scene, spec_of(DOCUMENT), service="miner")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_rollout_keeps_the_specs_of_earlier_documents(scene: Scene, restarted: bool) -> None:
    scene.read()
    accept(scene, tagged("2"))
    scene.read()
    scene.store.etcd.compact()
    if restarted:
        restart(scene)
    assert not refuses(scene, spec_of(DOCUMENT))
    assert not refuses(scene, spec_of(tagged("2")))


def test_the_specs_of_the_earliest_documents_are_forgotten(scene: Scene) -> None:
    for number in range(EARLIER + 2):
        accept(scene, tagged(number))
        scene.store.etcd.compact()
        scene.read()
    assert [refuses(scene, spec_of(tagged(number))) for number in range(3)] == [True, False, False]


def test_a_host_that_has_not_seen_the_earlier_documents_finds_them_in_etcd(scene: Scene) -> None:
    for number in range(EARLIER + 1):
        accept(scene, tagged(number))
    assert not refuses(scene, spec_of(tagged(0)))
    assert refuses(scene, spec_of(DOCUMENT))
    assert refuses(scene, spec_of(tagged("9")))
    asked = scene.store.asked
    scene.read()
    assert scene.store.asked == asked


def test_a_search_that_etcd_did_not_answer_is_repeated(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(scene, tagged("2"))

    def cut(*_: object) -> NoReturn:
        raise Unreachable("cut")

    with monkeypatch.context() as patch:
        patch.setattr(scene.store, "read_at", cut)
        with pytest.raises(Unreachable):
            scene.read()
    assert not refuses(scene, spec_of(DOCUMENT))


def test_a_host_finds_no_document_that_etcd_has_compacted(scene: Scene) -> None:
    accept(scene, tagged("2"))
    scene.store.etcd.compact()
    assert refuses(scene, spec_of(DOCUMENT))


def test_the_leader_adds_a_digest_only_where_a_document_lets_it(scene: Scene) -> None:
    image = spec_of(DOCUMENT).image
    with_digest = spec.with_digest(spec_of(DOCUMENT), {image: DIGEST[1:]})
    assert refuses(scene, with_digest)
    accept(scene, BY_DIGEST)
    assert not refuses(scene, with_digest)
    assert refuses(scene, spec.with_digest(spec_of(tagged("2")), {image.replace("1.0.0", "2"): DIGEST[1:]}))
    accept(scene, document(BY_DIGEST, services={"order": {"pull_policy": "never"}}))
    scene.read()
    assert not refuses(scene, with_digest)  # a rollout may go back to it


@pytest.mark.parametrize("field", ["init", "of_a_later_version"])
def test_a_spec_that_another_version_encodes_otherwise_is_started(scene: Scene, field: str) -> None:
    wanted = spec_of(DOCUMENT)
    raw = spec.encode(wanted)
    assert not refuses(scene, wanted, raw=raw.replace(b"{", b'{"%s":null,' % field.encode(), 1))
    assert refuses(scene, wanted, raw=raw.replace(b'"none"', b'"host"'))


def test_what_an_earlier_version_was_assigned_and_saved_goes_on(scene: Scene) -> None:
    kept = [each for each in scene.read().kept if not each.key.endswith("/declared")]
    scene.reader = ClusterReader(KEYS, ME)
    scene.store.etcd.compact()
    accept(scene, tagged("2"))
    scene.store.etcd.compact()
    scene.reader.recall(kept)
    state = scene.read().state
    assert state.assignment is not None
    assert (state.assignment.replicas, state.refused) == ((REPLICA,), {})


def test_a_host_without_its_state_refuses_what_it_cannot_compare(scene: Scene) -> None:
    accept(scene, tagged("2"))
    scene.store.etcd.compact()
    state = scene.read().state
    assert state.assignment is not None
    assert (state.assignment.replicas, set(state.refused)) == ((), {REPLICA.key})
