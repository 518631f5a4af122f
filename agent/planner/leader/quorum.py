"""Raft arithmetic. An even number of managers tolerates no more failures than the odd number below it."""


def quorum(managers: int) -> int:
    """Return how many of `managers` are the smallest majority. Any two majorities share a manager."""
    return managers // 2 + 1


def tolerated(managers: int) -> int:
    """Return how many of `managers` may fail while the others are still a quorum."""
    return managers - quorum(managers)
