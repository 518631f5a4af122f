"""Random histories of a cluster as its leader sees it, observation by observation, from a seed.

What a history does not change is the same object in the next observation, as the reader of etcd keeps it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from agent.diff.nodes import LeaderView
from agent.model.intent import Intent, PolicyIntent, ServiceIntent, Update
from agent.model.leader_steps import PublishAssignment, PublishRollout, WithdrawRollout
from agent.model.plan import Plan
from agent.model.records import Assignment, Disruption, Rollout
from agent.model.spec import Attachment, ContainerSpec, Port
from agent.model.status import HostStatus, ReplicaReport, Waiting
from agent.observe.observer import ReplicaWatcher
from tests.fakes.store import FakeClock
from tests.support.builders import FENCE, cluster, document, host, intent, member, node, status

HOSTS = "h1 h2:worker h3:worker"
NAMES = tuple(each.partition(":")[0] for each in HOSTS.split())
STATUSES: tuple[Any, ...] = ("running", "running", "running", "created", "exited", "restarting")
HEALTHS = ("", "healthy", "healthy", "starting", "unhealthy")


class LeaderHistory:
    """A cluster to which things happen; `observed` is what its leader sees, `carried_out` what follows from a plan."""

    def __init__(self, seed: int) -> None:
        self.random, self.clock, self.revision = Random(seed), FakeClock(), 10
        self.watcher = ReplicaWatcher(self.clock)
        self.tags = dict.fromkeys(("order", "billing", "api"), 0)
        self.counts = {"order": 4}
        self.availability: dict[str, Any] = dict.fromkeys(NAMES, "active")
        self.reserves, self.ports = self.random.random() < 0.3, self.random.random() < 0.3
        self.assignments: dict[str, Assignment] = {}
        self.statuses: dict[str, HostStatus] = {name: status(name) for name in NAMES}
        self.present = {name: f"run-{name}" for name in NAMES}
        self.rollouts: dict[str, Rollout] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.disruption: Disruption | None = None
        self.lost: dict[str, float] = {}
        self.resigned = 0
        """How often another host led for a moment."""
        self.intent = self._intent()

    def views(self, steps: int, plan: Callable[[LeaderView], Plan]) -> Iterator[tuple[LeaderView, Plan]]:
        """Yield `steps` observations, each with its plan, which is often carried out before the next one."""
        for _ in range(steps):
            seen = self.observed()
            planned = plan(seen)
            yield seen, planned
            if self.random.random() < 0.8:
                self.carried_out(planned)
            for _ in range(self.random.randint(1, 3)):
                self.random.choice(_EVENTS)(self)
            self.clock.advance(self.random.choice((0.5, 1.0, 4.0, 30.0)))

    def observed(self) -> LeaderView:
        state = cluster(
            self.intent,
            assignments=dict(self.assignments),
            statuses=dict(self.statuses),
            present=dict(self.present),
            rollouts=dict(self.rollouts),
            specs=dict(self.specs),
            stored_specs=frozenset(self.specs),
            disruption=self.disruption,
            document=document(self.intent),
        )
        nodes = tuple(
            node(
                name, "manager" if name == "h1" else "worker", state="down" if name in self.lost else "ready"
            )
            for name in NAMES
        )
        return LeaderView(
            me="h1",
            host=host(swarm=member(of=nodes)),
            cluster=state,
            fence=FENCE,
            lease=True,
            instance="run-h1",
            watches=self.watcher.look(state),
            lost_s=dict(self.lost),
        )

    def carried_out(self, plan: Plan) -> None:
        for step in plan.steps:
            if isinstance(step, PublishAssignment):
                self.assignments[step.host] = step.assignment
                self.specs |= {each.spec_hash: each.spec for each in self.intent.services}
            elif isinstance(step, PublishRollout):
                self.rollouts[step.service] = step.rollout
            elif isinstance(step, WithdrawRollout):
                self.rollouts.pop(step.service, None)

    # ---- what happens

    def report(self) -> None:
        """A host reports its replicas as it should run them, each in some state."""
        name = self.random.choice(NAMES)
        mine = self.assignments[name].replicas if name in self.assignments else ()
        before = {each.key: each for each in self.statuses[name].replicas}
        reports = tuple(
            self._report(each.service, each.slot, each.spec)
            if self.random.random() < 0.4 or each.key not in before
            else before[each.key]
            for each in mine
            if not each.held or self.random.random() < 0.3
        )
        waiting: tuple[Waiting, ...] = ()
        if reports and self.random.random() < 0.2:
            waiting = (Waiting(resource=f"container/{reports[0].name}", reason="for a while"),)
        images = tuple(sorted({each.spec.image for each in self.intent.services}))
        self.statuses[name] = replace(
            self.statuses[name],
            replicas=reports,
            waiting=waiting,
            images=images if self.random.random() < 0.8 else (),
        )

    def settle(self) -> None:
        """Every host reports that all of its replicas run and are healthy."""
        for name, mine in self.assignments.items():
            reports = tuple(
                self._report(each.service, each.slot, each.spec, status="running", health="healthy", error="")
                for each in mine.replicas
                if not each.held
            )
            self.statuses[name] = replace(self.statuses[name], replicas=reports, waiting=())

    def refresh(self) -> None:
        name = self.random.choice(NAMES)
        self.statuses[name] = replace(
            self.statuses[name], at=f"2024-05-01T00:00:{self.random.randrange(60):02}Z"
        )

    def engine(self) -> None:
        name = self.random.choice(NAMES)
        self.statuses[name] = replace(self.statuses[name], engine_up=not self.statuses[name].engine_up)

    def agent(self) -> None:
        name = self.random.choice(NAMES[1:])
        if self.present.pop(name, None) is None:
            self.present[name] = f"run-{name}"
            self.lost.pop(name, None)

    def lose(self) -> None:
        name = self.random.choice(NAMES[1:])
        if name not in self.present:
            self.lost[name] = self.random.choice((10.0, 59.0, 61.0))

    def lose_key(self) -> None:
        self.assignments.pop(self.random.choice(NAMES), None)

    def edit(self) -> None:
        self.revision += 1
        name = self.random.choice(tuple(self.tags))
        self.tags[name] += self.random.random() < 0.6
        self.counts["order"] = self.random.randint(1, 6)
        self.intent = self._intent()

    def drain(self) -> None:
        self.revision += 1
        self.availability[self.random.choice(NAMES)] = self.random.choice(
            ("active", "active", "drain", "pause")
        )
        self.intent = self._intent()

    def disrupt(self) -> None:
        states: tuple[Any, ...] = ("granted", "acquired", "released")
        taken = Disruption(
            host=self.random.choice(NAMES), state=self.random.choice(states), reason="bridge", quorum=True
        )
        self.disruption = taken if self.random.random() < 0.5 else None

    def resign(self) -> None:
        """Another host leads for a moment."""
        self.watcher.look(None)
        self.resigned += 1

    # ----

    def _report(self, service: str, slot: int, spec: str, **more: Any) -> ReplicaReport:
        pick = self.random.choice
        number = pick((slot, slot, slot, slot, 1)) + 20 * len(service)
        made = ReplicaReport(
            service=service,
            slot=slot,
            spec=spec,
            id=f"{service}-{slot}-{pick('ab')}",
            name=f"prod-{service}-{slot}",
            status=pick(STATUSES),
            health=pick(HEALTHS),
            started_at=pick(("", "2024-05-01T00:00:01Z", "2024-05-01T00:00:09Z")),
            addresses=(("net", f"10.20.0.{number}"),),
            error=pick(("", "", "", "Address already in use")),
        )
        return replace(made, **more)

    def _intent(self) -> Intent:
        update = Update(parallelism=1, monitor_s=5.0, failure_action="rollback")
        services = (
            self._service("order", replicas=self.counts["order"], update=update),
            self._service("billing", placement=tuple((name, 1) for name in NAMES), everywhere=True),
            self._service(
                "api", placement=(("h1", 2), ("h2", 1)), depends_on=(("order", "service_healthy"),)
            ),
        )
        made = intent(
            *services,
            hosts=HOSTS,
            revision=self.revision,
            policy=PolicyIntent(reserve_addresses=self.reserves),
        )
        hosts = tuple(replace(each, availability=self.availability[each.name]) for each in made.hosts)
        return replace(made, hosts=hosts)

    def _service(self, name: str, **more: Any) -> ServiceIntent:
        ports = (Port(target=80, published=8080),) if name == "order" and self.ports else ()
        spec = ContainerSpec(
            image=f"{name}:1.{self.tags[name]}", networks=(Attachment(network="net"),), ports=ports
        )
        return ServiceIntent(name=name, spec=spec, **more)


_EVENTS: tuple[Callable[[LeaderHistory], None], ...] = (
    *(LeaderHistory.report,) * 6, *(LeaderHistory.settle,) * 3, LeaderHistory.refresh, LeaderHistory.engine,
    LeaderHistory.agent, LeaderHistory.lose, LeaderHistory.lose_key, LeaderHistory.edit, LeaderHistory.drain,
    LeaderHistory.disrupt, LeaderHistory.resign,
)  # fmt: skip
