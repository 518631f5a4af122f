"""Raft arithmetic: quorum(n) = n // 2 + 1; tolerated(n) = n - quorum(n); tolerated(2 * k) = tolerated(2 * k - 1)."""


def quorum(managers: int) -> int:
    """Return the smallest majority of so many managers; two majorities always share a manager."""
    return managers // 2 + 1


def tolerated(managers: int) -> int:
    """Return how many managers may fail."""
    return managers - quorum(managers)
