"""Differences between the desired and the observed state. Pure: the planner decides on them, the report counts them."""
