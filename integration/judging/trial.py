"""A batch of random edits and faults; every statement of `status`, pages and metrics in it is judged from outside."""

import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from integration import shown
from integration.cluster import Cluster
from integration.judge.session import Session, Statement, Violation
from integration.judge.verdict import read_document
from integration.judging.draft import Draft
from integration.judging.operations import HOLDS_S, choose
from integration.lab.errors import LabError
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.prometheus import Prometheus

EDITS = 0.45
MEND_EVERY = 8
"""After so many edits and faults the cluster converges, so that statements of a cluster that is well are judged too."""
CONVERGE_S = 240
AFTER_END_S = 3.0
PAGE_S = 1.5


@dataclass(slots=True)
class Outcome:
    """What came of a batch."""

    seed: int
    done: Counter[str] = field(default_factory=Counter)
    statements: int = 0
    judged: int = 0
    broken: int = 0
    converged: int = 0
    down: int = 0
    """Statements during which a service had no replica."""
    silent: int = 0
    """Of those, the ones without any alert, pending or firing: rules average over minutes."""
    latest_s: float = 0.0
    """The longest time after which a statement still said Converged of what a reading contradicted by then."""
    latest_of: str = ""
    violations: list[Violation] = field(default_factory=list)
    never_mended: list[str] = field(default_factory=list)

    def add(self, session: Session, name: str = "") -> None:
        judged = session.judged()
        self.statements += len(session.statements)
        self.judged += len(judged)
        self.broken += sum(bool(broken) for _, broken, _ in judged)
        self.converged += sum(each.says_converged for each, _, _ in judged)
        self.down += sum(bool(down) for _, _, down in judged)
        self.silent += sum(bool(down) and each.alerts == 0 for each, _, down in judged)
        if name and (noticed_s := session.noticed_s()) > self.latest_s:
            self.latest_s, self.latest_of = noticed_s, name
        found = session.violations()
        self.violations += found
        for each in found:
            print(f"VIOLATION: {each}", flush=True)

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.done.total()} edits and faults, {self.statements} statements",
            f"judged: {self.judged}, {self.broken} while broken, {self.converged} that said Converged",
            f"while a service was down: {self.down}, {self.silent} before any alert was pending",
            f"latest Converged after a fault: {self.latest_s:.1f} s ({self.latest_of or 'none'})",
            *(f"  {number} x {name}" for name, number in sorted(self.done.items())),
            f"violations: {len(self.violations) or 'none'}",
            *(f"  {each}" for each in self.violations),
            *(f"never converged again: {each}" for each in self.never_mended),
        ]
        return "\n".join(lines)


class Trial:
    """Edits and faults on a cluster that is converged; it is converged again after `run`."""

    def __init__(self, cluster: Cluster, seed: int, prometheus: Prometheus | None = None) -> None:
        self._cluster, self._prometheus = cluster, prometheus
        self._chance = random.Random(seed)
        self._draft = Draft()
        self._text = self._draft.text()
        self.outcome = Outcome(seed=seed)

    def run(self, number: int) -> Outcome:
        """Do so many edits and faults."""
        self._cluster.lab.push("order", "bad", {"PORT": "none"})
        self._put()
        self._mended()
        for turn in range(1, number + 1):
            if self._chance.random() < EDITS:
                self._edit()
            else:
                self._fault()
            if turn % MEND_EVERY == 0 or turn == number:
                self._draft.mend()
                self._put()
                self._mended()
        return self.outcome

    def _put(self) -> None:
        self._text = self._draft.text()
        self._cluster.put(self._text)

    def _session(self, notice_s: float = 0.0) -> Session:
        return Session(
            wanted=read_document(self._text), hosts=list(self._cluster.lab.hosts), notice_s=notice_s
        )

    def _edit(self) -> None:
        what = self._draft.change(self._chance)
        asked = self._chance.choice(self._cluster.lab.hosts)
        self._put()
        session = self._session()
        session.collect(lambda: self._statement(asked, readiness=False), self._chance.uniform(*HOLDS_S))
        self._done(f"edit {what}", session)

    def _fault(self) -> None:
        operation = choose(self._chance)
        host, asked = self._chance.sample(self._cluster.lab.hosts, 2)
        self._cluster.operator = asked
        session = self._session(operation.notice_s)
        for_s = operation.notice_s + self._chance.uniform(*HOLDS_S)
        try:
            operation.begin(host, asked, self._chance)
            session.collect(lambda: self._statement(asked), for_s)
        finally:
            operation.end(host, asked, self._chance)
        session.collect(lambda: self._statement(asked), AFTER_END_S)
        self._cluster.operator = None
        self._done(operation.name, session)

    def _done(self, name: str, session: Session) -> None:
        self.outcome.done[name.partition(":")[0]] += 1
        self.outcome.add(session, name)
        print(f"{self.outcome.done.total():3} {name}: {session.statements[-1].first_line}", flush=True)

    def _statement(self, asked: Host, *, readiness: bool = True) -> Statement:
        """Ask every witness. With `readiness` false not /readyz: a host that carries out an edit is ready meanwhile."""
        began = time.monotonic()
        calls_well = {}
        for host in self._cluster.lab.hosts:
            with suppress(OSError, LabError):
                if self._cluster.metrics(host, PAGE_S).get(shown.HELD) == 1.0:
                    calls_well[f"metric of {host.name}"] = ""
            with suppress(OSError, LabError):
                page = f"http://{host.address}:9477/readyz"
                if readiness and self._cluster.lab.lan.http_get(page, PAGE_S).status == 200:
                    calls_well[f"readyz of {host.name}"] = host.name
        alerts = None
        if self._prometheus:
            alerts = sum(len(self._prometheus.alerts(state)) for state in ("pending", "firing"))
        says_converged, first_line = _asked(asked)
        return Statement(
            began=began,
            ended=time.monotonic(),
            says_converged=says_converged,
            calls_well=calls_well,
            alerts=alerts,
            first_line=first_line,
        )

    def _mended(self) -> None:
        """Wait for Converged as an operator does, and judge the statement that says so."""
        try:
            eventually(self._is_converged, CONVERGE_S, "status says converged")
        except AssertionError as error:
            self.outcome.never_mended.append(str(error))
            print(f"NEVER CONVERGED: {error}", flush=True)
            return
        session = self._session()
        session.collect(lambda: self._statement(self._cluster.lab.hosts[0]), 0.0)
        self.outcome.add(session)

    def _is_converged(self) -> None:
        for host in self._cluster.lab.hosts:
            self._cluster.heed(host)
        says_converged, first_line = _asked(self._cluster.lab.hosts[0])
        assert says_converged, first_line


def _asked(host: Host) -> tuple[bool, str]:
    """(Converged, the first line) by the command on a host; (False, the error) if it cannot tell."""
    try:
        done = host.exec("swarmkeeper", *shown.JSON, check=False, timeout=30)
        conditions = json.loads(done.stdout)
        return bool(conditions["converged"]), str(
            conditions["cluster"]["text"] or conditions["cluster"]["state"]
        )
    except (LabError, ValueError, LookupError) as error:
        return False, f"no statement: {error}"[:200]
