"""`swarmkeeper`, and `python -m agent`."""

from agent.cli.app import app


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    app(prog_name="swarmkeeper")


if __name__ == "__main__":
    main()
