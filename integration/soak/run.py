"""One soak: faults and edits by the seed, one after the other, each healed and recovered from before the next."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from integration.artifacts import leave_artifacts
from integration.cluster import DUPLICATE_ADDRESS, Cluster
from integration.journals import check_journals
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.programs import REPOSITORY
from integration.soak import edits
from integration.soak.client import Client, Seen
from integration.soak.faults import Fault, choose
from integration.soak.history import faults_in, read_history
from integration.soak.watch import FOREIGN, Watch, look, service_of

ARTIFACTS = REPOSITORY / "build" / "artifacts"
FIRST_S = 240
RECOVERS_S = 240
"""dockerd's own waits after a kill, and a retry after the longest back-off, both."""
SETTLES_S = 3.0
EDIT_EVERY_S = 60.0
PAUSE_S = (1.0, 6.0)
LOOK_S = 15.0
"""The longest that a look may take on the average; on two busy cores, with hosts that do not answer, it is 3 to 7 s."""
PAUSED = "paused: "
CURE = "systemctl restart docker"
IMAGE = "10.159.62.231/somecom/order:1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One fault. Times are in seconds since the soak began."""

    at: float
    name: str
    healed: float
    recovered: float | None
    """None: not within RECOVERS_S."""

    def __str__(self) -> str:
        told = f"well {self.recovered - self.healed:.1f} s later" if self.recovered else "NEVER WELL AGAIN"
        return f"{self.at:7.1f} s  {self.name}, for {self.healed - self.at:.1f} s: {told}"


@dataclass(slots=True)
class Outcome:
    """What came of a soak."""

    seed: int
    minutes: float
    faults: list[Happened] = field(default_factory=list)
    edits: int = 0
    cures: int = 0
    """What was done by hand, because an agent said that only this helps."""
    looks: int = 0
    seen: Seen = field(default_factory=Seen)
    began: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def slowest(self) -> Happened | None:
        known = [each for each in self.faults if each.recovered]
        return max(known, key=lambda each: (each.recovered or 0) - each.healed, default=None)

    def during(self, moment: float) -> str:
        """Which fault there was at a moment of the monotonic clock, or before it."""
        before = [each for each in self.faults if each.at <= moment - self.began + 1]
        return before[-1].name if before else "no fault"

    def __str__(self) -> str:
        worst = self.seen.worst
        happened = f"{len(self.faults)} faults and {self.edits} edits in {self.minutes:g} minutes"
        lines = [
            f"seed {self.seed}: {happened}, {self.looks} looks at all hosts, {self.cures} cures by hand",
            f"client: {self.seen}",
            f"worst gap: {worst.seconds:.1f} s, {worst.began - self.began:.0f} s in ({self.during(worst.began)})"
            if worst
            else "worst gap: less than 1 s",
            f"slowest recovery: {self.slowest}",
            f"violations: {len(self.violations) or 'none'}",
            *(f"  {each}" for each in self.violations),
        ]
        if self.violations:
            lines.append(f"again: script/soak --minutes {self.minutes:g} --seed {self.seed}")
        return "\n".join(lines)


class Soak:
    """Runs on a lab whose hosts are up and empty."""

    def __init__(self, lab: Lab, minutes: float, seed: int) -> None:
        self._cluster, self._chance = Cluster(lab), random.Random(seed)
        self._operators_chance = random.Random(f"edits {seed}")
        self._outcome = Outcome(seed=seed, minutes=minutes)
        self._document = edits.Document()
        self._revision = 0
        self._edited_at = 0.0
        self._watch = Watch(lab, self._violated)

    def run(self) -> Outcome:
        """Do it all; what must not be is in the outcome's `violations`, nothing is raised for it."""
        self._outcome.began = time.monotonic()
        self._begin()
        lab, outcome = self._cluster.lab, self._outcome
        client = Client(lab.lan, [lab[name].address for name in edits.API])
        with ExitStack() as stack:
            outcome.began = self._edited_at = time.monotonic()
            stack.enter_context(client)
            stack.enter_context(self._watch)
            while time.monotonic() - outcome.began < outcome.minutes * 60 and self._next():
                time.sleep(self._chance.uniform(*PAUSE_S))
            self._check_watch()
        self._cluster.operator = None
        outcome.seen = client.seen
        for each in faults_in(read_history(self._cluster)):
            self._violated(each)
        try:
            check_journals(lab)
        except AssertionError as error:
            self._violated(str(error))
        return outcome

    def _begin(self) -> None:
        cluster = self._cluster
        cluster.install_and_start()
        self._revision = cluster.put(self._document.text())
        eventually(self._well, FIRST_S, "the first boot converges")
        cluster.on_every_host(plant)

    def _now(self) -> float:
        return time.monotonic() - self._outcome.began

    def _check_watch(self) -> None:
        """A soak at which nobody has looked proves nothing."""
        self._outcome.looks = self._watch.looks
        if not self._watch.is_alive:
            self._violated("the watch has ended before the soak")
        if self._watch.looks < self._now() / LOOK_S:
            self._violated(f"only {self._watch.looks} looks at the hosts in {self._now():.0f} s")

    def _violated(self, text: str) -> None:
        self._outcome.violations.append(f"{self._now():.0f} s: {text}")
        print(f"{self._now():7.1f} s  VIOLATED: {text}", flush=True)
        if len(self._outcome.violations) > 1:
            return
        try:
            leave_artifacts(self._cluster.lab, ARTIFACTS / f"soak-{self._outcome.seed}")
        except Exception as error:  # nothing may hide what was found, or end the watch
            print(f"         no artifacts of it: {error!r}", flush=True)

    def _next(self) -> bool:
        """One fault, and an edit when it is time for one. Returns whether the cluster is well again."""
        fault, host, other = choose(self._chance, self._cluster)
        at, name = self._now(), f"{host.name} {fault.name}"
        with self._bring_about(fault, host, other):
            if time.monotonic() - self._edited_at >= EDIT_EVERY_S:
                name += f" while {self._edit()} is edited"
            time.sleep(self._chance.uniform(*fault.holds_s))
        healed = self._now()
        try:
            if fault.puts:
                self._revision = self._cluster.newest()
            eventually(self._well, RECOVERS_S, "all converges")
            recovered = self._now()
            # What the agents said may have been from before the fault: it has to be so for a while.
            time.sleep(SETTLES_S)
            eventually(self._well, RECOVERS_S, "all stays converged")
            eventually(self._watch.rebase, RECOVERS_S, "every replica runs")
        except AssertionError as error:
            self._violated(f"after {name}: {error}")
            recovered = None
        happened = Happened(at=at, name=name, healed=healed, recovered=recovered)
        self._outcome.faults.append(happened)
        print(happened, flush=True)
        return recovered is not None

    @contextmanager
    def _bring_about(self, fault: Fault, host: Host, other: Host) -> Iterator[None]:
        if fault.stops_replicas:
            self._watch.excuses.hosts.add(host.name)
        self._cluster.operator = other
        try:
            fault.begin(host, other)
            yield
        finally:
            fault.end(host, other)

    def _edit(self) -> str:
        what, services = self._document.change(self._operators_chance)
        self._watch.excuses.services |= services
        self._revision = self._cluster.put(self._document.text())
        self._edited_at = time.monotonic()
        self._outcome.edits += 1
        return what

    def _well(self) -> None:
        """AssertionError unless every host has carried out the document. Does what an operator is told to do."""
        try:
            for host in self._cluster.lab.hosts:
                self._cure(host)
                self._cluster.heed(host)
                self._cluster.check_converged(host, self._revision)
            assert all(look(host) for host in self._cluster.lab.hosts), "a dockerd does not answer"
        except LabError as error:
            raise OSError(str(error)) from error

    def _cure(self, host: Host) -> None:
        for each in (self._cluster.get(f"hosts/{host.name}/status") or {}).get("blocked", ()):
            if CURE in each["reason"]:
                self._told(f"{host.name}: dockerd is restarted, as its agent says: {each['reason']}")
                self._watch.excuses.hosts.add(host.name)
                host.restart_dockerd()
            if DUPLICATE_ADDRESS in each["reason"]:
                # Its host makes the replica again by itself, once it is sure.
                self._watch.excuses.services.add(service_of(each["resource"].partition("/")[2]))
            if each["kind"] == "rollout" and PAUSED in each["reason"]:
                self._tried_again(each["resource"].partition("/")[2], each["reason"])

    def _tried_again(self, service: str, why: str) -> None:
        """A rollout pauses when a replica that it has just moved ends.

        That may happen only where something stopped replicas.
        """
        if not self._watch.excuses.hosts:
            self._violated(
                f"the rollout of {service} is paused although nothing has stopped a replica: {why}"
            )
        self._told(f"the rollout of {service} is tried again: {why}")
        self._cluster.delete(f"rollouts/{service}")

    def _told(self, text: str) -> None:
        print(f"{self._now():7.1f} s  {text}", flush=True)
        self._outcome.cures += 1


def plant(host: Host) -> None:
    """Put things on a host that are not ours, as its owner may."""
    run = partial(host.exec, "docker")
    run("network", "create", "--subnet", "192.168.77.0/24", FOREIGN)
    run("volume", "create", FOREIGN)
    run(
        "run",
        "--detach",
        "--restart=always",
        f"--name={FOREIGN}",
        f"--network={FOREIGN}",
        f"--volume={FOREIGN}:/data",
        IMAGE,
    )
