"""Tells what the loop does: status key, metrics, log, systemd, and the pages of the HTTP server."""

from agent.report.drift import Drift, find_drift
from agent.report.key import NewestWins
from agent.report.reporter import Decisions, Reporter
from agent.report.status import host_status

__all__ = ["Decisions", "Drift", "NewestWins", "Reporter", "find_drift", "host_status"]
