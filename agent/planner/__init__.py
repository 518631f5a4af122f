"""Pure functions from the observed state to a plan: no I/O, no clock, no logging, no randomness."""

from agent.planner.plan import make_plan

__all__ = ["make_plan"]
