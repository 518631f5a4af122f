"""What the pages say of where things are is so: every path is there, and the planner's modules are all explained."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
ARCHITECTURE = ROOT / "docs/architecture.md"
FOLDERS = ("agent", "bench", "deploy", "docs", "integration", "script", "tests")


def paths(text: str) -> list[str]:
    """What is quoted as a path of the repository; `*` stands for anything, and what has a placeholder is none."""
    quoted = (each.split(maxsplit=1)[0] for each in re.findall(r"`([^`\s][^`\n]*)`", text))
    folders = tuple(f"{folder}/" for folder in FOLDERS)
    return [each for each in quoted if each.startswith(folders) and "<" not in each]


def files(text: str) -> list[str]:
    """What is quoted as a module without its folder."""
    return re.findall(r"`(\w+\.py)`", text)


def planner_table(folder: str) -> list[str]:
    """The modules that the first column of the table about a folder of the planner names."""
    _, _, rest = ARCHITECTURE.read_text().partition(f"| in `{folder}` |")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def modules(folder: str) -> list[str]:
    return [path.stem for path in (ROOT / folder).glob("*.py") if path.stem != "__init__"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    assert [each for each in paths(page.read_text()) if not any(ROOT.glob(each.rstrip("/")))] == []


@pytest.mark.parametrize("page", [ARCHITECTURE, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_module_that_is_named_without_its_folder_is_somewhere(page: Path) -> None:
    known = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}

    assert [each for each in files(page.read_text()) if each not in known] == []


@pytest.mark.parametrize("folder", ["agent/planner/host", "agent/planner/leader"])
def test_the_tables_explain_every_module_of_the_planner_once(folder: str) -> None:
    assert sorted(planner_table(folder)) == sorted(modules(folder))


def test_a_path_is_found_in_text_and_a_placeholder_is_none() -> None:
    said = (
        "see `agent/gone.py`, `agent/cli/<command>.py`, `bench/run --fast`, `etcdctl get` and `tests/unit/`"
    )

    assert paths(said) == ["agent/gone.py", "bench/run", "tests/unit/"]
