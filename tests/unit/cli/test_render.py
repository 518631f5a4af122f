from dataclasses import replace

import pytest
from rich.text import Text

from agent.cli.layout import screen, shortened, text
from agent.cli.render import EVERYTHING, Limits, Page, first_line, render
from agent.conditions import ClusterConditions, Problem, conditions_of
from tests.support.cluster_states import CLUSTERS, STORE_ERRORS
from tests.support.cluster_states import NOW_S as STATES_AT_S
from tests.unit.cli.sample_conditions import (
    AT,
    BAD,
    GONE,
    GOOD,
    NOW_S,
    condition,
    host,
    long_names,
    many,
    service,
)

WIDTHS = (40, 60, 80, 120)


def lines(found: ClusterConditions, width: int | None = 80, **more: object) -> list[Text]:
    return render("prod", found, Page(width=width, now_s=NOW_S, **more))  # type: ignore[arg-type]


def plain(found: ClusterConditions, width: int | None = 80, **more: object) -> list[str]:
    return [line.plain for line in lines(found, width, **more)]


def state(name: str) -> ClusterConditions:
    return conditions_of(CLUSTERS[name], now_s=STATES_AT_S, store_error=STORE_ERRORS.get(name, ""))


def styles(line: Text, word: str) -> set[str]:
    """The styles of a word in a line."""
    at = line.plain.index(word)
    return {str(line.style), *(str(each.style) for each in line.spans if each.start <= at < each.end)} - {""}


def test_a_converged_cluster_is_two_tables_and_its_document() -> None:
    assert plain(GOOD) == [
        "Cluster prod: converged: 3 hosts, 2 services, 4 replicas",
        "",
        "Service  State  Desired  Running  Ready  Updated",
        "order    Ready  2        2        2      2",
        "web      Ready  2        2        2      2",
        "",
        "Host  State  Role     Bridge         Replicas  Ready  Rev",
        "h1    Ready  manager  172.21.0.0/20  2/2       2      7",
        "h2    Ready  manager  172.21.0.0/20  2/2       2      7",
        "h3    Ready  worker   172.21.0.0/20  2/2       2      7",
        "",
        "Document: revision 7, accepted",
        "Leader: h1",
    ]


def test_what_is_not_known_is_a_question_mark_and_what_is_wrong_is_named() -> None:
    shown = plain(BAD)

    assert shown[2:7] == [
        "Service  State            Desired  Running  Ready  Updated",
        "order    ReplicasMissing  2        2        1      1",
        "web      NotReported      2        ?        ?      ?",
        "db       NotReported      2        1+1?     1+1?   1+1?",
        "new      Starting         2        1        0      2",
    ]
    assert shown[8:14] == [
        "Host  State            Role              Bridge         Replicas  Ready  Rev",
        "h1    EngineDown       manager           ?              ?/2       ?      7",
        "h2    Unreachable 6 m  manager, drained  ?              ?/2       ?      ?",
        "h3    NotInSwarm       none→manager      172.21.0.0/20  1/2       1      7",
        "h4    Drained          manager           172.21.0.0/20  0/0       0      7",
        "h5    Foreign          host, undeclared  172.21.0.0/20  2/0       2      7",
    ]


def test_a_refused_document_is_shown_with_the_accepted_one() -> None:
    refused = replace(condition("document", "", "Blocked", "Refused", "line 1: a"), revision=9)
    shown = render("prod", replace(GOOD, document=refused), Page(width=80, now_s=NOW_S), 7)

    assert "Document: revision 9, refused; revision 7 is accepted" in [line.plain for line in shown]


def test_a_problem_is_shown_with_what_follows_its_output_and_the_next_command() -> None:
    shown = plain(BAD)

    assert shown[15:24] == [
        "Problems",
        "  host h2 (Unreachable 6 m): its lease ended; look at the machine",
        "    → affects web-1, web-2 (replicas), web (service)",
        "  rollout order (RolloutPaused 6 m): order-2 exited with code 3; apply the",
        "    former document or a mended one",
        "    → affects order-2 (replica), order (service)",
        "    | boom",
        "    | cannot reach \\x1b[2J the database",
        "    next: swarmkeeper plan",
    ]


def test_progress_is_listed_once_and_apart_from_the_problems() -> None:
    shown = plain(BAD)
    at = shown.index("In progress")

    assert shown[at : at + 3] == ["In progress", "  rollout new (Rollout 6 m): 1 of 2 replicas updated", ""]


def test_red_is_for_problems_only_and_what_is_not_known_is_never_green() -> None:
    found = {line.plain: line for line in lines(BAD)}
    rows = {name.split()[0]: line for name, line in found.items() if name[:1].isalpha()}

    assert "red" in styles(rows["order"], "ReplicasMissing")
    assert styles(rows["web"], "NotReported") == {"dim"}
    assert styles(rows["web"], "?") == {"dim"}
    assert styles(rows["new"], "Starting") == {"yellow"}
    assert not any(
        "green" in str(span.style) for line in found.values() for span in line.spans if "?" in line.plain
    )
    assert not any("red" in str(span.style) for line in lines(GOOD) for span in line.spans)


def test_the_numbers_of_an_old_report_are_not_shown_as_current() -> None:
    old = host("h1", condition("host", "h1", "Unknown", "ReportOld"), current=False)
    row = next(line for line in plain(replace(GOOD, hosts=(old,))) if line.startswith("h1"))

    assert row.split() == ["h1", "ReportOld", "manager", "?", "?/2", "?", "?"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("found", [GOOD, BAD, many(50, 30), long_names()])
def test_no_line_is_wider_than_the_window(found: ClusterConditions, width: int) -> None:
    assert [line.plain for line in lines(found, width) if line.cell_len > width] == []


@pytest.mark.parametrize("width", [60, 80])
def test_where_names_are_shortened_all_numbers_stay(width: int) -> None:
    row = next(line for line in plain(long_names(), width) if "ReplicasMissing" in line)

    assert "…" in row
    assert row.split()[1:] == ["ReplicasMissing", "2", "2", "1", "1"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CLUSTERS)
def test_every_state_fits_the_window_and_all_its_problems_are_shown(name: str, width: int) -> None:
    found = state(name)
    shown = plain(found, width)
    told = " ".join("".join(shown).split())

    assert [line for line in shown if Text(line).cell_len > width] == []
    assert all(each.condition.reason in told for each in found.problems)
    assert shown[0].startswith("Cluster prod: ")
    assert "\n".join(shown).count("\nService ") == bool(found.services)


@pytest.mark.parametrize("name", CLUSTERS)
def test_in_every_state_a_small_window_shows_the_answer_and_says_what_it_cuts_off(name: str) -> None:
    all_lines = lines(state(name))
    shown = screen(all_lines, 80, 24)

    assert len(shown) <= 24
    assert (shown[-1].plain.startswith("… ")) == (len(all_lines) > 24)


@pytest.mark.parametrize("name", CLUSTERS)
def test_in_every_state_no_row_is_green_that_is_not_ready(name: str) -> None:
    found = state(name)
    conditions = [
        *(each.condition for each in found.services),
        *(each.condition for each in found.hosts),
    ]
    rows = {line.plain.split("  ")[0]: line for line in lines(found, 120) if "  " in line.plain}

    for each in conditions:
        green = any("green" in str(span.style) for span in rows[each.name].spans)
        assert green == (each.state == "Ready")


def test_a_command_for_one_host_names_it() -> None:
    assert "    next, on node-232: systemctl start docker" in plain(state("dockerd down"))
    assert "    next: swarmkeeper logs billing-1" in plain(state("crash loop, exited"))
    assert "    next: swarmkeeper rollback" in plain(state("rollout paused"))
    (check,) = [each for each in plain(state("unhealthy")) if "next" in each]
    assert check.startswith("    next, on node-23"), check


def test_of_many_the_ready_ones_are_counted_and_the_others_shown() -> None:
    shown = plain(many(50, 30))

    assert any(line.startswith("s49 ") for line in shown)
    assert any(line.startswith("h29 ") for line in shown)
    assert "… 30 more services, all ready (--all shows them)" in shown
    assert "… 15 more hosts, all ready (--all shows them)" in shown
    assert "  … 20 more problems (--all shows them)" in shown
    assert "  … 3 more notes (--all shows them)" in shown
    everything = plain(many(50, 30), limits=EVERYTHING)
    assert sum(line.startswith("s") for line in everything) == 50
    assert not any("…" in line for line in everything)


def test_more_troubled_services_than_the_limit_are_all_shown() -> None:
    bad = [service(f"s{n}", condition("service", f"s{n}", "Degraded", "Exited")) for n in range(30)]
    shown = plain(replace(GOOD, services=(service("good"), *bad)))

    assert sum(line.startswith("s") for line in shown) == 30
    assert "… 1 more service, all ready (--all shows them)" in shown


def test_wide_shows_state_and_reason_and_every_age() -> None:
    shown = plain(BAD, None, wide=True, limits=EVERYTHING)

    assert (
        "h2    Unknown   Unreachable 6 m  manager, drained  ?              ?/2       ?      ?    ?      6 m ago"
        in shown
    )


def test_a_screen_says_what_it_has_no_room_for() -> None:
    shown = screen(lines(many(50, 30)), 80, 24)

    assert len(shown) == 24
    assert shown[-1].plain == (
        f"… {len(lines(many(50, 30))) - 23} more lines (enlarge the window, or `swarmkeeper status | less`)"
    )
    assert screen([text("a")] * 5, 10, 4)[-1].plain == "… 2 more lines"
    assert len(screen(lines(GOOD), 80, 24)) == len(lines(GOOD))


def test_on_a_screen_the_tables_leave_room_for_the_problems() -> None:
    shown = screen(lines(many(50, 30), limits=Limits.of_screen(24)), 80, 24)

    assert any(line.plain.startswith("  replica s0-0 (Exited)") for line in shown)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (GOOD, "SWARMKEEPER OK - prod: converged: 3 hosts, 2 services, 4 replicas"),
        (BAD, "SWARMKEEPER CRITICAL - prod: h2 unreachable for 6 m: web down; rollout of order paused"),
        (
            replace(
                GOOD, code=1, cluster=condition("cluster", "", "Progressing", "Rollout", "a|b\nc\x1b[2J")
            ),
            "SWARMKEEPER WARNING - prod: a/b c\\x1b[2J",
        ),
        (
            replace(GOOD, code=3, cluster=condition("cluster", "", "Unknown", "StoreUnreachable")),
            "SWARMKEEPER UNKNOWN - prod: StoreUnreachable",
        ),
    ],
)
def test_a_check_is_one_line_as_a_nagios_plugin_prints_it(found: ClusterConditions, line: str) -> None:
    assert first_line("prod", found) == line


def test_a_time_that_nobody_can_read_is_not_shown() -> None:
    odd = replace(GONE.condition, since="yesterday")

    assert "  host h2 (Unreachable): its lease ended; look at the machine" in plain(
        replace(GOOD, problems=(Problem(condition=odd),))
    )


def test_a_name_is_shortened_in_its_middle_by_cells_not_characters() -> None:
    assert shortened("prod-terminal-1", 9) == "prod…al-1"
    assert shortened("漢字漢字漢字", 7) == "漢…字"
    assert shortened("abc", 3) == "abc"


def test_the_time_of_the_samples_is_six_minutes_ago() -> None:
    assert AT == "2024-05-01T12:00:00Z"
    assert "  rollout new (Rollout 6 m): 1 of 2 replicas updated" in plain(BAD)
