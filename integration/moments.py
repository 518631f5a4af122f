"""Doing something to a host at the very moment its agent begins a step, which no look from outside would hit."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from integration.lab.host import Host
from integration.lab.lab import Lab

WITHIN_S = 300
_SCRIPT = """\
agent=$(systemctl show --property=MainPID --value swarmkeeper)
dockerd=$(systemctl show --property=MainPID --value docker)
exec 3< <(exec timeout $3 journalctl --follow --since "$(date '+%F %T.%N')" --output=cat --unit=swarmkeeper)
follower=$!
echo ready
grep --max-count=1 --fixed-strings -- "$1" <&3 >/dev/null || exit 1
eval "$2" >/dev/null
echo happened
kill $follower
"""


class Moment:
    """What is to happen to a host, and whether it did."""

    def __init__(self, waiting: subprocess.Popen[str]) -> None:
        self._waiting, self._happened = waiting, False

    def happens(self) -> None:
        """Return when it has happened. AssertionError if the step never began."""
        if self._happened:
            return
        told, said = self._waiting.communicate(timeout=WITHIN_S + 30)
        assert told == "happened\n", f"{told} {said}"
        self._happened = True


@contextmanager
def when(lab: Lab, host: Host, line: str, then: str) -> Iterator[Moment]:
    """Run `then` once, as bash in the host, when the agent's journal gets a line that contains `line`.

    There `$agent` and `$dockerd` are their process ids. At the end of the block it must have happened.
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = (*host.enter_command(), "bash", "-c", _SCRIPT, "-", line, then, str(WITHIN_S))
    with lab.lan.popen(*command, **pipes) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "ready\n"
        moment = Moment(waiting)
        yield moment
        moment.happens()
