"""`run`: the daemon."""

from pathlib import Path

import typer

from agent import daemon
from agent.config import load_config
from agent.errors import Invalid, SwarmkeeperError

FAILED = 1
FAULTY_CONFIG = 78
"""EX_CONFIG of sysexits.h: the unit names it in RestartPreventExitStatus=."""


def run_agent(config: Path) -> int:
    """Run the agent until it is told to end; returns the exit code."""
    try:
        loaded = load_config(config)
    except Invalid as error:
        typer.secho(f"swarmkeeper: {error}", err=True)
        return FAULTY_CONFIG
    try:
        return daemon.run(loaded)
    except SwarmkeeperError as error:
        typer.secho(f"swarmkeeper: {error}", err=True)
        return FAULTY_CONFIG if isinstance(error, Invalid) else FAILED
