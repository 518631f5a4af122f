"""How soon agents and swarm miss what is gone: as shipped, and shorter for scenarios that measure something else.

The normal run of the lab uses QUICK, the long mode DEFAULT: what docs/reliability.md and the other pages tell was
measured with the defaults. A scenario marked `default_timings` has them in both.
"""

import os
from dataclasses import dataclass

from agent.config import ReconcileSettings
from agent.model.intent import Update
from agent.model.store import SessionSettings

SESSION, RESYNC_S, MONITOR_S = SessionSettings(), ReconcileSettings().resync_s, Update().monitor_s
DOCKERS_HEARTBEAT_S = 5
"""The swarm calls a node down when three of its heartbeats are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The ones that decide how long a scenario waits until somebody has noticed something."""

    session: SessionSettings = SESSION
    resync_s: float = RESYNC_S
    heartbeat_s: int = DOCKERS_HEARTBEAT_S
    """Of the swarm's nodes: `docker swarm update --dispatcher-heartbeat`. No agent changes what an operator has set."""
    monitor_s: float = MONITOR_S
    """For so long a replica of the example that was moved has to be well before the next one is."""

    def agent_yaml(self) -> str:
        """The sections of agent.yaml that say so; empty for the defaults, which need none."""
        if self == DEFAULT:
            return ""
        session = self.session
        return (
            f"session: {{ttl: {session.ttl_s:g}s, interval: {session.interval_s:g}s, "
            f"timeout: {session.timeout_s:g}s, margin: {session.margin_s:g}s}}\n"
            f"reconcile: {{resync: {self.resync_s:g}s}}\n"
        )

    def rolled_out_by(self, document: str) -> str:
        """The example document with this `monitor` for every service; as it is for the default."""
        if self.monitor_s == DEFAULT.monitor_s:
            return document
        common = "restart: always\n"
        assert document.count(f"  {common}") == 1, (
            "the example's services do not share their options any more"
        )
        return document.replace(
            common, f"{common}  deploy: {{update_config: {{monitor: {self.monitor_s:g}s}}}}\n"
        )


DEFAULT = Timings()
QUICK = Timings(
    session=SessionSettings(ttl_s=8.0, interval_s=1.0, timeout_s=1.0, margin_s=1.0),
    resync_s=10.0,
    heartbeat_s=2,
    monitor_s=1.0,
)
TIMINGS = DEFAULT if os.environ.get("SWARMKEEPER_LONG") else QUICK
"""Of this run."""
