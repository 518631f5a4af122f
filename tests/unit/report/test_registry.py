import ast
import gc
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.report import definitions
from agent.report.definitions import DEFINITIONS, PREFIX
from agent.report.gauges import NOTHING_YET, gauges
from agent.report.registry import Metrics
from tests.support.scenes import observed

AGENT = Path(__file__).parents[3] / "agent"
PAGE = AGENT.parent / "docs/metrics.md"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(version="1.2.3")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def labels_of(metrics: Metrics) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, labels in samples(metrics):
        found.setdefault(name, set()).update(key for key, _ in labels)
    return found


def test_prometheus_finds_nothing_to_object_to(metrics: Metrics) -> None:
    metrics.show(gauges(replace(NOTHING_YET, observed=observed()), {}))
    metrics.observe_store_call("read", 0.01, None)

    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.exposition(), capture_output=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_what_is_exposed_has_the_labels_of_the_catalogue_and_no_others(metrics: Metrics) -> None:
    metrics.show(gauges(replace(NOTHING_YET, observed=observed()), {}))

    exposed = labels_of(metrics)
    for metric in DEFINITIONS:
        if metric.kind != "histogram" and PREFIX + metric.name in exposed:
            assert exposed[PREFIX + metric.name] == set(metric.labels)


def test_the_page_about_metrics_tells_of_these_and_no_others() -> None:
    told = re.findall(
        r"^\| `(swarmkeeper_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.MULTILINE
    )

    assert told == [
        (PREFIX + each.name, each.kind, ", ".join(f"`{label}`" for label in each.labels) or "-", each.help)
        for each in DEFINITIONS
    ]


def test_the_page_about_metrics_tells_the_values_of_labels_that_are_known_beforehand() -> None:
    known = (
        ("seen", "accepted", "applied"),
        definitions.KINDS,
        definitions.RESULTS,
        definitions.PHASES,
        definitions.OPERATIONS,
        definitions.MODES,
        definitions.SOURCES,
        definitions.LOCAL_STATES,
        definitions.NODE_STATES,
        definitions.ROLES,
        definitions.REJECTIONS,
        definitions.START_FAILURES,
        definitions.STATES,
        definitions.REPLICAS,
        definitions.MANAGERS,
        definitions.SIZES,
    )
    page = PAGE.read_text()

    assert [each for each in known if ", ".join(f"`{value}`" for value in each) not in page] == []


def test_every_metric_is_set_or_counted_somewhere() -> None:
    modules = (
        "report/gauges.py",
        "report/counters.py",
        "report/registry.py",
        "report/reporter.py",
        "daemon/wiring.py",
        "daemon/main.py",
    )
    trees = [ast.parse((AGENT / module).read_text()) for module in modules]
    named = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}

    assert [each.name for each in DEFINITIONS if each.name not in named] == []


def test_every_metric_without_labels_is_there_from_the_start(metrics: Metrics) -> None:
    exposed = labels_of(metrics)

    unlabelled = [
        PREFIX + each.name for each in DEFINITIONS if not each.labels and not each.name.startswith("cluster_")
    ]
    assert [name for name in unlabelled if name not in exposed] == []


def test_counters_begin_at_zero_and_not_with_their_first_increase(metrics: Metrics) -> None:
    found = samples(metrics)

    assert found[("swarmkeeper_reconcile_total", (("result", "noop"),))] == 0
    assert found[("swarmkeeper_store_errors_total", (("op", "keepalive"),))] == 0
    join = (("action", "join"), ("kind", "swarm"), ("result", "error"))
    assert found[("swarmkeeper_actions_total", join)] == 0


def test_no_series_tells_when_another_was_created(metrics: Metrics) -> None:
    assert [name for name, _ in samples(metrics) if name.endswith("_created")] == []


def test_what_runs_here_is_told(metrics: Metrics) -> None:
    assert b'swarmkeeper_build_info{engine="",python="3.' in metrics.exposition()
    assert b'version="1.2.3"} 1.0' in metrics.exposition()


def test_a_call_to_etcd_is_timed_and_its_error_counted(metrics: Metrics) -> None:
    metrics.observe_store_call("txn", 0.03, None)
    metrics.observe_store_call("txn", 2.0, "timeout")

    found = samples(metrics)
    assert found[("swarmkeeper_store_request_duration_seconds_count", (("op", "txn"),))] == 2
    assert found[("swarmkeeper_store_errors_total", (("op", "txn"),))] == 1


def test_an_answer_of_etcd_is_dated_and_a_failure_is_not(metrics: Metrics) -> None:
    name = ("swarmkeeper_store_last_contact_timestamp_seconds", ())
    metrics.observe_store_call("read", 1.0, "timeout")
    assert samples(metrics)[name] == 0

    metrics.observe_store_call("read", 0.01, None)

    assert abs(samples(metrics)[name] - time.time()) < 60


def test_a_request_to_dockerd_is_timed(metrics: Metrics) -> None:
    metrics.observe_engine_call("containers", 0.02, None)

    found = samples(metrics)
    assert found[("swarmkeeper_docker_request_duration_seconds_count", (("call", "containers"),))] == 1


def test_a_followed_gauge_is_asked_when_it_is_scraped(metrics: Metrics) -> None:
    left = [9.0, 4.0]
    metrics.follow("lease_ttl_seconds", lambda: left.pop(0))

    assert [samples(metrics)[("swarmkeeper_lease_ttl_seconds", ())] for _ in range(2)] == [9.0, 4.0]


def test_series_that_are_not_retained_go_away_and_new_ones_begin_at_zero(metrics: Metrics) -> None:
    name = "container_restarts_total"
    metrics.retain(name, [("order", "1"), ("order", "2")])
    metrics.count(name, "order", "1", by=3)

    metrics.retain(name, [("order", "2"), ("order", "3")])

    found = {labels: value for (each, labels), value in samples(metrics).items() if each == PREFIX + name}
    assert found == {
        (("service", "order"), ("slot", "2")): 0,
        (("service", "order"), ("slot", "3")): 0,
    }


def test_a_gauge_that_is_not_shown_any_more_is_gone(metrics: Metrics) -> None:
    metrics.show({"drift": {("container", "prod-order-1", "image"): 1.0}})
    metrics.show({"drift": {}})

    assert not any(name == "swarmkeeper_drift" for name, _ in samples(metrics))


def test_the_process_tells_of_itself(metrics: Metrics) -> None:
    found = samples(metrics)

    assert 1e6 < found[("process_resident_memory_bytes", ())] < 1e9
    assert found[("process_cpu_seconds_total", ())] > 0
    assert 0 < time.time() - found[("process_start_time_seconds", ())] < 24 * 3600
    assert found[("process_open_fds", ())] >= 3
    gc.collect()
    assert ("python_gc_collections_total", (("generation", "2"),)) in found


def test_two_registries_do_not_share_figures() -> None:
    one, other = Metrics(version="1"), Metrics(version="1")

    one.count("leader_changes_total")

    assert samples(other)[("swarmkeeper_leader_changes_total", ())] == 0


def test_every_series_of_ours_names_host_and_cluster_and_those_of_the_process_do_not() -> None:
    metrics = Metrics(version="1", host="node-1", cluster="prod")
    metrics.show(gauges(replace(NOTHING_YET, observed=observed()), {}))
    metrics.observe_store_call("read", 0.01, None)

    constant = {("host", "node-1"), ("cluster", "prod")}
    ours = [labels for name, labels in samples(metrics) if name.startswith(PREFIX)]
    assert len(ours) > 100
    assert [labels for labels in ours if not constant <= set(labels)] == []
    assert [
        labels for name, labels in samples(metrics) if not name.startswith(PREFIX) and "host" in dict(labels)
    ] == []


def test_every_help_is_a_sentence() -> None:
    for metric in DEFINITIONS:
        assert metric.help.endswith("."), metric.name
