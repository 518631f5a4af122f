"""A reporter with all that it speaks to, and what came of it."""

from functools import partial

from prometheus_client.parser import text_string_to_metric_families

from agent.daemon.wiring import DECISIONS
from agent.model.keys import Keys
from agent.model.observed import Observed
from agent.model.plan import Failure
from agent.model.records import decode
from agent.model.status import HostStatus
from agent.model.store import KeyRange
from agent.planner import make_plan
from agent.report import EventKey, Reporter, StatusKey
from agent.report.registry import Metrics
from tests.fakes.store import FakeClock, FakeEtcd, FakeStore

KEYS = Keys("prod")
STATUS_KEY = KEYS.status("node-a")


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(FakeEtcd(self.clock))
        self.metrics = Metrics(version="1.0")
        self.notified: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.reporter = Reporter(
            StatusKey(
                self.store,
                KEYS.status("node-a"),
                self.clock,
                partial(self.metrics.count, "status_write_failures_total"),
            ),
            self.metrics,
            DECISIONS,
            version="1.0",
            clock=self.clock,
            now=self.clock,
            notify=self._notify,
            events=EventKey(self.store, KEYS.events, self.clock, self.clock),
        )

    def _notify(self, *fields: str) -> bool:
        self.notified += fields
        return True

    def passed(self, seen: Observed, failures: dict[str, Failure] | None = None) -> None:
        plan = make_plan(seen)
        self.reporter.passed(seen, plan, in_flight=(), failures=failures or {})
        self.clock.advance(1.0)

    def status(self) -> HostStatus | None:
        found = self.store.read([KeyRange(key=STATUS_KEY)]).get(STATUS_KEY)
        return decode(HostStatus, found.value) if found else None

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one series, as Prometheus would scrape it."""
        for family in text_string_to_metric_families(self.metrics.exposition().decode()):
            for sample in family.samples:
                if sample.name == f"swarmkeeper_{name}" and sample.labels == labels:
                    return sample.value
        return None
