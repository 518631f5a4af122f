"""A day at one terminal, from the first document to eight faults that doctor finds: docs/operate/session.md."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration import session_page
from integration.conftest import LONG_ONLY, session_name
from integration.guarded import PASSWORD
from integration.journals import check_journals
from integration.lab.lab import Lab
from integration.session import BAD, BETTER, DOCUMENT, STATION, Session, SessionCluster
from integration.session_steps import HEAD, STEPS
from integration.ssh_server import serve_ssh
from integration.terminal import Terminal
from integration.timings import DEFAULT

pytestmark = LONG_ONLY


@pytest.fixture
def session() -> Iterator[Session]:
    """Three hosts with agents that have no document yet; the operator's file, and ssh to all hosts."""
    lab = Lab(session_name("-session"))
    cluster = SessionCluster(lab, timings=DEFAULT)
    try:
        lab.up()
        cluster.install_and_start()
        station = lab[STATION]
        serve_ssh(lab, station)
        station.write("/root/shop.yaml", DOCUMENT)
        lab.push("order", BETTER)
        lab.push("order", BAD, {"PORT": "none"})
        session = Session(cluster, Terminal(station))
        with session.undo:
            yield session
        check_journals(lab)
    finally:
        lab.down()


@pytest.mark.timeout(1200)
def test_a_day_at_one_terminal(session: Session) -> None:
    terminal, captures = session.terminal, []
    for step in STEPS:
        print(f"\n{step.told.title}\n{step.told.text}")
        before = len(terminal.captures)
        step.do(session)
        captures.append(terminal.captures[before:])
        print(*(f"$ {each.command}\n{each.output}" for each in captures[-1]), sep="\n")
    told = [step.told for step in STEPS]
    written = session_page.page(HEAD, told, captures)
    for unwanted in ("\x1b", PASSWORD, "of-the-past", "SWMTKN", "SWMKEY", str(Path.home()), "/var/tmp"):
        assert unwanted not in written
    session_page.write(HEAD, told, captures)
