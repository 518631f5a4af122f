"""The agent's command with its threads named for the kernel, as ps(1) and /proc show them: Python 3.11 names none."""

import threading
from collections.abc import Callable
from pathlib import Path

from agent.cli.app import main


def named(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """Wrap Thread.start, which returns when the thread has its number."""

    def start_and_name(thread: threading.Thread) -> None:
        start(thread)
        try:
            Path(f"/proc/self/task/{thread.native_id}/comm").write_text(thread.name[:15])
        except OSError:
            return  # it has ended already

    return start_and_name


if __name__ == "__main__":
    threading.Thread.start = named(threading.Thread.start)  # type: ignore[assignment, method-assign]
    main()
