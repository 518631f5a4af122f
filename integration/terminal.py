"""An operator's terminal on a host of the lab: what was typed there, and what it showed."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from integration import recorder
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.recorder import Capture

COLUMNS = 100
ENDS_S = 20
_PROMPT = re.compile(r"(?<=\[y/N\]: )")


class Terminal:
    """Command lines are carried out by bash in the home of root; the exit code of a pipe is that of its first failure.

    `captures` are those to keep, in their order.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.captures: list[Capture] = []

    def run(self, line: str, answer: str = "", within_s: float = 300) -> Capture:
        """Carry out a command line and keep nothing. `answer` is typed at the question that it asks."""
        shell = ("bash", "-o", "pipefail", "-c", f"exec 2>&1; cd; {line}")
        done = self.host.exec(*_environment(), *shell, check=False, input=f"{answer}\n", timeout=within_s)
        output = _PROMPT.sub(f"{answer}\n", done.stdout) if answer else done.stdout
        return Capture(command=line, output=output, code=done.returncode)

    def type(self, line: str, *, answer: str = "", code: int = 0, shows: tuple[str, ...] = ()) -> str:
        """Carry out a command line, keep the capture, and return its output.

        AssertionError unless it ends with `code` and its output has every text of `shows`.
        """
        done = self.run(line, answer)
        check(done, code, shows)
        self.captures.append(done)
        return done.output

    def type_until(
        self,
        line: str,
        within_s: float,
        *,
        code: int = 0,
        shows: tuple[str, ...] = (),
        holds: Callable[[str], object] | None = None,
    ) -> str:
        """Do the same again and again until it is so, and keep the last capture. AssertionError after `within_s`.

        `holds` looks at the output too, and raises an AssertionError if something else is wrong with it.
        """

        def look() -> Capture:
            done = self.run(line)
            check(done, code, shows)
            if holds:
                holds(done.output)
            return done

        self.captures.append(eventually(look, within_s, line))
        return self.captures[-1].output

    @contextmanager
    def follow(self, line: str) -> Iterator[Callable[[], str]]:
        """Run a command that goes on until the block ends with Ctrl-C; yields a function of what it has shown.

        Its capture is kept where the block began.
        """
        place = len(self.captures)
        with tempfile.TemporaryDirectory() as folder:
            shown = Path(folder) / "shown"
            with shown.open("wb") as out:
                # What is started in the background by a shell without job control ignores SIGINT.
                argv = (*_environment("--default-signal=INT"), *line.split())
                command = [*self.host.enter_command(), *argv]
                with subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
                    try:
                        yield shown.read_text
                    finally:
                        self.host.exec("pkill", "-INT", "-o", "-f", f"{line}$")
                        process.wait(ENDS_S)
            self.captures.insert(place, Capture(command=line, output=f"{shown.read_text()}^C\n", code=0))


def check(done: Capture, code: int, shows: tuple[str, ...]) -> None:
    """AssertionError unless a command ended with `code` and its output has every text of `shows`."""
    assert done.code == code, f"$ {done.command}\n{done.output}(exit code {done.code}, not {code})"
    words = " ".join(done.output.split())  # a narrow terminal shows a sentence as several lines
    missing = [each for each in shows if each not in words]
    assert not missing, f"$ {done.command}\n{done.output}lacks {missing}"


def _environment(*options: str) -> tuple[str, ...]:
    return ("env", *options, *recorder.PLAIN, f"COLUMNS={COLUMNS}")
