"""`run`: the daemon."""

from pathlib import Path

from agent import daemon
from agent.config import load_config


def run_agent(config: Path) -> int:
    """Run the agent until it is told to end; returns the exit code. Raises Invalid for a faulty configuration."""
    return daemon.run(load_config(config))
