"""What can be told of a host that did not come up: the end of its console, and what its systemd is about."""

from collections.abc import Callable, Sequence
from pathlib import Path

from integration.lab.errors import LabError

SWITCHED_ON = "-- switched on"
"""How the line begins that separates the boots of a console."""
LINES, WIDTH = 15, 300
JOURNAL_LINES = 5

Ask = Callable[..., str]
"""Runs a program in the host and returns what it said; LabError if there is no answer in time."""


def console_end(console: Path) -> str:
    """The last lines that the console had since the host was switched on, or that there were none."""
    if not console.exists():
        return f"it has no console: {console} does not exist"
    boot = console.read_text(errors="replace").rpartition(SWITCHED_ON)[2]
    lines = [line[:WIDTH] for line in boot.splitlines()[1:] if line.strip()]
    if not lines:
        return f"its console is empty since it was switched on ({console})"
    return "\n  ".join([f"last lines of its console ({console}):", *lines[-LINES:]])


def state_of_units(ask: Ask, wanted: Sequence[str]) -> str:
    """The state of the host's systemd: which of its services do not run, what failed, what it still waits for."""
    try:
        return "\n  ".join(_units(ask, wanted))
    except LabError as error:
        return f"its systemd does not answer: {error}"


def _units(ask: Ask, wanted: Sequence[str]) -> list[str]:
    plain = ("--plain", "--no-legend", "--full", "--no-pager")
    state = ask("systemctl", "is-system-running").strip() or "out of reach"
    active = zip(wanted, ask("systemctl", "is-active", *wanted).split(), strict=False)
    idle = [f"{unit} ({how})" for unit, how in active if how != "active"]
    failed = [line.split()[0] for line in ask("systemctl", "list-units", "--failed", *plain).splitlines()]
    jobs = [" ".join(line.split()[1:]) for line in ask("systemctl", "list-jobs", *plain).splitlines()]
    lists = {"not active": idle, "failed": failed, "jobs": jobs}
    said = [
        f"its systemd is {state}; " + "; ".join(f"{n}: {', '.join(u) or 'none'}" for n, u in lists.items())
    ]
    for unit in failed:
        lines = ("--boot", "--output=cat", f"--lines={JOURNAL_LINES}", f"--unit={unit}")
        log = ask("journalctl", "--no-pager", "--quiet", *lines)
        said += [f"{unit}: {line[:WIDTH]}" for line in log.splitlines()]
    return said
