"""The agents' journals are read before a lab is thrown away: at debug level, too, they tell no token and no key."""

import re
from concurrent.futures import ThreadPoolExecutor

from integration.artifacts import leave_artifacts
from integration.cluster import UNIT
from integration.lab.host import Host
from integration.lab.lab import Lab
from integration.lab.programs import REPOSITORY

SECRET = re.compile(r"SWM(?:TKN|KEY)-1")
"""How every join token and unlock key of a swarm begins."""
SHOWN, WIDTH = 5, 300
READ_S = 30.0


def renew(lab: Lab) -> None:
    """`Lab.renew`, after a look at what it throws away. AssertionError as `check_journals`, when it is renewed."""
    try:
        check_journals(lab)
    finally:
        lab.renew()


def check_journals(lab: Lab) -> None:
    """AssertionError if an agent's journal of any boot tells a token or a key; then the artifacts are left.

    Hosts that are off are not looked at.
    """
    if not lab.hosts:
        return
    with ThreadPoolExecutor(len(lab.hosts)) as pool:
        read = dict(zip((host.name for host in lab.hosts), pool.map(journal, lab.hosts), strict=True))
    found = [f"{name}: {line}" for name, text in read.items() for line in telling(text)]
    if found:
        folder = REPOSITORY / "build" / "artifacts" / f"journals-{lab.name}"
        leave_artifacts(lab, folder)
        raise AssertionError(
            f"in {len(found)} lines of the agents' journals, since the lab was renewed, there is a join token or an "
            f"unlock key; whole journals, with times: {folder}\n" + "\n".join(found[:SHOWN])
        )


def journal(host: Host) -> str:
    """All that the host's agent has logged; nothing for a host that is off."""
    command = ("journalctl", "--no-pager", "--quiet", "--all", "--output=cat", f"--unit={UNIT}")
    return host.exec(*command, timeout=READ_S).stdout if host.is_up else ""


def telling(text: str) -> list[str]:
    """The lines, cut short, that hold a token or a key."""
    return [line[:WIDTH] for line in text.splitlines() if SECRET.search(line)] if "SWM" in text else []
