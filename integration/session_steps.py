"""What docs/operate/session.md tells of each step of the session, in its order."""

from collections.abc import Callable
from typing import NamedTuple

from integration.session import (
    BAD,
    BETTER,
    Session,
    ask_all,
    bad_release,
    drain,
    events,
    fault,
    first_document,
    follow_logs,
    healthy,
    host_off,
    look,
    mend_role,
    release,
    roll_back,
    see_why,
    undrain,
    wrong_role,
)
from integration.session_page import Told


class Step(NamedTuple):
    """What is done, and what the page tells of it before the commands."""

    do: Callable[[Session], None]
    told: Told


HEAD = """\
# A session

One day with Swarmkeeper at one terminal. It has a release, logs of all hosts, a bad release and its
rollback, a drained host, and a host without power. At the end, `doctor` finds eight faults.

`script/test --long --record integration/test_session.py` carries out each command on three hosts of
[the lab](../lab.md), checks what it shows, and writes this page. Nothing is invented, shortened or
replaced. The operator is root on node-231, with [ssh to the other hosts](logs.md#how-the-hosts-are-reached).
A command that fails shows its exit code.
"""
STEPS = (
    Step(
        first_document,
        Told(
            "The agents run on three hosts, and etcd has no document yet. The operator writes one and applies it."
            " `apply` shows what would happen and asks. With `--wait` it follows the replicas until they are ready.",
            "The first document",
        ),
    ),
    Step(
        look,
        Told(
            "The first line of `status` says whether all is as declared. `ps` lists the replicas of all hosts."
        ),
    ),
    Step(
        release,
        Told(
            f"The new image of `shop` has the tag {BETTER}. `diff` shows what the file changes. The rollout replaces"
            " one replica at a time, and watches each for 5 s before it goes on ([release a change](release.md)).",
            "A release",
        ),
    ),
    Step(
        ask_all,
        Told(
            "Each host answers with the new version. The replica there has called one of `billing` over the overlay."
        ),
    ),
    Step(
        follow_logs,
        Told(
            "`logs -f` follows the replicas of a service on all hosts, merged by time. It reads those of other hosts"
            " through ssh. Meanwhile each host gets requests from another terminal. Ctrl-C ends the command"
            " ([logs](logs.md)).",
            "Logs of three hosts",
        ),
    ),
    Step(
        bad_release,
        Told(
            f"The program of {BAD} exits at once. `--wait` sees that and ends with 1. One replica is down, and the"
            " rollout replaces no other one.",
            "A bad release",
        ),
    ),
    Step(
        see_why,
        Told(
            "`status` names the rollout first, with the last lines of the replica. `logs` prints them from any host."
        ),
    ),
    Step(
        roll_back,
        Told(
            "`history` has every document and what became of it. `rollback` puts the last one again that was carried"
            " out, as a new revision. The file must follow, or the next `apply` undoes the rollback"
            " ([roll back](roll-back.md)).",
            "A rollback",
        ),
    ),
    Step(
        drain,
        Told(
            "node-233 gets a new disk. `drain` changes one value of the accepted document, and the host becomes"
            " empty. The replica of `billing` moves to another host. That of `shop` stops, because the document"
            " names node-233 for it ([drain a host](drain.md)).",
            "A drained host",
        ),
    ),
    Step(
        undrain,
        Told(
            "After the work, `undrain` changes the value back. The replica of `shop` starts again. The one that moved"
            " stays where it is."
        ),
    ),
    Step(
        host_off,
        Told(
            "node-232 loses its power, and `status` names it as the cause. What only its last report says has a `?`."
            " Then the power is back, and its replicas start again. A second terminal has followed the logs all the"
            " time, and comes last here. It names the host, goes on with the others, and then reads the host again.",
            "A host without power",
        ),
    ),
    Step(
        events,
        Told(
            "The leaders keep what they saw and did ([see what happened](observe.md#see-what-happened)). They write"
            " events at most once in 5 s, and the times are those of the writes.",
            "What happened",
        ),
    ),
    Step(
        healthy,
        Told(
            "`doctor` checks a host and what it needs of others ([check a host](doctor.md)). On a healthy cluster it"
            " shows no warning and no fault. SKIP is what was not looked at. Of the other two hosts, the last line is"
            " enough.",
            "A healthy cluster",
        ),
    ),
    Step(
        fault("closed 7946"),
        Told(
            "Each fault is planted on the running cluster, and taken away before the next one. `doctor` finds it and"
            " nothing else. The commands show warnings and faults alone, with their remedies. First, the firewall"
            " of node-232 drops what comes to 7946/tcp.",
            "Eight faults",
        ),
    ),
    Step(
        fault("closed 4789"),
        Told(
            "Now the firewall drops 4789/udp, the packets of overlays. Nothing on UDP answers a stranger, so only"
            " `--probe` finds it: it runs an image on the overlay for some seconds."
        ),
    ),
    Step(
        fault("live-restore"),
        Told("The dockerd of node-231 has `live-restore`. With it, a dockerd refuses swarms."),
    ),
    Step(
        fault("etcd near quota"),
        Told(
            "The etcd member on node-232 has a small quota. Keys of another program fill more than four fifths of it."
        ),
    ),
    Step(fault("clock"), Told("The agent on node-232 sees a clock that is 90 s ahead.")),
    Step(fault("route"), Told("node-231 has a route that lies within the subnet of docker_gwbridge.")),
    Step(
        fault("wrong password"),
        Told("The registry asks for a password now, and that of node-231 is an old one."),
    ),
    Step(
        wrong_role,
        Told(
            "From now on etcd asks for users, and each host has [its own role](etcd.md#roles). The one of node-233"
            " was printed without `--may-lead`, although this host is a manager."
        ),
    ),
    Step(
        mend_role,
        Told(
            "The operator runs the remedy as etcd's root user. The agent on node-233 notices it without a restart,"
            " and `doctor` is content."
        ),
    ),
)
