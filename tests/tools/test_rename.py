"""script/rename on texts of each kind: code by names, prose by phrases, and nothing that only looks like the word."""

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "script" / "rename"


@pytest.fixture(scope="module")
def rename() -> ModuleType:
    spec = importlib.util.spec_from_loader("rename", SourceFileLoader("rename", str(SCRIPT)))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rename"] = module
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


ENTRY: dict[str, Any] = {
    "name": "crate",
    "names": {"box": "crate", "BoxTurn": "CrateOrder"},
    "phrases": {"box": "crate", "boxes": "crates", "box made new": "crate rebuilt"},
    "text": [["its box number", "its slot"]],
    "quoted": {"in_box": "in_crate"},
    "code": [{"pattern": r"\.number\b(?!\()", "to": ".slot"}],
    "keep": ["boxing"],
    "protect": ["post office box"],
    "protect_code": [r"import box\b", r"\.box\("],
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("box = Box(_box, BOX)", "crate = Crate(_crate, CRATE)"),
        ("import box; lid.box(); boxing", "import box; lid.box(); boxing"),
        ("def test_a_box_made_new_runs(big_boxes): ...", "def test_a_crate_rebuilt_runs(big_crates): ..."),
        ("BoxTurn(x.number, x.number())", "CrateOrder(x.slot, x.number())"),
        ('f"{box.number:>3} boxes, {{box}}"', 'f"{crate.slot:>3} crates, {{crate}}"'),
        ('said = "in_box"  # its box number', 'said = "in_crate"  # its slot'),
        ('"Box of a post office box"', '"Crate of a post office box"'),
        ("__init__ = 'sandbox'", "__init__ = 'sandbox'"),
    ],
)
def test_python_is_renamed_by_what_each_part_is(rename: ModuleType, before: str, after: str) -> None:
    assert rename.rewrite(rename.Word(**ENTRY), "agent/x.py", before) == after


def test_prose_is_renamed_with_its_capitals(rename: ModuleType) -> None:
    text = "Boxes: a `big_box`, `in_box` and its box number."

    assert rename.rewrite(rename.Word(**ENTRY), "docs/x.md", text) == (
        "Crates: a `big_crate`, `in_crate` and its slot."
    )


def test_a_comment_that_grew_over_the_edge_goes_on_in_its_next_line(rename: ModuleType) -> None:
    before = f"# {'word ' * 22}a box\n# and on\n"

    assert rename.rewrite(rename.Word(**ENTRY), "x.py", before) == f"# {'word ' * 22}a crate\n# and on\n"
    wide = f"# {'word ' * 23}box\n# and on\n"
    assert rename.rewrite(rename.Word(**ENTRY), "x.py", wide) == f"# {'word ' * 22}word\n# crate and on\n"


def test_traces_are_compared_under_the_new_names(rename: ModuleType, tmp_path: Path) -> None:
    old, new, other = (tmp_path / each for each in ("old", "new", "other"))
    old.write_text("step h1 Box(box=1, name='a')\n")
    new.write_text("step h1 Crate(name='a', crate=1)\n")
    other.write_text("step h1 Crate(name='a', crate=2)\n")

    assert rename.compare(old, new, [rename.Word(**ENTRY)]) == 0
    assert rename.compare(old, other, [rename.Word(**ENTRY)]) == 1


def test_the_map_can_be_read_and_names_each_word_once(rename: ModuleType) -> None:
    names = [each.name for each in rename.words()]

    assert len(names) == len(set(names)) > 10
    assert names[-1] == "replica"
