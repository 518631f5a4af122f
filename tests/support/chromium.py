"""Debian's Chromium without a screen. `python -m tests.support.chromium FOLDER` draws the agent's page for docs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from tests.support.viewed_clusters import PICTURED, served

PROGRAM = "/usr/bin/chromium-headless-shell"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start one; end it with the block."""
    with sync_playwright() as driver:
        # As root it has no sandbox. It loads our own page, and nothing else.
        started = driver.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def draw(folder: Path) -> None:
    """Write a picture of each state, the healthy one also in dark."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        for name, make in PICTURED.items():
            with served(make()) as address:
                for scheme in SCHEMES[: 2 if name == "healthy" else 1]:
                    page = chromium.new_page(viewport={"width": 900, "height": 860}, color_scheme=scheme)
                    page.goto(address)
                    page.screenshot(path=folder / f"{name}{'' if scheme == 'light' else '-dark'}.png")
                    page.close()


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
