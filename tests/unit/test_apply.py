"""One step, one door; and what a leader's step needs before it may change anything."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Any, Literal, cast, get_args

import pytest

from agent.admission import Gate
from agent.admission.policy import Policy
from agent.apply import MOST_OPERATIONS, ApplyContext, apply
from agent.clients.docker import Engine
from agent.diff.bridge import refusal
from agent.diff.container import create_request
from agent.errors import Conflict, LeadershipLost, NotAdmitted, Refused, Unreachable
from agent.lease import Session
from agent.model import history, leader_steps, records, steps
from agent.model.host_state import VolumeState
from agent.model.intent import BridgeIntent, VolumeIntent
from agent.model.keys import Keys, host_role
from agent.model.plan import Step
from agent.model.records import (
    Accepted,
    Assignment,
    Digests,
    Disruption,
    LeaderRecord,
    Replica,
    Rollout,
    SwarmRecord,
    Tokens,
    Trial,
    UnlockKeys,
    Verdict,
)
from agent.model.spec import Attachment, ContainerSpec, Mount, Pairs, encode, registry_of, spec_hash
from agent.model.steps import LEADER_BUDGET_S
from agent.model.store import Delete, Fence, KeyRange, Put, SessionSettings
from tests.fakes.etcd import MOST_OPERATIONS as ETCD_TAKES
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore
from tests.support.builders import BRIDGE, LOCAL, OVERLAY, order

KEYS = Keys("prod")
TEXT = "name: prod # as it is\n"
SETTINGS = SessionSettings()
SECRETS = ("hunter2", "SWMTKN-manager", "SWMTKN-worker")
SPEC = order(environment=(("PASSWORD", "hunter2"),))
REPLICA = Replica(service="order", slot=1, spec=spec_hash(SPEC))
TOKENS = Tokens(swarm_id="swarm-1", worker="SWMTKN-worker", manager="SWMTKN-manager")
NO_KEYS = UnlockKeys(swarm_id="swarm-1", on=False)
ATTACHMENT = Attachment(network="net")

Call = tuple[str, tuple[Any, ...], Mapping[str, Any]]


class RecordingEngine:
    """An engine to which everything happens and nothing changes; `refusing` is raised by the next call."""

    def __init__(self) -> None:
        self.called: list[Call] = []
        self.tokens = TOKENS
        self.refusing: Exception | None = None
        self.digests: dict[str, str] = {}
        self.has = False
        """What `has_node` says."""
        self.found_volumes: tuple[VolumeState, ...] = ()

    def digest_of(self, image: str) -> str:
        self.called.append(("digest_of", (image,), {}))
        if image not in self.digests:
            raise Unreachable("connection refused")
        return self.digests[image]

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*args: Any, **kwargs: Any) -> object:
            self.called.append((name, args, kwargs))
            if self.refusing:
                raise self.refusing
            answers: dict[str, object] = {
                "swarm_tokens": self.tokens,
                "has_node": self.has,
                "unlock_key": "SWMKEY-1-now",
                "volumes": self.found_volumes,
            }
            return answers.get(name)

        return call


@dataclass
class Bench:
    """Doors to an engine that only listens and to an etcd in memory, with a real session there."""

    clock: FakeClock = field(default_factory=FakeClock)
    engine: RecordingEngine = field(default_factory=RecordingEngine)
    fence: Fence | None = None

    def __post_init__(self) -> None:
        self.etcd = FakeEtcd(self.clock)
        self.store = FakeStore(self.etcd)
        self.session = Session(
            FakeStore(self.etcd),
            presence_key=KEYS.presence("h1"),
            presence=lambda: b"{}",
            settings=SETTINGS,
            on_change=lambda _reason: None,
            clock=self.clock,
        )
        self.session.run_once()
        self.context = ApplyContext(
            engine=cast(Engine, self.engine),
            store=self.store,
            session=self.session,
            keys=KEYS,
            me="h1",
            cluster="prod",
            gate=Gate(),
            fence=lambda: self.fence,
            now=lambda: "2026-01-01T00:00:00Z",
        )

    def lead(self) -> None:
        """Take the lock, and have seen that it was taken."""
        self.apply(leader_steps.Campaign(reason="nobody leads"))
        found = self.etcd.snapshot([KeyRange(key=KEYS.leader)]).values[KEYS.leader]
        self.fence = Fence(key=KEYS.leader, create_revision=found.create_revision, lease=found.lease)

    @property
    def lock(self) -> Fence:
        assert self.fence is not None
        return self.fence

    def apply(self, step: Step) -> None:
        apply(self.context, step)

    def put(self, key: str, value: bytes = b"other") -> int:
        """Somebody else writes; returns the revision of it."""
        return self.store.txn([], [Put(key=key, value=value)]).revision

    def read(self, key: str) -> bytes | None:
        found = self.etcd.snapshot([KeyRange(key=key)]).get(key)
        return found.value if found else None

    def record(self, kind: type[Any], key: str) -> Any:
        value = self.read(key)
        return records.decode(kind, value) if value is not None else None

    def everything(self) -> tuple[int, list[Call]]:
        """What would show that anything at all was changed anywhere."""
        return self.etcd.snapshot([]).revision, list(self.engine.called)


class Watching:
    """Sees every write to etcd, in order."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, ...]] = []

    def changed(self, keys: Any) -> None:
        self.writes.append(tuple(keys))

    def wake(self, reason: str) -> None: ...


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def leading() -> Bench:
    bench = Bench()
    bench.lead()
    return bench


# ---- a host's steps

POOL = (IPv4Network("10.200.0.0/16"),)
INIT = steps.InitSwarm(advertise="10.0.0.1", pool=POOL, mask_length=24, data_path_port=None, reason="r")
HOST_STEPS: list[tuple[Step, Call]] = [
    (steps.CreateBridge(bridge=BRIDGE, reason="r"), ("create_bridge", (BRIDGE,), {})),
    (steps.RemoveBridge(id="b", reason="r"), ("remove_network", ("b",), {})),
    (
        steps.JoinSwarm(
            role="worker", advertise="10.0.0.1", remotes=("m:2377",), token=TOKENS.worker, reason="r"
        ),
        ("join_swarm", (), {"advertise": "10.0.0.1", "remotes": ("m:2377",), "token": TOKENS.worker}),
    ),
    (steps.LeaveSwarm(reason="r"), ("leave_swarm", (), {})),
    (steps.AbandonNode(node_id="n", reason="r"), ("abandon_node", ("n",), {})),
    (steps.DissolveSwarm(swarm_id="swarm-2", reason="r"), ("dissolve_swarm", ("swarm-2",), {})),
    (steps.UnlockHost(keys=("a", "b"), reason="r"), ("unlock_swarm", (("a", "b"),), {})),
    (steps.CreateNetwork(network=LOCAL, reason="r"), ("create_network", (LOCAL,), {})),
    (
        steps.RemoveLeftover(network="net", id="n", creation="of-n", reason="r"),
        ("remove_leftover", ("n", "net", "of-n"), {}),
    ),
    (
        steps.CreateVolume(volume=VolumeIntent(key="v", name="v"), reason="r"),
        ("create_volume", (VolumeIntent(key="v", name="v"),), {}),
    ),
    (
        steps.CreateContainer(name="prod-order-1", replica=REPLICA, project="prod", spec=SPEC, reason="r"),
        (
            "create_container",
            (create_request(SPEC, replica=REPLICA, project="prod", cluster="prod", name="prod-order-1"),),
            {},
        ),
    ),
    (steps.StartContainer(name="prod-order-1", spec=SPEC, reason="r"), ("start", ("prod-order-1",), {})),
    (steps.UnpauseContainer(name="prod-order-1", id="c", spec=SPEC, reason="r"), ("unpause", ("c",), {})),
    (
        steps.StopContainer(name="prod-order-1", id="c", grace_s=3.0, reason="r"),
        ("stop", ("c", 3.0), {}),
    ),
    (steps.RemoveContainer(name="prod-order-1", id="c", reason="r"), ("remove_container", ("c",), {})),
    (
        steps.RenameContainer(name="prod-order-1", id="c", reason="r"),
        ("rename", ("c", "prod-order-1"), {}),
    ),
    (
        steps.UpdateContainer(name="prod-order-1", id="c", spec=SPEC, reason="r"),
        ("update", ("c", SPEC), {}),
    ),
    (
        steps.ConnectNetwork(
            name="prod-order-1", id="c", attachment=ATTACHMENT, aliases=("order",), reason="r"
        ),
        ("connect", ("c", ATTACHMENT, ("order",)), {}),
    ),
    (
        steps.DisconnectNetwork(name="prod-order-1", id="c", network="net", reason="r"),
        ("disconnect", ("c", "net"), {}),
    ),
    (steps.CreateParking(network=LOCAL, reason="r"), ("create_network", (LOCAL,), {})),
    (steps.Park(container="c", name="order", network="p", reason="r"), ("park", ("c", "p"), {})),
    (
        steps.SwapBridge(bridge=BRIDGE, old=(), release=(), reason="r"),
        ("create_bridge", (BRIDGE,), {}),
    ),
    (steps.Unpark(container="c", name="order", network="p", reason="r"), ("unpark", ("c", "p"), {})),
    (steps.RemoveParking(network="p", reason="r"), ("remove_network", ("p",), {})),
]


def named(step: object) -> str:
    return type(step).__name__


@pytest.mark.parametrize(("step", "call"), HOST_STEPS, ids=named)
def test_a_hosts_step_is_one_call_to_the_engine_and_needs_no_leadership(
    bench: Bench, step: Step, call: Call
) -> None:
    revision, _ = bench.everything()
    bench.store.cut()
    bench.apply(step)
    assert bench.everything() == (revision, [call])


@pytest.mark.parametrize(("step", "call"), HOST_STEPS, ids=named)
def test_what_the_engine_says_no_to_is_heard_as_it_was_said(bench: Bench, step: Step, call: Call) -> None:
    bench.engine.refusing = Refused("the engine's own words")
    with pytest.raises(Refused, match="the engine's own words"):
        bench.apply(step)


ROOT = replace(SPEC, privileged=True)
BIND = VolumeIntent(key="v", name="v", options=(("device", "/"), ("o", "bind"), ("type", "none")))
NOT_ADMITTED: list[tuple[Step, str]] = [
    (
        steps.CreateContainer(name="o", replica=REPLICA, project="prod", spec=ROOT, reason="r"),
        "privileged: true",
    ),
    (steps.StartContainer(name="o", spec=ROOT, reason="r"), "privileged: true"),
    (steps.StartContainer(name="o", reason="r"), "the spec of o is not known"),
    (steps.UnpauseContainer(name="o", id="c", spec=ROOT, reason="r"), "privileged: true"),
    (steps.UnpauseContainer(name="o", id="c", reason="r"), "the spec of o is not known"),
    (steps.UpdateContainer(name="o", id="c", spec=ROOT, reason="r"), "privileged: true"),
    (steps.CreateVolume(volume=BIND, reason="r"), "volumes.v.driver_opts: bind of /"),
    (steps.PullImage(image="other.example.com/x:1", reason="r"), "image: other.example.com/x:1"),
]


@pytest.mark.parametrize(("step", "told"), NOT_ADMITTED, ids=named)
def test_what_the_host_does_not_admit_never_reaches_docker(bench: Bench, step: Step, told: str) -> None:
    registries = (registry_of(SPEC.image),)
    bench.context = replace(bench.context, gate=Gate(policy=Policy(registries=registries)))
    before = bench.everything()
    with pytest.raises(NotAdmitted, match=re.escape(told)):
        bench.apply(step)
    assert bench.everything() == before


def test_a_volume_of_the_engine_is_judged_before_a_container_mounts_it(bench: Bench) -> None:
    mounts = replace(SPEC, volumes=(Mount(type="volume", target="/v", source="v"),))
    bench.engine.found_volumes = (VolumeState(name="v", options=BIND.options),)
    with pytest.raises(NotAdmitted, match=re.escape("volumes.v.driver_opts: bind of /")):
        bench.apply(steps.StartContainer(name="o", spec=mounts, reason="r"))
    assert [name for name, *_ in bench.engine.called] == ["volumes"]


def test_an_anonymous_volume_of_the_old_container_is_judged_as_any_other(bench: Bench) -> None:
    old = "a" * 64
    bench.engine.found_volumes = (VolumeState(name=old, options=BIND.options),)
    create = steps.CreateContainer(name="o", replica=REPLICA, project="prod", spec=SPEC, reason="r")
    bench.apply(create)
    with pytest.raises(NotAdmitted, match=re.escape(f"volumes.{old}.driver_opts: bind of /")):
        bench.apply(replace(create, carried=(("/var/lib/order", old),)))
    assert [name for name, *_ in bench.engine.called] == ["create_container", "volumes"]


GIVES_RIGHTS = {"create_container", "create_volume", "pull", "start", "unpause", "update"}
"""Calls with which a container gets something of the host or begins to run, and the one that fetches its image."""
GIVES_NONE = {
    "bridge_endpoints", "close", "containers", "events", "has_node", "image_volumes", "images", "info", "networks",
    "nodes", "output", "overlay_addresses", "overlay_peers", "overlay_users", "swarm_tokens", "unlock_key", "volumes",
    # of the swarm
    "abandon_node", "dissolve_swarm", "init_swarm", "join_swarm", "leave_swarm", "remove_node", "rotate_tokens",
    "set_autolock", "unlock_swarm", "update_node",
    # of networks, which the policy does not judge, and which start nothing
    "connect", "create_bridge", "create_network", "disconnect", "park", "release_endpoint", "remove_leftover",
    "remove_network", "unpark",
    # of containers that end, or go on as they are
    "remove_container", "rename", "stop",
    # a question to a registry: see ResolveDigests
    "digest_of",
}  # fmt: skip


def test_each_step_that_creates_or_starts_something_is_judged() -> None:
    """No step reaches such a call of the engine without a case in NOT_ADMITTED, and no step is left out here."""
    calls = {each for each in dir(Engine) if not each.startswith("_")}
    assert calls == GIVES_RIGHTS | GIVES_NONE
    giving = {type(step) for step, (call, *_) in HOST_STEPS if call in GIVES_RIGHTS} | {steps.PullImage}
    assert {type(step) for step, _ in NOT_ADMITTED} == giving
    tried = {type(step) for step, _ in HOST_STEPS}
    elsewhere = {
        steps.AcquireDisruption, steps.GiveUpInit, steps.InitSwarm, steps.PullImage, steps.PutPresence,
        steps.ReleaseDisruption, steps.ResolveDigests,
    }  # fmt: skip
    assert tried | elsewhere == {*get_args(steps.HostStep)}


# ---- a leader's steps

VERDICT = Verdict(revision=9, accepted=True, accepted_revision=9)
TRIAL = Trial(revision=9, leaders=(1,))
ASSIGNMENT = Assignment(revision=9, project="prod", replicas=(REPLICA,))
RECORD = SwarmRecord(claimed_by="h1", swarm_id="swarm-1")
ROLLOUT = Rollout(before="a", to="b", state="rolling-back", failed=(1,), why="order-1: it exited with 1")
MEMBERSHIP_ORDER = records.MembershipOrder(state="active", node_id="n", what="leave", reason="r")


NODE_STEPS: list[tuple[Step, Call]] = [
    (
        leader_steps.PromoteNode(node_id="n", host="h2", version=7, reason="r"),
        ("update_node", ("n",), {"version": 7, "role": "manager"}),
    ),
    (
        leader_steps.DemoteNode(node_id="n", host="h2", version=7, reason="r"),
        ("update_node", ("n",), {"version": 7, "role": "worker"}),
    ),
    (
        leader_steps.UpdateNode(
            node_id="n",
            host="h2",
            version=7,
            availability="drain",
            labels=(("a", "b"),),
            without=("c",),
            reason="r",
        ),
        (
            "update_node",
            ("n",),
            {"version": 7, "availability": "drain", "labels": (("a", "b"),), "without": ("c",)},
        ),
    ),
    (leader_steps.RemoveNode(node_id="n", host="h2", reason="r"), ("remove_node", ("n",), {})),
]

FENCED: list[Step] = [
    leader_steps.BeginTrial(trial=TRIAL, reason="r"),
    leader_steps.PublishVerdict(verdict=VERDICT, document="name: prod", reason="r"),
    leader_steps.RecordHistory(
        verdict=VERDICT, text="name: prod", revision=6, outcome=("paused", "why"), gone=("1",), reason="r"
    ),
    leader_steps.ClaimInit(reason="r"),
    leader_steps.PassClaim(record=SwarmRecord(claimed_by="h2"), over=0, reason="r"),
    leader_steps.PublishSwarm(record=RECORD, reason="r"),
    leader_steps.PublishTokens(swarm_id="swarm-1", reason="r"),
    leader_steps.RotateTokens(reason="r"),
    leader_steps.WithdrawTokens(reason="r"),
    leader_steps.TurnAutolockOn(known=NO_KEYS, reason="r"),
    leader_steps.PublishUnlockKey(known=NO_KEYS, reason="r"),
    leader_steps.TurnAutolockOff(known=replace(NO_KEYS, on=True, keys=("SWMKEY-1-old",)), reason="r"),
    leader_steps.PublishAssignment(host="h1", assignment=ASSIGNMENT, specs=(SPEC,), reason="r"),
    leader_steps.CollectSpecs(digests=("a", "b"), reason="r"),
    leader_steps.CreateOverlay(network=OVERLAY, reason="r"),
    leader_steps.GrantDisruption(host="h2", quorum=True, over=0, reason="r"),
    leader_steps.RevokeDisruption(host="h2", over=0, reason="r"),
    leader_steps.ForgetHost(host="h2", reason="r"),
    leader_steps.RemoveOverlay(network="net", id="n", reason="r"),
    leader_steps.IssueMembershipOrder(host="h2", membership_order=MEMBERSHIP_ORDER, reason="r"),
    leader_steps.RevokeMembershipOrder(host="h2", reason="r"),
    leader_steps.PublishRollout(service="order", rollout=ROLLOUT, reason="r"),
    leader_steps.WithdrawRollout(service="order", reason="r"),
    INIT,
    *(step for step, _ in NODE_STEPS),
]
DISRUPTION = Disruption(host="h1", state="granted", reason="r", quorum=True)
TURNS: list[tuple[Step, Literal["acquired", "released"]]] = [
    (steps.AcquireDisruption(disruption=DISRUPTION, revision=0, reason="r"), "acquired"),
    (steps.ReleaseDisruption(disruption=DISRUPTION, revision=0, reason="r"), "released"),
]


@pytest.mark.parametrize(("step", "state"), TURNS, ids=named)
def test_a_host_acquires_and_releases_the_disruption_slot_only_as_it_saw_it(
    bench: Bench, step: Step, state: Literal["acquired", "released"]
) -> None:
    offered = bench.put(KEYS.disruption, records.encode(DISRUPTION))
    given = replace(cast(steps.AcquireDisruption, step), revision=offered)
    with pytest.raises(Conflict, match="the disruption slot in etcd was changed"):
        bench.apply(replace(given, revision=offered - 1))
    assert bench.read(KEYS.slot("h1")) is None

    bench.apply(given)

    reason = "finished: r" if state == "released" else "r"
    expected = replace(DISRUPTION, state=state, reason=reason, grant=offered)
    assert bench.record(Disruption, KEYS.slot("h1")) == expected
    assert bench.record(Disruption, KEYS.disruption) == DISRUPTION


def test_the_disruption_slot_is_granted_and_revoked_only_over_the_one_that_was_seen(leading: Bench) -> None:
    leading.apply(leader_steps.GrantDisruption(host="h2", quorum=True, over=0, reason="r"))
    with pytest.raises(Conflict):
        leading.apply(leader_steps.GrantDisruption(host="h3", quorum=True, over=0, reason="r"))
    with pytest.raises(Conflict):
        leading.apply(leader_steps.RevokeDisruption(host="h2", over=1, reason="r"))
    assert leading.record(Disruption, KEYS.disruption) == replace(DISRUPTION, host="h2")
    over = leading.etcd.snapshot([KeyRange(key=KEYS.disruption)]).values[KEYS.disruption].mod_revision
    taken = leading.put(KEYS.slot("h2"))
    with pytest.raises(Conflict):
        leading.apply(leader_steps.RevokeDisruption(host="h2", over=over, reason="r"))
    leading.apply(leader_steps.RevokeDisruption(host="h2", over=over, seen=taken, reason="r"))
    assert leading.read(KEYS.disruption) is None


def test_the_old_bridge_goes_before_the_new_one_comes_and_what_is_nobodys_is_taken_off_first(
    bench: Bench,
) -> None:
    ingress = ("old", "gateway_ingress-sbox")
    bench.apply(steps.SwapBridge(bridge=BRIDGE, old=("old",), release=(ingress,), reason="r"))

    assert [(name, args) for name, args, _ in bench.engine.called] == [
        ("release_endpoint", ingress),
        ("remove_network", ("old",)),
        ("create_bridge", (BRIDGE,)),
    ]


FORMER = replace(BRIDGE, subnet=IPv4Network("172.18.0.0/16"))


def test_when_docker_refuses_the_new_bridge_the_old_form_is_made_again_and_marked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def create_bridge(bridge: BridgeIntent, labels: Pairs = ()) -> None:
        made.append((bridge, labels))
        if bridge == BRIDGE:
            raise Refused("invalid MTU")

    monkeypatch.setattr(bench.engine, "create_bridge", create_bridge, raising=False)
    with pytest.raises(Refused, match="invalid MTU"):
        bench.apply(
            steps.SwapBridge(bridge=BRIDGE, old=("old",), release=(), before=FORMER, mark="0123", reason="r")
        )
    assert made == [(BRIDGE, ()), (FORMER, refusal("0123", "invalid MTU"))]


PULL = steps.PullImage(image="order:1.0.0", reason="r")


def test_a_pull_tells_how_far_it_is(bench: Bench) -> None:
    told: list[tuple[str, str]] = []
    context = replace(bench.context, on_progress=lambda resource, progress: told.append((resource, progress)))
    apply(context, PULL)

    ((name, (image, progress, _), _),) = bench.engine.called
    progress("1 of 2 layers")
    assert (name, image, told) == ("pull", "order:1.0.0", [("image/order:1.0.0", "1 of 2 layers")])


def resolving(*images: str) -> steps.ResolveDigests:
    known = Digests(revision=7, epoch=0, images=(("old:1", "sha256:old"),), asked=())
    return steps.ResolveDigests(images=images, known=known, over=0, reason="r")


def test_what_registries_say_is_added_to_what_is_known(leading: Bench) -> None:
    leading.engine.digests = {"order:1": "sha256:1"}
    leading.apply(resolving("order:1"))
    assert leading.record(Digests, KEYS.digests) == Digests(
        revision=7,
        epoch=0,
        images=(("old:1", "sha256:old"), ("order:1", "sha256:1")),
        asked=("order:1",),
    )


def test_what_one_registry_does_not_say_is_told_and_the_rest_noted(leading: Bench) -> None:
    leading.engine.digests = {"order:1": "sha256:1"}
    with pytest.raises(Unreachable, match=r"^dead\.test/a: connection refused$"):
        leading.apply(resolving("dead.test/a", "dead.test/b", "order:1"))
    assert leading.record(Digests, KEYS.digests).asked == ("order:1",)
    assert [args for _, args, _ in leading.engine.called] == [("dead.test/a",), ("order:1",)]


def test_a_registry_that_the_host_does_not_admit_is_not_asked_for_a_digest(leading: Bench) -> None:
    policy = Policy(registries=("docker.io",), require=("digest",))
    leading.context = replace(leading.context, gate=Gate(policy=policy))
    leading.engine.digests = dict.fromkeys(("order:1", "dead.test/a"), "sha256:1")
    with pytest.raises(
        NotAdmitted, match=re.escape("image: dead.test/a, which `registries: [docker.io, dead.test]`")
    ):
        leading.apply(resolving("order:1", "dead.test/a"))
    assert not leading.engine.called
    leading.apply(resolving("order:1"))
    assert leading.record(Digests, KEYS.digests).asked == ("order:1",)


def test_digests_are_noted_only_by_the_leader_and_over_what_was_seen(bench: Bench, leading: Bench) -> None:
    bench.engine.digests = leading.engine.digests = {"order:1": "sha256:1"}
    with pytest.raises(LeadershipLost):
        bench.apply(resolving("order:1"))
    leading.put(KEYS.digests)
    with pytest.raises(Conflict):
        leading.apply(resolving("order:1"))


def test_every_kind_of_step_is_tried_here() -> None:
    tried = (
        {type(step) for step, _ in HOST_STEPS}
        | {type(step) for step in FENCED}
        | {leader_steps.Campaign, leader_steps.Resign, steps.PutPresence, steps.GiveUpInit}
    )
    tried |= {type(step) for step, _ in TURNS} | {type(resolving()), type(PULL)}
    assert tried == set(get_args(Step))


@pytest.mark.parametrize("step", FENCED, ids=named)
def test_without_the_lock_a_leaders_step_changes_nothing(bench: Bench, step: Step) -> None:
    before = bench.everything()
    with pytest.raises(LeadershipLost):
        bench.apply(step)
    assert bench.everything() == before


@pytest.mark.parametrize("step", FENCED, ids=named)
def test_with_a_lease_that_could_end_before_the_step_does_nothing_is_changed(
    leading: Bench, step: Step
) -> None:
    leading.clock.advance(SETTINGS.ttl_s - SETTINGS.margin_s - LEADER_BUDGET_S + 0.001)
    assert leading.session.lease_id is not None
    before = leading.everything()
    with pytest.raises(LeadershipLost, match="within the 5 s"):
        leading.apply(step)
    assert leading.everything() == before


@pytest.mark.parametrize("step", FENCED, ids=named)
def test_a_lock_of_an_earlier_lease_is_no_leave_to_act_on_the_swarm(leading: Bench, step: Step) -> None:
    """The lease ran out and there is another one, but no pass has seen yet that the lock went with the first."""
    leading.clock.advance(SETTINGS.ttl_s + 1)
    for _ in range(2):
        leading.session.run_once()
    assert leading.session.is_safe_for(LEADER_BUDGET_S)
    before = leading.everything()
    with pytest.raises(LeadershipLost, match="lease of the leader lock is lost"):
        leading.apply(step)
    assert leading.everything() == before


WRITING = [
    step
    for step in FENCED
    if not isinstance(
        step,
        leader_steps.RotateTokens | leader_steps.CreateOverlay | leader_steps.RemoveOverlay | steps.InitSwarm,
    )
    and step not in [each for each, _ in NODE_STEPS]
]
"""Of the others the engine is the judge: etcd's lock means nothing to it."""


@pytest.mark.parametrize("step", WRITING, ids=named)
def test_when_another_took_the_lock_and_we_did_not_see_it_yet_nothing_is_written(
    leading: Bench, step: Step
) -> None:
    leading.store.txn([], [Delete(key=KEYS.leader)])
    theirs = leading.put(KEYS.leader)
    with pytest.raises(LeadershipLost):
        leading.apply(step)
    assert leading.etcd.snapshot([]).revision == theirs


def test_a_leader_whose_lock_is_gone_does_not_write_either(leading: Bench) -> None:
    leading.store.txn([], [Delete(key=KEYS.leader)])
    with pytest.raises(LeadershipLost):
        leading.apply(leader_steps.PublishSwarm(record=RECORD, reason="r"))
    assert leading.read(KEYS.swarm) is None


def test_an_overlay_is_removed_by_its_id_whatever_has_its_name_now(leading: Bench) -> None:
    leading.apply(leader_steps.RemoveOverlay(network="net", id="old-id", reason="r"))
    assert leading.engine.called == [("remove_network", ("old-id",), {})]


def test_a_document_is_accepted_together_with_its_verdict(leading: Bench) -> None:
    judged = leading.put(KEYS.intent, b"name: prod")
    leading.apply(leader_steps.BeginTrial(trial=replace(TRIAL, revision=judged), reason="r"))
    watching = Watching()
    leading.etcd.add_watch(watching)
    verdict = replace(VERDICT, revision=judged, accepted_revision=judged)
    leading.apply(leader_steps.PublishVerdict(verdict=verdict, document="name: prod", reason="r"))
    assert watching.writes == [(KEYS.verdict, KEYS.accepted, KEYS.trial)]
    assert leading.read(KEYS.trial) is None
    assert leading.record(Verdict, KEYS.verdict) == verdict
    assert leading.record(Accepted, KEYS.accepted) == Accepted(revision=judged, document="name: prod")


def test_an_entry_of_the_history_and_an_outcome_are_one_fenced_write_that_deletes_the_oldest(
    leading: Bench,
) -> None:
    leading.put(f"{KEYS.history}1", b"old")
    watching = Watching()
    leading.etcd.add_watch(watching)
    note = history.Note(author="anna", message="more")
    step = leader_steps.RecordHistory(
        verdict=VERDICT, text=TEXT, note=note, revision=6, outcome=("paused", "why"), gone=("1",), reason="r"
    )
    leading.apply(step)
    (written,) = watching.writes
    entry, event = f"{KEYS.history}{VERDICT.revision}", f"{KEYS.history}6/paused"
    assert written == (entry, event, f"{KEYS.history}1")
    assert leading.record(history.Entry, entry).text() == TEXT
    assert leading.record(history.Entry, entry).author == "anna"
    assert leading.record(history.Event, event).why == "why"


def test_what_is_beyond_one_transaction_of_the_history_stays_for_the_next(leading: Bench) -> None:
    gone = tuple(str(each) for each in range(1000, 2000))
    for each in gone:
        leading.put(f"{KEYS.history}{each}", b"x")
    leading.apply(
        leader_steps.RecordHistory(verdict=VERDICT, revision=6, outcome=None, gone=gone, reason="r")
    )
    left = leading.store.read([KeyRange(key=KEYS.history, prefix=True)]).values
    assert len(left) == 1 + 1000 - (MOST_OPERATIONS - 1)


def test_orders_of_agents_before_format_2_go_with_a_document_once_no_such_agent_reports(
    leading: Bench,
) -> None:
    judged = leading.put(KEYS.intent, b"name: prod")
    old, order = f"{KEYS.root}rulings/h1", KEYS.membership_order("h1")
    leading.put(old, b"old")
    leading.put(order, b"order")
    verdict = replace(VERDICT, revision=judged, accepted_revision=judged)
    publish = leader_steps.PublishVerdict(verdict=verdict, document="name: prod", reason="r")
    leading.apply(publish)
    assert leading.read(old) == b"old"
    leading.apply(replace(publish, forget_earlier=True))
    assert (leading.read(old), leading.read(order)) == (None, b"order")


def test_an_assignment_is_published_together_with_its_specs(leading: Bench) -> None:
    leading.apply(leader_steps.PublishAssignment(host="h1", assignment=ASSIGNMENT, specs=(SPEC,), reason="r"))
    assert leading.record(Assignment, KEYS.assignment("h1")) == ASSIGNMENT
    assert leading.read(KEYS.spec(REPLICA.spec)) == encode(SPEC)


def test_specs_are_collected_by_name(leading: Bench) -> None:
    for name in "abc":
        leading.put(KEYS.spec(name))
    leading.apply(leader_steps.CollectSpecs(digests=("a", "b"), reason="r"))
    assert [leading.read(KEYS.spec(name)) for name in "abc"] == [None, None, b"other"]


def test_tokens_are_published_as_the_engine_has_them_then_rotated_and_withdrawn(leading: Bench) -> None:
    leading.apply(leader_steps.PublishTokens(swarm_id="swarm-1", reason="r"))
    assert leading.record(Tokens, KEYS.tokens) == TOKENS
    leading.apply(leader_steps.RotateTokens(reason="r"))
    leading.apply(leader_steps.WithdrawTokens(reason="r"))
    assert leading.read(KEYS.tokens) is None
    assert [name for name, _, _ in leading.engine.called] == ["swarm_tokens", "rotate_tokens"]


def test_tokens_are_published_as_the_seal_leaves_them(leading: Bench) -> None:
    sealed = Tokens(swarm_id="swarm-1", worker="", manager="", sealed="closed")
    leading.context = replace(leading.context, seal=lambda _: sealed)
    leading.apply(leader_steps.PublishTokens(swarm_id="swarm-1", reason="r"))
    assert leading.record(Tokens, KEYS.tokens) == sealed


def test_autolock_is_turned_on_and_the_key_published_at_once_and_sealed(leading: Bench) -> None:
    seen: list[UnlockKeys] = []

    def seal(keys: UnlockKeys) -> UnlockKeys:
        seen.append(keys)
        return replace(keys, keys=(), sealed="closed")

    leading.context = replace(leading.context, seal_keys=seal)
    known = replace(NO_KEYS, keys=("SWMKEY-1-a", "SWMKEY-1-now", "SWMKEY-1-b", "SWMKEY-1-c"))
    leading.apply(leader_steps.TurnAutolockOn(known=known, reason="r"))
    assert ("set_autolock", (True,), {}) in leading.engine.called
    assert seen == [replace(known, on=True, keys=("SWMKEY-1-now", "SWMKEY-1-a", "SWMKEY-1-b"))]
    published = UnlockKeys(swarm_id="swarm-1", on=True, sealed="closed")
    assert leading.record(UnlockKeys, KEYS.unlock) == published


def test_autolock_is_turned_off_and_the_keys_stay(leading: Bench) -> None:
    known = replace(NO_KEYS, on=True, keys=("SWMKEY-1-old",))
    leading.apply(leader_steps.TurnAutolockOff(known=known, reason="r"))
    assert ("set_autolock", (False,), {}) in leading.engine.called
    assert leading.record(UnlockKeys, KEYS.unlock) == replace(known, on=False)


def test_the_key_of_another_swarm_is_not_published(leading: Bench) -> None:
    leading.engine.tokens = replace(TOKENS, swarm_id="swarm-2")
    with pytest.raises(Conflict, match="swarm-2"):
        leading.apply(leader_steps.TurnAutolockOn(known=NO_KEYS, reason="r"))
    assert ("set_autolock", (True,), {}) not in leading.engine.called


def test_tokens_are_published_without_the_one_for_managers_where_none_may_join(leading: Bench) -> None:
    leading.apply(leader_steps.PublishTokens(swarm_id="swarm-1", managers=False, reason="r"))
    assert leading.record(Tokens, KEYS.tokens) == replace(TOKENS, manager="")


def test_an_overlay_is_made_by_the_engine(leading: Bench) -> None:
    leading.apply(leader_steps.CreateOverlay(network=OVERLAY, reason="r"))
    assert leading.engine.called == [("create_network", (OVERLAY,), {})]


@pytest.mark.parametrize(("step", "call"), NODE_STEPS, ids=named)
def test_a_step_on_a_node_is_one_call_to_the_engine(leading: Bench, step: Step, call: Call) -> None:
    leading.apply(step)
    ((name, args, given),) = leading.engine.called
    assert (name, args, {key: value for key, value in given.items() if key != "still"}) == call


@pytest.mark.parametrize("step", [step for step, _ in NODE_STEPS[:3]], ids=named)
def test_a_node_is_changed_only_while_the_lease_still_holds_when_it_was_read(
    leading: Bench, step: Step
) -> None:
    leading.apply(step)
    ((_, _, given),) = leading.engine.called
    given["still"]()
    leading.clock.advance(SETTINGS.ttl_s)
    with pytest.raises(LeadershipLost):
        given["still"]()


def test_a_host_that_is_forgotten_loses_its_own_keys_and_no_others(leading: Bench) -> None:
    theirs = [KEYS.assignment("h2"), KEYS.status("h2"), KEYS.slot("h2")]
    others = [KEYS.assignment("h20"), KEYS.status("h20"), KEYS.presence("h2")]
    for key in (*theirs, *others):
        leading.put(key)
    leading.apply(leader_steps.ForgetHost(host="h2", reason="r"))
    assert [leading.read(key) for key in theirs] == [None] * 3
    assert [leading.read(key) for key in others] == [b"other"] * 3


def test_a_host_is_forgotten_also_by_a_leader_that_may_not_delete_what_the_host_wrote(
    leading: Bench,
) -> None:
    leading.put(KEYS.assignment("h2"))
    leading.put(KEYS.status("h2"))
    leading.store.role = host_role(KEYS, "h1", may_lead=True)
    leading.apply(leader_steps.ForgetHost(host="h2", reason="r"))
    assert leading.read(KEYS.assignment("h2")) is None
    assert leading.read(KEYS.status("h2")) == b"other"


def test_a_lock_given_back_is_free_and_the_lease_stays(leading: Bench) -> None:
    lease = leading.session.lease_id
    leading.apply(leader_steps.Resign(lock=leading.lock, reason="r"))
    assert leading.read(KEYS.leader) is None
    leading.session.run_once()
    assert leading.session.lease_id == lease


def test_where_etcd_takes_no_word_back_the_lease_is_replaced(leading: Bench) -> None:
    lease = leading.session.lease_id
    leading.store.denied = True
    leading.apply(leader_steps.Resign(lock=leading.lock, reason="r"))
    leading.store.denied = False
    leading.session.run_once()
    assert leading.session.lease_id not in (None, lease)
    assert leading.read(KEYS.leader) is not None, "until the last lease has run out"


def test_the_swarm_is_made_by_the_holder_of_the_lock(leading: Bench) -> None:
    leading.apply(INIT)
    ((name, _, how),) = leading.engine.called
    assert (name, how["advertise"], how["pool"]) == ("init_swarm", "10.0.0.1", POOL)


def test_the_record_of_the_swarm_is_published_as_it_is(leading: Bench) -> None:
    leading.apply(leader_steps.PublishSwarm(record=RECORD, reason="r"))
    assert leading.record(SwarmRecord, KEYS.swarm) == RECORD


# ---- the losing side of each race


def test_a_claim_that_somebody_made_meanwhile_is_not_overwritten(leading: Bench) -> None:
    leading.put(KEYS.swarm, b"theirs")
    with pytest.raises(Conflict):
        leading.apply(leader_steps.ClaimInit(reason="there is no swarm yet"))
    assert leading.read(KEYS.swarm) == b"theirs"


def test_a_claim_is_taken_over_only_as_it_was_seen(leading: Bench) -> None:
    seen = leading.put(KEYS.swarm, b"of a host that is gone")
    leading.put(KEYS.swarm, b"its host came back and finished")
    with pytest.raises(Conflict):
        leading.apply(leader_steps.ClaimInit(over=seen, reason="h2, who claimed it, is gone"))
    assert leading.read(KEYS.swarm) == b"its host came back and finished"


def test_a_claim_of_a_host_that_is_gone_is_taken_over(leading: Bench) -> None:
    seen = leading.put(KEYS.swarm, b"of a host that is gone")
    leading.apply(leader_steps.ClaimInit(over=seen, reason="h2, who claimed it, is gone"))
    assert leading.record(SwarmRecord, KEYS.swarm) == SwarmRecord(claimed_by="h1")


def test_a_claim_is_passed_on_only_as_it_was_seen(leading: Bench) -> None:
    passed = SwarmRecord(claimed_by="h2", unable=(("h1", "port 2377 is in use"),))
    seen = leading.put(KEYS.swarm, b"ours")
    leading.put(KEYS.swarm, b"somebody took it over")
    with pytest.raises(Conflict):
        leading.apply(leader_steps.PassClaim(record=passed, over=seen, reason="r"))
    assert leading.read(KEYS.swarm) == b"somebody took it over"
    seen = leading.put(KEYS.swarm, b"ours")
    leading.apply(leader_steps.PassClaim(record=passed, over=seen, reason="r"))
    assert leading.record(SwarmRecord, KEYS.swarm) == passed


def test_a_claim_is_given_up_only_as_it_was_seen(bench: Bench) -> None:
    seen = bench.put(KEYS.swarm, b"ours")
    bench.put(KEYS.swarm, b"somebody took it over")
    with pytest.raises(Conflict):
        bench.apply(steps.GiveUpInit(over=seen, reason="r"))
    assert bench.read(KEYS.swarm) == b"somebody took it over"


def test_a_claim_is_given_up_also_without_the_lock(bench: Bench) -> None:
    seen = bench.put(KEYS.swarm, b"ours")
    bench.apply(steps.GiveUpInit(over=seen, reason="r"))
    assert bench.read(KEYS.swarm) is None


def test_a_document_that_was_put_meanwhile_gets_no_verdict_on_the_one_before(leading: Bench) -> None:
    judged = leading.put(KEYS.intent, b"first")
    leading.put(KEYS.intent, b"second")
    verdict = Verdict(revision=judged, accepted=True, accepted_revision=judged)
    with pytest.raises(Conflict):
        leading.apply(leader_steps.PublishVerdict(verdict=verdict, document="first", reason="r"))
    assert leading.read(KEYS.verdict) is None
    assert leading.read(KEYS.accepted) is None


def test_a_refusal_leaves_the_accepted_document_alone(leading: Bench) -> None:
    leading.put(KEYS.accepted, b"accepted")
    judged = leading.put(KEYS.intent, b"bad")
    verdict = Verdict(revision=judged, accepted=False, accepted_revision=3, errors=("line 1",))
    leading.apply(leader_steps.PublishVerdict(verdict=verdict, reason="r"))
    assert leading.record(Verdict, KEYS.verdict) == verdict
    assert leading.read(KEYS.accepted) == b"accepted"


def test_tokens_of_another_swarm_are_not_published(leading: Bench) -> None:
    leading.engine.tokens = replace(TOKENS, swarm_id="swarm-2")
    with pytest.raises(Conflict, match=r"in swarm swarm-2, not in swarm-1"):
        leading.apply(leader_steps.PublishTokens(swarm_id="swarm-1", reason="r"))
    assert leading.read(KEYS.tokens) is None


# ---- the campaign


def test_a_campaign_takes_the_lock_and_says_whose_it_is(bench: Bench) -> None:
    bench.apply(leader_steps.Campaign(reason="nobody leads"))
    assert bench.record(LeaderRecord, KEYS.leader) == LeaderRecord(host="h1", since="2026-01-01T00:00:00Z")


def test_a_campaign_that_comes_second_is_no_error_and_takes_nothing(bench: Bench) -> None:
    bench.put(KEYS.leader, b"theirs")
    bench.apply(leader_steps.Campaign(reason="nobody leads"))
    assert bench.read(KEYS.leader) == b"theirs"


def test_the_lock_goes_with_the_lease(leading: Bench) -> None:
    leading.clock.advance(SETTINGS.ttl_s)
    assert leading.read(KEYS.leader) is None


def test_without_a_lease_there_is_no_campaign(bench: Bench) -> None:
    bench.clock.advance(SETTINGS.ttl_s)
    before = bench.everything()
    with pytest.raises(Unreachable, match="no lease"):
        bench.apply(leader_steps.Campaign(reason="nobody leads"))
    assert bench.everything() == before


# ---- more than one transaction holds


def many(count: int) -> tuple[ContainerSpec, ...]:
    return tuple(order(f"1.0.{number}") for number in range(count))


@pytest.mark.parametrize("count", [0, 1, MOST_OPERATIONS - 1, MOST_OPERATIONS, 3 * MOST_OPERATIONS + 7])
def test_whoever_can_read_an_assignment_can_read_every_spec_it_names(leading: Bench, count: int) -> None:
    watching = Watching()
    leading.etcd.add_watch(watching)
    specs = many(count)
    replicas = tuple(Replica(service="s", slot=n, spec=spec_hash(each)) for n, each in enumerate(specs, 1))
    assignment = Assignment(revision=9, project="prod", replicas=replicas)
    leading.apply(leader_steps.PublishAssignment(host="h1", assignment=assignment, specs=specs, reason="r"))
    assert watching.writes[-1][-1] == KEYS.assignment("h1")
    assert [key for write in watching.writes for key in write].count(KEYS.assignment("h1")) == 1
    assert all(leading.read(KEYS.spec(replica.spec)) for replica in replicas)
    assert max(map(len, watching.writes)) <= ETCD_TAKES


def test_an_assignment_is_not_published_when_the_lock_is_lost_between_its_specs(leading: Bench) -> None:
    class Losing(Watching):
        def changed(self, keys: Any) -> None:
            leading.etcd.remove_watch(self)
            leading.store.txn([], [Delete(key=KEYS.leader)])

    leading.etcd.add_watch(Losing())
    specs = many(MOST_OPERATIONS + 1)
    with pytest.raises(LeadershipLost):
        leading.apply(
            leader_steps.PublishAssignment(host="h1", assignment=ASSIGNMENT, specs=specs, reason="r")
        )
    assert leading.read(KEYS.assignment("h1")) is None


def test_more_specs_than_one_transaction_holds_are_collected_in_several_passes(leading: Bench) -> None:
    digests = [f"{number:064x}" for number in range(MOST_OPERATIONS + 5)]
    for each in digests:
        leading.put(KEYS.spec(each))
    leading.apply(leader_steps.CollectSpecs(digests=tuple(digests), reason="r"))
    assert [each for each in digests if leading.read(KEYS.spec(each))] == digests[MOST_OPERATIONS:]


# ---- what the log may show


@pytest.mark.parametrize("step", [*(step for step, _ in HOST_STEPS), *FENCED], ids=named)
def test_no_step_shows_a_secret(step: Step) -> None:
    told = repr(step) + str(step)
    assert not [secret for secret in SECRETS if secret in told]


def test_no_record_and_no_write_shows_a_secret() -> None:
    accepted = Accepted(revision=1, document="PASSWORD: hunter2")
    join = steps.JoinSwarm(role="worker", advertise="a", remotes=(), token="SWMTKN-worker", reason="r")
    publish = leader_steps.PublishVerdict(verdict=VERDICT, document="PASSWORD: hunter2", reason="r")
    entry = leader_steps.RecordHistory(
        verdict=VERDICT, text="PASSWORD: hunter2", revision=1, outcome=None, gone=(), reason="r"
    )
    put = Put(key="k", value=b"hunter2")
    told = (
        "".join(map(repr, (TOKENS, accepted, SPEC, join, publish, entry, put))) + f"{join} {publish} {entry}"
    )
    assert not [secret for secret in SECRETS if secret in told]


# ---- the word on a host's membership


def test_a_rollout_is_written_for_its_service_and_withdrawn(leading: Bench) -> None:
    leading.apply(leader_steps.PublishRollout(service="order", rollout=ROLLOUT, reason="r"))
    assert leading.record(Rollout, KEYS.rollout("order")) == ROLLOUT

    leading.apply(leader_steps.WithdrawRollout(service="order", reason="r"))
    assert leading.read(KEYS.rollout("order")) is None


def test_a_membership_order_is_written_for_its_host_and_withdrawn(leading: Bench) -> None:
    leading.apply(leader_steps.IssueMembershipOrder(host="h2", membership_order=MEMBERSHIP_ORDER, reason="r"))
    assert leading.record(records.MembershipOrder, KEYS.membership_order("h2")) == MEMBERSHIP_ORDER
    assert leading.engine.called == []
    leading.apply(leader_steps.RevokeMembershipOrder(host="h2", reason="r"))
    assert leading.read(KEYS.membership_order("h2")) is None


def test_that_a_node_is_unknown_is_not_said_before_the_swarm_has_confirmed_it(leading: Bench) -> None:
    step = leader_steps.IssueMembershipOrder(
        host="h2", membership_order=MEMBERSHIP_ORDER, unlisted="n", reason="r"
    )
    leading.engine.has = True
    with pytest.raises(Conflict, match="lists node n"):
        leading.apply(step)
    leading.engine.refusing = Unreachable("The swarm does not have a leader")
    with pytest.raises(Unreachable):
        leading.apply(step)
    assert leading.read(KEYS.membership_order("h2")) is None
    leading.engine.has, leading.engine.refusing = False, None
    leading.apply(step)
    assert leading.record(records.MembershipOrder, KEYS.membership_order("h2")) == MEMBERSHIP_ORDER


def test_a_presence_is_taken_over_by_whoever_is_told_to(bench: Bench) -> None:
    bench.put(KEYS.presence("h1"), b"another one")
    bench.apply(steps.PutPresence(insists=True, reason="r"))
    bench.session.run_once()
    assert bench.read(KEYS.presence("h1")) == b"{}"


def test_a_presence_that_was_deleted_is_put_again(bench: Bench) -> None:
    bench.session.run_once()
    bench.store.txn([], [Delete(key=KEYS.presence("h1"))])
    bench.apply(steps.PutPresence(reason="r"))
    bench.session.run_once()
    assert bench.read(KEYS.presence("h1")) == b"{}"
