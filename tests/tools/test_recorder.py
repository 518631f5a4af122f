"""The recorder of captures: what it replaces, what it leaves, and the index it makes of its own files."""

from pathlib import Path

import pytest

from integration.recorder import FOLDER, INDEX, RECORD, Capture, fixed, index, record


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("since 2026-11-29T12:22:11.123Z", "since 2026-01-01T12:00:00Z"),
        ("node  qd1j4k5l6m7n  up", "node  0123456789ab  up"),
        ("image sha256:00aaff00aaff1234", "image sha256:0123456789abcdef"),
        ("unreachable for 2 s: billing down", "unreachable for 6 m: billing down"),
        ("unreachable for 7 m 12 s", "unreachable for 6 m"),
        ("billing  Unreachable 2 s  1", "billing  Unreachable 6 m  1"),
        ("host node-233 (AgentStopped 4 s): its", "host node-233 (AgentStopped 30 s): its"),
        ("must stay healthy for 5 s", "must stay healthy for 5 s"),
        ("last report 95 s ago", "last report 30 s ago"),
        ("exited 12 times", "exited 7 times"),
        ("exited 2\n    times", "exited 7\n    times"),
        ("10.10.0.12  0\n10.10.0.3?  0\n10.10.0.0/16", "10.10.0.7   0\n10.10.0.7?  0\n10.10.0.0/16"),
        ("web-1  Ready  0  41 s\nweb-2  Ready  0  3 h?", "web-1  Ready  0  6 m\nweb-2  Ready  0  6 m?"),
        ("dial tcp 127.0.0.1:41242->127.0.0.1:5009", "dial tcp 127.0.0.1:40000->127.0.0.1:5009"),
        ("node-231  10.159.62.231  172.21.0.0/20", "node-231  10.159.62.231  172.21.0.0/20"),
        ("\x1b[1mCluster\x1b[0m  ", "Cluster"),
        ("a  for 100 s  b\na  for 6 s    b", "a  for 30 s   b\na  for 30 s   b"),
    ],
)
def test_what_differs_from_run_to_run_is_replaced_and_nothing_else(text: str, expected: str) -> None:
    assert fixed(text) == f"{expected}\n"
    assert fixed(expected) == f"{expected}\n"


def test_words_of_the_caller_are_replaced_as_a_whole() -> None:
    assert fixed("revision 52, not 521 or 1.52  x", {"52": "100"}) == "revision 100, not 521 or 1.52  x\n"


def test_the_index_lists_what_was_recorded_with_its_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures = [
        Capture(command="swarmkeeper status", output="prod: converged\n", code=0),
        Capture(command="swarmkeeper status --check", output="OK\n", code=2),
    ]
    monkeypatch.delenv(RECORD, raising=False)
    record("well", "Nothing.", captures, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(RECORD, "1")
    record("well", "Nothing.", captures, folder=tmp_path)
    assert (tmp_path / "well.txt").read_text() == (
        "State: well\nGroup: Cluster\nDone: Nothing.\n\n"
        "$ swarmkeeper status\nprod: converged\n(exit code 0)\n\n"
        "$ swarmkeeper status --check\nOK\n(exit code 2)\n"
    )
    row = "| [well](well.txt) | Nothing. | `swarmkeeper status` (0), `swarmkeeper status --check` (2) |"
    assert row in (tmp_path / INDEX).read_text().splitlines()


def test_a_file_that_the_recorder_has_not_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("some text\n")
    with pytest.raises(ValueError, match="not written by the recorder"):
        index(tmp_path)


def test_the_index_of_this_repository_is_that_of_its_files() -> None:
    assert (FOLDER / INDEX).read_text() == index()
