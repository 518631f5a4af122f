"""Scenarios on real hosts, and the lab they run on."""
