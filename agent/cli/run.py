"""`run`: the daemon."""

from pathlib import Path

import typer

from agent.config import load_config
from agent.daemon import main
from agent.errors import Invalid, SwarmkeeperError

FAILED = 1
FAULTY_CONFIG = 78
"""EX_CONFIG of sysexits.h: the unit names it in RestartPreventExitStatus=."""


def run_agent(config: Path) -> int:
    """Run the agent until it is told to end, which ends the process; returns the exit code when it cannot begin."""
    try:
        loaded = load_config(config)
    except Invalid as error:
        typer.secho(f"swarmkeeper: {error}", err=True)
        return FAULTY_CONFIG
    try:
        main.run(loaded)
    except SwarmkeeperError as error:
        typer.secho(f"swarmkeeper: {error}", err=True)
        return FAULTY_CONFIG if isinstance(error, Invalid) else FAILED
