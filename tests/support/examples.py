"""The Compose files of deploy/examples, each with the hosts that all of them share."""

from pathlib import Path

from agent.compose import compile_project, load

FOLDER = Path(__file__).parents[2] / "deploy/examples"
HOSTS = FOLDER / "hosts.yaml"
"""What `swarmkeeper init` prints for the hosts."""
STACKS = sorted(path.parent.name for path in FOLDER.glob("*/compose.yaml"))


def files_of(stack: str) -> tuple[Path, Path]:
    """What an operator names with `-f`."""
    return FOLDER / stack / "compose.yaml", HOSTS


def compiled(stack: str) -> str:
    """The document that `swarmkeeper compile` makes of an example, without any variable."""
    return compile_project(load(files_of(stack), (), {})).text
