"""What is shown of a container's last words."""

import pytest

from agent.observe.crashes import LONGEST, LONGEST_LINE, last_lines


def test_the_last_lines_in_their_order() -> None:
    assert last_lines(b"a\nb\nc\n", 2, ()) == ("b", "c")
    assert last_lines(b"a\n", 0, ()) == ()
    assert last_lines(b"", 5, ()) == ()


def test_no_control_character_gets_through() -> None:
    (line,) = last_lines(b"\x1b[31mred\x1b[0m\tand\x07 \x1b]0;title\xff", 1, ())
    assert line.startswith("red and\ufffd ")
    assert line.isprintable()


def test_a_long_line_is_cut_and_of_many_the_last_are_kept() -> None:
    found = last_lines(b"\n".join(b"%d" % n + b"x" * 1000 for n in range(20)), 20, ())
    assert all(len(line) <= LONGEST_LINE for line in found)
    assert sum(map(len, found)) <= LONGEST
    assert found[-1].startswith("19x")


PEM = "-----BEGIN KEY-----\r\nMIIEvQIBADAN\n-----END KEY-----\n"


@pytest.mark.parametrize(
    ("name", "value", "said", "shown"),
    [
        ("DB_PASSWORD", "hunter2", "root:hunter2, then", "root:***DB_PASSWORD***, then"),
        ("MYSQL_PWD", "Hunter22x", "mysql -pHunter22x failed", "mysql -p***MYSQL_PWD*** failed"),
        ("db_pwd", "x7yz", "with x7yz", "with ***db_pwd***"),
        ("BACKEND", "s3cr3t-8", "with s3cr3t-8", "with ***BACKEND***"),
        ("DB_HOST", "db.prod.example", "no db.prod.example:3306", "no ***DB_HOST***:3306"),
        ("BACKEND", "seven-7", "with seven-7", "with seven-7"),
        ("API_KEY", "abc", "abc", "abc"),
        ("TLS_KEY", PEM, "bad MIIEvQIBADAN", "bad ***TLS_KEY***"),
        ("CONFIG", PEM, "at -----BEGIN KEY-----", "at ***CONFIG***"),
        ("WORD", "  hunter22\t", "with hunter22", "with ***WORD***"),
        ("WORD", "hunter\x0722 33", "with hunter\x0722 33", "with ***WORD***"),
        ("WORD", "hunter22", "with hun\x1b[31mter22", "with ***WORD***"),
        ("WORD", "a.c(e)*g", "with a.c(e)*g, abcceeeg", "with ***WORD***, abcceeeg"),
        ("ID", "h-{{.Node.Hostname}}/hunter22", "with h-h1/hunter22", "with h-h1***ID***"),
        ("ID", "{{hunter22}}", "with {{hunter22}}", "with ***ID***"),
        ("HOOK", "https://u:p@hook/T0K3N", "to https://u:p@hook/T0K3N", "to ***HOOK***"),
    ],
)
def test_a_value_of_the_environment_stops_first_to_its_name(
    name: str, value: str, said: str, shown: str
) -> None:
    assert last_lines(said.encode(), 1, ((name, value),)) == (shown,)


def test_of_two_values_of_which_one_begins_the_other_both_are_hidden() -> None:
    environment = (("SHORT", "hunter22"), ("LONG", "hunter22-and-more"), ("AGAIN", "hunter22"))
    found = last_lines(b"hunter22-and-more, hunter22", 1, environment)
    assert found == ("***LONG***, ***SHORT***",)


def test_a_value_of_several_lines_is_hidden_in_each() -> None:
    assert last_lines(PEM.encode(), 5, (("TLS_KEY", PEM),)) == ("***TLS_KEY***",) * 3


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("dial mysql://root:pw@db:3306/x", "dial mysql://***@db:3306/x"),
        ("dial mysql://root:p@ssw0rd@db", "dial mysql://***@db"),
        ("amqp://a:b@@c@q/v and http://d@e/f@g", "amqp://***@q/v and http://***@e/f@g"),
        ("pulled http://host/image@sha256", "pulled http://host/image@sha256"),
    ],
)
def test_what_a_url_has_before_its_last_at_is_hidden(said: str, shown: str) -> None:
    assert last_lines(said.encode(), 1, ()) == (shown,)
