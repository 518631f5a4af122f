"""Alert rules, scrape configuration and dashboard: valid, exercised, explained, and made of metrics that exist."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from agent.model.plan import BlockedKind
from agent.report.definitions import DEFINITIONS, PREFIX

REPOSITORY = Path(__file__).parents[3]
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
DASHBOARD = REPOSITORY / "deploy" / "dashboards" / "swarmkeeper.json"
RUNBOOK = REPOSITORY / "docs" / "runbook.md"

LABELS = {PREFIX + each.name: each.labels for each in DEFINITIONS}
SCRAPED = frozenset({"cluster", "instance", "job"})

Rule = dict[str, Any]


def promtool(*arguments: str | Path) -> tuple[int, str]:
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def rules() -> list[Rule]:
    document = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def dashboard_expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["expr"]


def strangers(expression: str) -> set[str]:
    """The metrics, and the labels asked of them, that the agent does not have."""
    found: set[str] = set()
    for name, labels in re.findall(r"\b(swarmkeeper_\w+)(?:\{([^}]*)\})?", expression):
        metric = name if name in LABELS else re.sub(r"_(bucket|sum|count)$", "", name)
        if metric not in LABELS:
            found.add(name)
            continue
        known = SCRAPED.union(LABELS[metric])
        found |= {
            f"{name}{{{label}}}" for label in re.findall(r"(\w+)\s*[!=]=?~?", labels) if label not in known
        }
    return found


def alerts_expected_by(story: Rule) -> list[set[str]]:
    """The names of the alerts that fire, for each moment a story of alerts_test.yaml looks at."""
    return [
        {
            name
            for sample in moment.get("exp_samples") or []
            for name in re.findall(r'alertname="(\w+)"', sample["labels"])
        }
        for moment in story["promql_expr_test"]
    ]


def test_the_scrape_configuration_and_the_rules_are_valid() -> None:
    code, output = promtool("check", "config", PROMETHEUS / "scrape.yaml")

    assert code == 0, output
    assert f"SUCCESS: {len(rules())} rules found" in output


def test_the_rules_fire_when_they_should_and_not_before() -> None:
    code, output = promtool("test", "rules", PROMETHEUS / "alerts_test.yaml")

    assert code == 0, output


@pytest.mark.parametrize(
    "mistake", [("> 300", "> 3000"), ("for: 10m", "for: 1m"), ("SwarmkeeperDrift", "Drift")]
)
def test_a_mistake_in_the_rules_is_seen(tmp_path: Path, mistake: tuple[str, str]) -> None:
    broken = (PROMETHEUS / "alerts.yaml").read_text().replace(*mistake)
    (tmp_path / "alerts.yaml").write_text(broken)
    (tmp_path / "alerts_test.yaml").write_text((PROMETHEUS / "alerts_test.yaml").read_text())

    code, _ = promtool("test", "rules", tmp_path / "alerts_test.yaml")

    assert code != 0


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_each_rule_is_shown_firing_and_not_firing(alert: str) -> None:
    stories = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]
    all_moments = [alerts_expected_by(story) for story in stories]
    told = [moments for moments in all_moments if any(alert in names for names in moments)]

    assert told, "no story expects it"
    assert any(alert not in names for moments in told for names in moments), (
        "no story has a moment without it"
    )


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_rule_says_how_bad_it_is_and_what_to_do(rule: Rule) -> None:
    anchor = f"docs/runbook.md#{rule['alert'].lower()}"

    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == anchor


def test_the_runbook_explains_the_rules_and_no_others() -> None:
    sections = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)

    assert sections == [rule["alert"] for rule in rules()]


def test_the_runbook_explains_why_something_may_be_held_back() -> None:
    section = RUNBOOK.read_text().partition("### SwarmkeeperBlocked")[2].partition("\n### ")[0]

    assert set(re.findall(r"`(\w+)`", section)) >= set(get_args(BlockedKind))
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) <= set(get_args(BlockedKind))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_asks_only_for_metrics_the_agent_has(rule: Rule) -> None:
    assert strangers(rule["expr"]) == set()


def test_the_rules_are_tested_with_metrics_the_agent_has() -> None:
    stories = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]
    series = [entry["series"] for story in stories for entry in story["input_series"]]

    assert {stranger for entry in series for stranger in strangers(entry)} == set()


def test_a_metric_or_label_the_agent_lacks_is_seen() -> None:
    assert strangers('swarmkeeper_nonsense > 0 and swarmkeeper_mode{moode="paused"} == 1') == {
        "swarmkeeper_nonsense",
        "swarmkeeper_mode{moode}",
    }


def test_the_dashboard_asks_only_for_metrics_the_agent_has() -> None:
    assert {name for expression in dashboard_expressions() for name in strangers(expression)} == set()


def test_the_dashboard_asks_in_valid_promql(tmp_path: Path) -> None:
    expressions = [text.replace("$__rate_interval", "5m") for text in dashboard_expressions()]
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))

    code, output = promtool("check", "rules", tmp_path / "panels.yaml")

    assert code == 0, output


def test_the_dashboard_has_ten_panels_that_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells

    assert [panel["id"] for panel in dashboard()["panels"]] == list(range(1, 11))
    assert max(x for x, _ in taken) < 24
