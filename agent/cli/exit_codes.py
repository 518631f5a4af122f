"""The exit codes. A command that fails prints its error and returns one; only --debug prints a traceback."""

import os
from typing import Any

import typer
from typer.core import TyperGroup

from agent.errors import SwarmkeeperError, Unreachable

REFUSED = 1
UNREACHABLE = 3
CHANGES = 4
"""Of `plan --exit-code`, if the plan has steps."""
HELD = 5
"""And if it has none, but something is blocked or waits."""
USAGE = 64
"""EX_USAGE of sysexits.h. 2, which typer uses, is CRITICAL for a Nagios plugin such as `status --check`."""

EXIT_CODES = (
    "Exit codes: 0 success. 1 invalid, refused, changed by another operator, not ready after `apply --wait`, or a FAIL"
    " of `doctor`."
    " 3 no answer from etcd or a host, or none in time. With `plan --exit-code`, 4 there is something to do, 5 there is"
    " nothing to do, but something is blocked or waits."
    " 64 wrong usage. 78 faulty configuration (only `run`: systemd does not restart it). 130 Ctrl-C ended a wait of"
    " `apply`."
    " `status --check` has those of a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."
)

# The base of every error of the usage; typer exports only its subclass.
typer.BadParameter.mro()[1].exit_code = USAGE  # type: ignore[attr-defined]


class Group(TyperGroup):
    """The group of all commands; it turns the errors of agent/errors.py into exit codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False  # of all that typer.echo prints; rich reads the variable itself
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader closed the pipe, as head(1) does: typer ends without a message
        except (SwarmkeeperError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            from agent.yamldoc.faultlist import printable  # noqa: PLC0415 - it loads yaml

            message = "\n".join(map(printable, str(error).split("\n")))  # some errors list one fault per line
            typer.secho(f"swarmkeeper: {message}", fg="red", err=True)
            raise typer.Exit(UNREACHABLE if isinstance(error, Unreachable) else REFUSED) from error
