"""What is measured: each metric's definition, its label values, and what a pass sets it to."""

from agent.metrics.registry import Metrics

__all__ = ["Metrics"]
