"""Alert rules, scrape configuration and dashboards: valid, exercised, explained, and made of metrics that exist."""

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
from deploy.mixin.__main__ import RUNBOOK as RUNBOOK_URL
from deploy.mixin.__main__ import generated

REPOSITORY = Path(__file__).parents[3]
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
DASHBOARDS = sorted((REPOSITORY / "deploy" / "dashboards").glob("*.json"))
RUNBOOK = REPOSITORY / "docs" / "runbook.md"

LABELS = {PREFIX + each.name: each.labels for each in DEFINITIONS}
CONSTANT = frozenset({"cluster", "host"})
SCRAPED = CONSTANT | {"instance", "job"}

Rule = dict[str, Any]


def promtool(*arguments: str | Path) -> tuple[int, str]:
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def rules() -> list[Rule]:
    document = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def dashboard_expressions() -> Iterator[str]:
    for path in DASHBOARDS:
        document = load(path)
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                yield target["expr"]
        for annotation in document["annotations"]["list"]:
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
    "mistake",
    [("> 300", "> 3000"), ("< 0.5", "< 0.05"), ("for: 10m", "for: 1m"), ("SwarmkeeperDrift", "Drift")],
)
def test_a_mistake_in_the_rules_is_seen(tmp_path: Path, mistake: tuple[str, str]) -> None:
    broken = (PROMETHEUS / "alerts.yaml").read_text().replace(*mistake)
    (tmp_path / "alerts.yaml").write_text(broken)
    (tmp_path / "alerts_test.yaml").write_text((PROMETHEUS / "alerts_test.yaml").read_text())

    code, _ = promtool("test", "rules", tmp_path / "alerts_test.yaml")

    assert code != 0


@pytest.mark.parametrize("alert", sorted({rule["alert"] for rule in rules()}))
def test_each_rule_is_shown_firing_and_not_firing(alert: str) -> None:
    stories = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]
    all_moments = [alerts_expected_by(story) for story in stories]
    told = [moments for moments in all_moments if any(alert in names for names in moments)]

    assert told, "no story expects it"
    assert any(alert not in names for moments in told for names in moments), (
        "no story has a moment without it"
    )


def named(rule: Rule) -> str:
    return f"{rule['alert']}-{rule['labels']['severity']}"


@pytest.mark.parametrize("rule", rules(), ids=named)
def test_each_rule_says_how_bad_it_is_and_what_to_do(rule: Rule) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOK_URL}#{rule['alert'].lower()}"


@pytest.mark.parametrize("rule", rules(), ids=named)
def test_a_text_uses_only_labels_that_the_expression_leaves(rule: Rule) -> None:
    """An aggregation drops the labels that it does not name, and a text would show an empty word."""
    text = rule["annotations"]["summary"] + rule["annotations"]["description"]
    used = set(re.findall(r"\$labels\.(\w+)", text))
    grouped = re.match(r"\(*(?:max|min|sum|count) by \(([^)]*)\)", rule["expr"])
    metric = re.search(r"swarmkeeper_\w+", rule["expr"])
    of_target = rule["expr"].startswith(("up{", "absent("))

    if of_target:
        assert used <= SCRAPED - {"host"}
    elif grouped:
        assert used <= set(re.split(r",\s*", grouped[1]))
    else:
        assert metric
        assert used <= SCRAPED.union(LABELS[metric[0]])


def test_the_address_of_the_runbook_is_one_setting() -> None:
    ours = generated("https://wiki.corp.test/swarm")["prometheus/alerts.yaml"]
    urls = re.findall(r"runbook_url: (\S+)", ours)

    assert len(urls) == len(rules())
    assert {url.partition("#")[0] for url in urls} == {"https://wiki.corp.test/swarm"}
    assert RUNBOOK_URL not in ours


def test_the_committed_files_are_those_that_the_source_makes() -> None:
    made = generated()
    deploy = REPOSITORY / "deploy"

    assert {str(path.relative_to(deploy)) for path in DASHBOARDS} == {
        name for name in made if name.endswith(".json")
    }
    assert [name for name, text in made.items() if (deploy / name).read_text() != text] == []


def test_the_runbook_explains_the_rules_and_no_others() -> None:
    sections = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)

    assert sections == list(dict.fromkeys(rule["alert"] for rule in rules()))


def test_the_runbook_explains_why_something_is_blocked() -> None:
    section = RUNBOOK.read_text().partition("### SwarmkeeperBlocked")[2].partition("\n### ")[0]

    assert set(re.findall(r"`(\w+)`", section)) >= set(get_args(BlockedKind))
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) <= set(get_args(BlockedKind))


@pytest.mark.parametrize("rule", rules(), ids=named)
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


def test_the_dashboards_ask_only_for_metrics_the_agent_has() -> None:
    assert {name for expression in dashboard_expressions() for name in strangers(expression)} == set()


def test_the_dashboards_ask_in_valid_promql(tmp_path: Path) -> None:
    expressions = [text.replace("$__rate_interval", "5m") for text in dashboard_expressions()]
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))

    code, output = promtool("check", "rules", tmp_path / "panels.yaml")

    assert code == 0, output


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_panels_of_a_dashboard_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    panels = load(path)["panels"]
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells

    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_leads_to_the_others_and_explains_each_panel(path: Path) -> None:
    document = load(path)

    assert [link["tags"] for link in document["links"]] == [["swarmkeeper"]]
    assert document["tags"] == ["swarmkeeper"]
    assert [panel["title"] for panel in document["panels"] if not panel.get("description")] == []


def test_every_link_of_a_cell_leads_to_a_dashboard_and_a_variable_of_it() -> None:
    variables = {
        document["uid"]: {each["name"] for each in document["templating"]["list"]}
        for document in map(load, DASHBOARDS)
    }
    links = [
        link["url"]
        for path in DASHBOARDS
        for panel in load(path)["panels"]
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        for each in override["properties"]
        if each["id"] == "links"
        for link in each["value"]
    ]

    assert len(links) >= 4
    for url in links:
        uid = url.removeprefix("/d/").partition("?")[0]
        assert set(re.findall(r"var-(\w+)=", url)) <= variables[uid], url


def test_the_overview_shows_hosts_without_power() -> None:
    """`up` and the metrics of a host end with it; the leader's metrics name it."""
    expressions = [
        target["expr"]
        for path in DASHBOARDS
        if path.stem == "overview"
        for panel in load(path)["panels"]
        for target in panel.get("targets", ())
    ]

    assert sum("swarmkeeper_cluster_host_state" in each for each in expressions) == 2
    assert any("swarmkeeper_cluster_replicas" in each for each in expressions)
