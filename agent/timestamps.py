"""How a moment is written down for people, in etcd and on every page."""

from datetime import UTC, datetime


def timestamp(at_s: float) -> str:
    """Give `at_s`, in seconds since the epoch, as RFC 3339: in UTC, without fractions."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
