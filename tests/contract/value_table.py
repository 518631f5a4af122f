"""The table of docs/values.md: `python -m tests.contract.value_table` tries every value of every key and writes it."""

import collections
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.contract.value_cases import KINDS, Kind, keys, values_of
from tests.contract.value_trials import GOOD, Outcome, Trials
from tests.support import docker_daemon
from tests.support.docker_daemon import DockerDaemon

PAGE = Path(__file__).parents[2] / "docs/values.md"
_OF_IMAGES = ("command", "entrypoint", "user", "working_dir", "stop_signal", "hostname")
IMAGES_OWN = tuple(f"services.*.{each}" for each in _OF_IMAGES)
"""Keys of which the image may have a value: a zero value must replace it, or be refused."""
_BEGIN = "<!-- made by python -m tests.contract.value_table -->\n"

Tried = tuple[Kind, str, Outcome, str]


def tried(trials: Trials, key: str) -> list[Tried]:
    """Return each value of the key with what became of it."""
    return [(kind, written, *trials.of(key, written)) for kind, written in values_of(key)]


def row(key: str, found: list[Tried]) -> str:
    """Return the row of the key: how many values of each kind had which outcome."""
    return f"| `{key}` | {' | '.join(_cell(kind, found) for kind in KINDS)} |"


def _cell(kind: Kind, found: list[Tried]) -> str:
    counts = collections.Counter(outcome for each, _, outcome, _ in found if each == kind)
    return ", ".join(f"{counts[each]} {each}" for each in (*GOOD, "never", "lost", "drift") if counts[each])


def rows_of(page: str) -> Mapping[str, str]:
    """Return the rows of the page by key."""
    return {
        line.split("`")[1]: line for line in page.partition(_BEGIN)[2].splitlines() if line.startswith("| `")
    }


def _lines(trials: Trials) -> Iterator[str]:
    yield f"| key | {' | '.join(KINDS)} |"
    yield "|---" * (len(KINDS) + 1) + "|"
    for key in keys():
        found = tried(trials, key)
        for kind, written, outcome, text in found:
            if outcome not in ("refused", "taken"):
                sys.stderr.write(f"{outcome:10} {kind:12} {key}: {written[:60]}  {text[:200]}\n")
        yield row(key, found)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        docker_daemon.running(DockerDaemon(Path(directory) / "dockerd")) as daemon,
    ):
        docker_daemon.load_images(daemon)
        trials = Trials(daemon)
        try:
            table = "\n".join(_lines(trials))
        finally:
            trials.close()
    PAGE.write_text(f"{PAGE.read_text().partition(_BEGIN)[0]}{_BEGIN}{table}\n")


if __name__ == "__main__":
    main()
