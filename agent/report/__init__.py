"""The report of the loop: status key, metrics, log, systemd, and the pages of the HTTP server.

Each metric has a row in definitions.py. gauges.py sets the gauges; counters.py increases the counters.
"""

from agent.report.events import EventKey
from agent.report.registry import Metrics
from agent.report.reporter import Decisions, Reporter
from agent.report.status_key import LatestOnly, StatusKey, run_inline

__all__ = ["Decisions", "EventKey", "LatestOnly", "Metrics", "Reporter", "StatusKey", "run_inline"]
