"""What to do: pure functions from what was observed to a plan. No I/O, no clock, no logging, no randomness."""

from agent.planner.plan import make_plan

__all__ = ["make_plan"]
