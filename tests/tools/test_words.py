"""The word check: what it finds in a page and in a module, and what it leaves alone."""

import shutil
from pathlib import Path

import pytest

from tests.support.banned import Banned, read_banned
from tests.support.prose import markdown_sentences, messages, python_pieces
from tests.support.words import EXEMPT, GENERATED, MOST_WORDS, ROOT, Finding, check, main

HEAD = """# Glossary

## Banned words

| banned | use instead | where | fine in |
|---|---|---|---|
"""
TABLE = f"""{HEAD}| copy, copies | replica | everywhere | import copy, `copy.copy`, `.copy(`, to copy |
| way | rollout | names | |
| its turn, made good | disruption slot | text | |
| why not | ineligible | everywhere | |
| `Held` | EffectiveState | names | |
"""
LONG = "The agent " + "really " * MOST_WORDS + "waits."


@pytest.fixture
def banned() -> Banned:
    return read_banned(TABLE)


def found(path: str, text: str, banned: Banned) -> list[tuple[int, str, str]]:
    return [(each.line, each.kind, each.found) for each in check(path, text, banned)]


# ---- words


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("copies = 1", "copies"),
        ("def copies_of() -> None: ...", "copies_of"),
        ("class CopyReport: ...", "CopyReport"),
        ("ALL_COPIES = 1", "ALL_COPIES"),
        ("x = 1  # one copy", "copy"),
        ("x = 'a Copy of it'", "Copy"),
        ("x = f'{way.name} it is'", "way"),
        ("x = {'way': 1}", "way"),
        ("def why_not_here() -> None: ...", "why_not_here"),
        ("x = Held()", "Held"),
        ("# It waits for its\n# turn.", "its # turn"),
        ("x = 'that is made\\n good'", None),
        ("x = 'this way it works'", None),
        ("# What `Held` holds.", "Held"),
        ("# Held by it.", None),
        ("# It calls copies_of first.", "copies_of"),
        ("# It makes a CopyReport.", "CopyReport"),
        ("is_held = HeldBack", None),
        ("import copy", None),
        ("x = y.copy()", None),
        ("x = copy.copy(y)", None),
        ("x = 'how to copy a file'", None),
        ("subway = photocopy", None),
        ("turn = its", None),
    ],
)
def test_a_banned_word_is_found_in_a_module(source: str, word: str | None, banned: Banned) -> None:
    assert [each for _, _, each in found("agent/x.py", source, banned)] == ([word] if word else [])


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("Each\ncopy runs.", [(2, "copy")]),
        ("`service_copies` counts.", [(1, "service_copies")]),
        ("See `way`.", [(1, "way")]),
        ("```\nCopies 3/3\n```", [(2, "Copies")]),
        ("It waits for its\nturn.", [(1, "its turn")]),
        ("In its *turn*.", []),
        ("This way it works.", []),
    ],
)
def test_a_banned_word_is_found_in_a_page(page: str, expected: list[tuple[int, str]], banned: Banned) -> None:
    assert [(line, word) for line, _, word in found("docs/x.md", page, banned)] == expected


def test_a_finding_names_the_word_to_use_instead(banned: Banned) -> None:
    (finding,) = check("deploy/x.yaml", "a: 1\n# a copy\n", banned)
    assert str(finding) == "deploy/x.yaml:2: copy: replica"


def test_the_table_of_banned_words_is_not_held_to_itself(banned: Banned) -> None:
    assert not check("docs/glossary.md", TABLE, banned)
    assert check("docs/other.md", TABLE, banned)


def test_a_row_of_the_table_says_where_its_words_are_banned() -> None:
    with pytest.raises(ValueError, match="somewhere"):
        read_banned(f"{HEAD}| a | b | somewhere | |\n")


# ---- sentences and docstrings


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("docs/x.md", f"Short.\n\nShort. {LONG}\n", 3),
        ("docs/x.md", f"| a | {LONG} |\n", 1),
        ("docs/x.md", f"- One.\n- {LONG}\n", 2),
        ("docs/x.md", f"```\n{LONG}\n```\n", None),
        ("docs/x.md", "- " + "one two three\n- " * MOST_WORDS, None),
        ("agent/x.py", f"x = 1\ny = '{LONG}'\n", 2),
        ("agent/x.py", f"y = ('The agent '\n     f'{'really ' * 14}'\n     '{'really ' * 14} waits')\n", 1),
        ("agent/x.py", f"y = '<p>{LONG}'\n", None),
        ("agent/x.py", f'def x() -> None:\n    """{LONG}"""\n', None),
        ("agent/cli/x.py", f'def x() -> None:\n    """{LONG}"""\n', 2),
    ],
)
def test_a_long_sentence_is_found(path: str, text: str, line: int | None, banned: Banned) -> None:
    lines = [each.line for each in check(path, text, banned) if each.kind == "sentence"]
    assert lines == ([line] if line else [])


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ('"""What it does."""\n', True),
        ('def x() -> bool:\n    """Whether it is."""\n', True),
        ('class X:\n    y: int\n    """How many."""\n', True),
        ('def x() -> bool:\n    """Return True if it is."""\n', False),
        ('x = (\n    """What is no docstring."""\n)\n', False),
        ("# Why it is so.\n", False),
    ],
)
def test_a_docstring_does_not_begin_like_a_question(source: str, is_found: bool, banned: Banned) -> None:
    assert [each for _, each, _ in found("agent/x.py", source, banned)] == ["docstring"] * is_found


def test_proselint_reads_prose_and_no_code(banned: Banned) -> None:
    page = "The the agent runs.\n\n```\nthe the\n```\n\nBoth `a` `a` run. The log and etcd...\n"
    page += "\n# The host\n\nThe host.\n"
    assert check("docs/x.md", page, banned) == [
        Finding("docs/x.md", 1, "proselint", "The the", "proselint: lexical_illusions")
    ]


@pytest.mark.parametrize("offset", range(1, 10))
def test_a_number_after_code_is_no_repetition_wherever_the_code_is(banned: Banned, offset: int) -> None:
    assert check("docs/x.md", f"{'b' * (19 + offset)} `a` {offset}0 s later.\n", banned) == []


def test_sentences_end_at_their_mark_and_blocks_end_them() -> None:
    page = "# A head\nOne is *here.* Two has `x. Y` and\n[a link](to.md). E.g. three\n- four\n\n> five!\n"
    shown = [(each.line, each.words, each.is_whole) for each in markdown_sentences(page)]
    assert shown == [(1, 2, False), (2, 3, True), (2, 6, True), (3, 2, False), (4, 1, False), (6, 1, True)]


def test_the_parts_of_a_module_are_told_apart() -> None:
    source = '"""Doc."""\nx = rf"a\\"b" if 1_000 else \'c\'  # d\n'
    assert [(each.kind, each.text) for each in python_pieces(source)] == [
        ("docstring", "Doc."), ("name", "x"), ("string", 'a\\"b'), ("name", "if"), ("name", "else"),
        ("string", "c"), ("comment", "# d"),
    ]  # fmt: skip
    assert [each.text for each in messages('x = ("a "\n     f"{b} c", "d")')] == ["a Value c", "d"]


# ---- the program


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the glossary and the table of this repository, in which nothing is wrong."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "agent" / "x.py").write_text('"""Start the agent."""\n')
    shutil.copy(ROOT / "docs/glossary.md", tmp_path / "docs")
    return tmp_path


def test_it_fails_when_a_word_is_planted(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tree) == 0
    (tree / "agent" / "x.py").write_text('"""Start the copy anew."""\n')
    assert main([], tree) == 1
    assert [line.split(": ")[:2] for line in capsys.readouterr().out.split("\n") if line] == [
        ["agent/x.py:1", "anew"],
        ["agent/x.py:1", "copy"],
    ]
    assert main(["docs"], tree) == 0


def test_generated_code_is_left_out(tree: Path) -> None:
    (tree / GENERATED).mkdir(parents=True)
    (tree / GENERATED / "rpc.py").write_text("copies = 1\n")
    assert main([], tree) == 0


@pytest.mark.parametrize("path", EXEMPT)
def test_what_maps_old_words_to_new_ones_may_name_them(tree: Path, path: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text('copy = "replica"\n')
    assert main([], tree) == 0


def test_stats_count_each_file(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "docs" / "x.md").write_text(
        "It has six words and ends. It starts anew with a different word.\nSwarm: task.\n"
    )
    assert main(["--stats"], tree) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:-2]] == ["docs/glossary.md", "docs/x.md"]
    assert lines[2].split() == ["6.5", "1", "0", "0", "0", "docs/x.md"]
    assert lines[-1] == "median sentence: 6.5 words (goal: at most 14)"


def test_what_is_new_is_told_in_lines_of_at_most_25_words() -> None:
    _, _, changes = (ROOT / "CHANGELOG.md").read_text().partition("\n## Changes\n")
    lines = [line for line in changes.splitlines() if line.startswith("- ")]
    assert lines
    assert not [line for line in lines if len(line.split()) > 26]
