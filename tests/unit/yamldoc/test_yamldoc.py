"""YAML 1.2 as people write it: what a document is, where each value stands, what is refused."""

import json
import sys

import pytest
import yaml

from agent.model.faults import InvalidDocument
from agent.yamldoc import open_document
from agent.yamldoc.compose import MAX_CHARACTERS, MAX_DEPTH, MAX_NODES, Node, Scalar, Sequence


def plain(node: Node) -> object:
    """The document as lists, dicts and texts."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return [plain(each) for each in node.items]
    return {key: plain(value) for key, (_, value) in node.entries.items()}


def read(text: str) -> object:
    root = open_document(text.encode())
    root.faults.raise_if_any()
    return plain(root.node)


def said(text: str | bytes) -> list[str]:
    try:
        root = open_document(text.encode() if isinstance(text, str) else text)
        root.faults.raise_if_any()
    except InvalidDocument as error:
        return str(error).split("\n")
    return []


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a: 22:22", {"a": "22:22"}),
        ("a: 010", {"a": "010"}),
        ("yes: no", {"yes": "no"}),
        ("a: 1.10", {"a": "1.10"}),
        ("a: 2020-01-01", {"a": "2020-01-01"}),
        ("a: 1_000", {"a": "1_000"}),
        ("=: <", {"=": "<"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("a: >\n  two\n  lines\n", {"a": "two lines\n"}),
        ("a: 'it''s'", {"a": "it's"}),
        ('a: "\\u00e9\\/\\U0001F600"', {"a": "é/\U0001f600"}),
        ("%YAML 1.2\n---\na: b\n...\n", {"a": "b"}),
        ("\ufeffa: b", {"a": "b"}),
        ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
        ("é: ü", {"é": "ü"}),
        ("a:", {"a": ""}),
        ("- [a, {b: c}]\n- - d\n", [["a", {"b": "c"}], ["d"]]),
    ],
)
def test_values_are_what_was_written(text: str, meant: object) -> None:
    assert read(text) == meant


def test_json_is_yaml() -> None:
    value = {"name": "shop", "list": ["a", {"b": "c"}], "quoted": 'a "b" \\ / \n \t', "é": "\u20ac"}
    assert read(json.dumps(value, indent=1)) == value
    assert read(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize("escape", ["\\ud83d\\ude00", "\\ud800", "\\udc00"])
def test_a_surrogate_in_an_escape_is_refused_with_what_to_write_instead(escape: str) -> None:
    (fault,) = said(f'{{"a": "{escape}"}}')
    assert fault.endswith("; write the character itself, or \\U and eight digits")


def test_aliases_stand_for_the_anchored_node() -> None:
    assert read("a: &x [1, 2]\nb: *x\nc: [*x]") == {"a": ["1", "2"], "b": ["1", "2"], "c": [["1", "2"]]}


def test_a_later_anchor_of_the_same_name_counts_from_there_on() -> None:
    assert read("a: &x 1\nb: *x\nc: &x 2\nd: *x") == {"a": "1", "b": "1", "c": "2", "d": "2"}


def test_own_keys_win_over_merged_ones_wherever_the_merge_stands() -> None:
    base = "base: &base {a: 1, b: 2}\n"
    assert read(base + "c: {<<: *base, b: 3}") == {"base": {"a": "1", "b": "2"}, "c": {"b": "3", "a": "1"}}
    assert read(base + "c: {b: 3, <<: *base}") == {"base": {"a": "1", "b": "2"}, "c": {"b": "3", "a": "1"}}


def test_of_several_merged_mappings_the_first_wins() -> None:
    merged = read("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}")
    assert isinstance(merged, dict)
    assert merged["z"] == {"a": "1", "b": "2"}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert read("'<<': a") == {"<<": "a"}


def test_each_value_knows_its_line_and_column() -> None:
    root = open_document("é: {b: c}\nlist:\n  - x\n  - 'y'\n".encode())
    places = [root.at("é", "b"), root.at("list", 0), root.at("list", 1)]
    assert [(each.path, each.node.line, each.node.column) for each in places] == [
        ("['é'].b", 1, 8),
        ("list[0]", 3, 5),
        ("list[1]", 4, 5),
    ]


@pytest.mark.parametrize(
    ("text", "place", "problem", "remedy"),
    [
        (
            "a: 1\nb: {c: 1,\n  c: 2}",
            (3, 3),
            "b.c: duplicate key 'c', first at line 2, column 5",
            "keep one of them",
        ),
        ("a: 1\n'a': 2", (2, 1), "a: duplicate key 'a', first at line 1, column 1", "keep one of them"),
        ("a: [{1: b}]", (1, 6), "a[0]: the key '1' is not text", "put it in quotes"),
        ("true: b", (1, 1), "the key 'true' is not text", "put it in quotes"),
        ("0x0: b", (1, 1), "the key '0x0' is not text", "put it in quotes"),
        ("0o0: b", (1, 1), "the key '0o0' is not text", "put it in quotes"),
        (
            "{<<: {a: 1}, <<: {b: 2}}",
            (1, 14),
            "['<<']: a second merge key in one mapping",
            "merge a list: <<: [*first, *second]",
        ),
        ("~: b", (1, 1), "the key '~' is not text", "put it in quotes"),
        ("? [a]\n: b", (1, 3), "the key a list or mapping is not text", "put it in quotes"),
        (
            "a: !!str b",
            (1, 4),
            "a: a tag is not supported",
            "remove it, or compile what `docker compose config` prints; put a value that begins with ! in quotes",
        ),
        (
            "a: !env HOME",
            (1, 4),
            "a: a tag is not supported",
            "remove it, or compile what `docker compose config` prints; put a value that begins with ! in quotes",
        ),
        (
            "a: *b",
            (1, 4),
            "a: an alias has no anchor before it",
            "put a value that begins with * in quotes",
        ),
        ("a: &a {b: *a}", (1, 11), "a.b: the alias *a refers to a node that contains it", "remove it"),
        (
            "<<: 1",
            (1, 5),
            "['<<']: the value of a merge key must be a mapping or a list of mappings",
            "write <<: *name",
        ),
        ("a: 1\n---\nb: 2", (2, 1), "a second document begins here", "keep one document"),
        (
            "a: b: c",
            (1, 5),
            "not YAML: mapping values are not allowed in this context",
            "put a value that contains ': ' in quotes",
        ),
        (
            "a: @b",
            (1, 4),
            "not YAML: while scanning for the next token found character that cannot start any token",
            "put a value that begins with @ in quotes",
        ),
        (
            "a: {b",
            (2, 1),
            "not YAML: while parsing a flow mapping did not find expected ',' or '}'",
            "correct the indentation, the quotes or the brackets here or above",
        ),
        (
            "a:\n\tb: c",
            (2, 1),
            "not YAML: while scanning for the next token found character that cannot start any token",
            "indent with spaces, not with a tab",
        ),
        (
            "a: b\u2028c",
            (1, 5),
            "U+2028 is a line break in YAML 1.1 only",
            'remove it, or write it as "\\u2028" in double quotes',
        ),
        (
            "a: \x7f",
            (1, 4),
            "U+007F is a control character",
            'remove it, or write it as "\\x7f" in double quotes',
        ),
        (
            "a: b\ufeffc",
            (1, 5),
            "U+FEFF is a control character",
            'remove it, or write it as "\\ufeff" in double quotes',
        ),
        (" \n\n# only a comment\n", (1, 1), "the document is empty", "write its keys, each on a line"),
        ("---\n", (1, 1), "the document is empty", "write its keys, each on a line"),
        ("null", (1, 1), "the document is empty", "write its keys, each on a line"),
    ],
)
def test_what_is_refused_and_in_which_words(
    text: str, place: tuple[int, int], problem: str, remedy: str
) -> None:
    line, column = place
    assert said(text) == [f"line {line}, column {column}: {problem}" + (f"; {remedy}" if remedy else "")]


def test_lesser_faults_do_not_hide_each_other() -> None:
    assert len(said("a: 1\na: 2\n1: x\nb: !t c\nd: *e\n")) == 4


def test_the_depth_is_bounded_also_through_aliases() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert said(deep) == []
    assert said(f"[{deep}]")[0].endswith(f": nested deeper than {MAX_DEPTH} levels; remove levels")
    half = MAX_DEPTH // 2 + 1
    assert said(f"a: &a {'[' * half}{']' * half}\nb: {'[' * half}*a{']' * half}")[0].endswith(
        f"deeper than {MAX_DEPTH} levels; remove levels"
    )


def test_an_alias_counts_as_what_it_stands_for() -> None:
    thousand = "a: &a [" + "x, " * 999 + "x]\n"
    within, beyond = MAX_NODES // 1001 - 2, MAX_NODES // 1001 + 1
    assert said(thousand + "b: [" + "*a, " * within + "]") == []
    (fault,) = said(thousand + "b: [" + "*a, " * beyond + "]")
    assert fault.endswith(f"more than {MAX_NODES} values, aliases expanded; make the document smaller")


@pytest.mark.parametrize("shared", ["{}", "[{}]", "{{{}: }}"], ids=["a text", "in a list", "a key"])
def test_an_alias_has_as_many_characters_as_what_it_stands_for(shared: str) -> None:
    each = 1000  # a key may not have more
    text = f"a: &a {shared.format('x' * each)}\n"
    within, beyond = (MAX_CHARACTERS // each - more for more in (2, 1))
    assert said(text + "b: [" + "*a, " * within + "]") == []
    (fault,) = said(text + "b: [" + "*a, " * beyond + "]")
    assert fault.startswith(f"line 2, column {5 + 4 * (beyond - 1)}: b[{beyond - 1}]: ")
    assert fault.endswith(
        f"more than {MAX_CHARACTERS} characters in keys and values, aliases expanded; make the document smaller"
    )


def test_nesting_far_beyond_pythons_stack_is_refused_not_crashed_on() -> None:
    for opening in ("[", "{a: ", "- ", "? ", "- - "):
        assert len(said(opening * sys.getrecursionlimit() * 50)) == 1


def test_the_parser_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x {b: 010, c: [d, 'e']}\nf: {<<: *x, g: |\n    h\n}\n".replace("|\n    h\n", "h")
    with_libyaml = read(text)
    monkeypatch.setattr(sys.modules["agent.yamldoc.compose"], "_LOADER", yaml.BaseLoader)
    assert read(text) == with_libyaml
    assert said("a: 1\na: 2") == [
        "line 2, column 1: a: duplicate key 'a', first at line 1, column 1; keep one of them"
    ]


def test_a_cursor_below_what_is_there_stays_where_the_document_ends() -> None:
    root = open_document(b"a: {b: [c]}")
    assert [root.at(*steps).path for steps in (("a", "x", "y"), ("a", "b", 0, "z"), ("a", "b", 7))] == [
        "a",
        "a.b[0]",
        "a.b",
    ]


def test_a_document_that_is_too_long_as_it_is_kept_is_refused() -> None:
    assert said("a: 1\n" + "#\n" * 600_000) == [
        "line 1, column 1: the document has 1800008 bytes as JSON; the maximum is 1500000"
    ]
