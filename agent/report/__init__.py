"""Tells what the loop does: status key, metrics, log, systemd, and the pages of the HTTP server.

A metric has a row in definitions.py, and is set in gauges.py if it shows a state, counted in counters.py if it grows.
"""

from agent.report.drift import Drift, find_drift
from agent.report.registry import Metrics
from agent.report.reporter import Decisions, LatestOnly, Reporter, at_once
from agent.report.status import host_status

__all__ = ["Decisions", "Drift", "LatestOnly", "Metrics", "Reporter", "at_once", "find_drift", "host_status"]
