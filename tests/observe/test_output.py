"""What is shown of a container's last words."""

from agent.observe.output import LONGEST, LONGEST_LINE, last_words


def test_the_last_lines_in_their_order() -> None:
    assert last_words(b"a\nb\nc\n", 2, ()) == ("b", "c")
    assert last_words(b"a\n", 0, ()) == ()
    assert last_words(b"", 5, ()) == ()


def test_no_control_character_gets_through() -> None:
    (line,) = last_words(b"\x1b[31mred\x1b[0m\tand\x07 \x1b]0;title\xff", 1, ())
    assert line.startswith("red and\ufffd ")
    assert line.isprintable()


def test_a_long_line_is_cut_and_of_many_the_last_are_kept() -> None:
    found = last_words(b"\n".join(b"%d" % n + b"x" * 1000 for n in range(20)), 20, ())
    assert all(len(line) <= LONGEST_LINE for line in found)
    assert sum(map(len, found)) <= LONGEST
    assert found[-1].startswith("19x")


def test_what_the_environment_calls_a_secret_is_hidden() -> None:
    environment = (("DB_PASSWORD", "hunter22"), ("MODE", "production"), ("API_KEY", "abc"))
    raw = b"login root:hunter22 in production, abc"
    assert last_words(raw, 1, environment) == ("login root:*** in production, abc",)


def test_what_a_url_has_before_its_at_is_hidden() -> None:
    assert last_words(b"dial mysql://root:pw@db:3306/x", 1, ()) == ("dial mysql://***@db:3306/x",)
