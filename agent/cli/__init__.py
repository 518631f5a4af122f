"""The command line. Commands that read etcd print their output only; `run` starts the daemon."""

from pathlib import Path

CONFIG = Path("/etc/swarmkeeper/agent.yaml")
"""The configuration that a command reads if no option names another."""

STDIN = "<stdin>"
"""Name of a document from standard input."""
