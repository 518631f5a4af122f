"""How a command ends that fails: one clear line and an exit code; a traceback only for who asks."""

from typing import Any

import typer
from typer.core import TyperGroup

from agent.errors import SwarmkeeperError, Unreachable
from agent.yamldoc.words import printable

REFUSED = 1
UNREACHABLE = 3


class Group(TyperGroup):
    """The commands, with errors of the tree in agent/errors.py turned into exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read the output has seen enough: typer ends quietly
        except (SwarmkeeperError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            said = "\n".join(map(printable, str(error).split("\n")))  # some name one fault on each line
            typer.secho(f"swarmkeeper: {said}", fg="red", err=True)
            raise typer.Exit(UNREACHABLE if isinstance(error, Unreachable) else REFUSED) from error
