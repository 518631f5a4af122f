"""No decision, metric or field of the agent is read out of a sentence that the agent itself has written."""

from pathlib import Path

import pytest

from tests.support.house import AGENT
from tests.support.sentences import parsers, parsers_below

ALLOWED = {
    "Docker's errors, in phrase tables: dockerd has no code for them": (
        "clients/docker/errors.py:network_failure",
        "clients/docker/errors.py:unless",
        "clients/docker/swarm.py:Swarm.unlock_swarm",
        "clients/docker/transport.py:Transport._send",
        "diff/bridge.py:refused_form",
        "diff/container/network.py:_is_gone",
        "diff/replicas.py:is_about_a_network",
        "diff/replicas.py:is_about_an_address",
        "diff/replicas.py:with_left_task",
        "observe/host.py:HostReader._listening",
        "planner/host/prerequisites.py:_failed_for",
        "planner/host/prerequisites.py:_port_user",
        "report/counters.py:failure_reason",
    ),
    "gRPC's and etcd's errors, in phrase tables": (
        "clients/etcd/calls.py:_auth_is_off",
        "clients/etcd/channel.py:Failure.as_error",
        "clients/etcd/channel.py:Failure.cause",
        "clients/etcd/channel.py:Failure.is_ambiguous",
        "clients/etcd/channel.py:Failure.is_stale_token",
        "clients/etcd/channel.py:Failure.is_tls",
        "conditions/shared.py:store_finding",
    ),
    "libyaml's errors": ("yamldoc/compose.py:_syntax_remedy",),
    "Docker's values, not sentences": (
        "clients/docker/reading.py:_node_address",
        "clients/docker/swarm.py:_why_no_swarm",
        "diff/container/network.py:_mode",
        "model/phrases.py:short_id",
    ),
    "a value of agent.yaml": ("model/store.py:parse_endpoint",),
    "a fixed word, as the metric of the watches has it": (
        "clients/etcd/watch.py:EtcdWatch._broken",
        "clients/etcd/watch.py:EtcdWatch._restart_s",
    ),
    "the look of a line, with the same words": (
        "cli/doctor.py:_print",
        "cli/exit_codes.py:Group.invoke",
        "logs.py:_variant",
        "logs.py:_value",
        "report/journal.py:Journal._log_waiting",
        "logs.py:masked",
    ),
}
"""Reason -> the functions that may take a sentence apart. None of them may take apart one of the agent's own."""


def test_nothing_takes_a_sentence_of_the_agent_apart() -> None:
    """A new name here needs a field of its own, as `kind` or `resource`, or a reason in the list above."""
    allowed = {each for functions in ALLOWED.values() for each in functions}
    found = parsers_below(AGENT)

    assert {name: lines for name, lines in found.items() if name not in allowed} == {}
    assert allowed - found.keys() == set(), "no longer needed in the list"


@pytest.mark.parametrize(
    "code",
    [
        "each.reason.startswith(begins)",
        "status.engine_error.lower().endswith('away')",
        "fault.partition(':')[0]",
        "(found.why or '').split(': ')",
        "'quorum' in blocked.reason",
        "f' {resource}: ' not in step",
        "' container/a: ' in str(order)",
        "_SCHEMA.match(faults[0].problem)",
        "re.search('quorum', message)",
        "waits == 'no leader'",
        "blocked.reason != NO_QUORUM",
        "each.text in ('it is paused', 'it ended')",
        "report.text.removeprefix('blocked ')",
    ],
)
def test_a_parser_of_a_sentence_is_found(code: str) -> None:
    assert parsers(f"class Some:\n    def decide(self):\n        return {code}\n") == [("Some.decide", 3)]


def test_a_sentence_is_followed_to_another_name() -> None:
    source = "def decide(each):\n    line = each.reason.lower()\n    return 'quorum' in line\n"

    assert parsers(source) == [("decide", 3)]
    assert parsers(source.replace("each.reason", "each.kind")) == []


@pytest.mark.parametrize(
    "code",
    [
        "each.reason or 'no reason'",
        "f'{each.reason}; but {why}'",
        "each.kind == 'quorum'",
        "each.reason == other.reason",
        "each.error == ''",
        "each.resource in resources",
        "'; '.join(reasons)",
        "resource.partition('/')",
    ],
)
def test_a_sentence_that_is_only_told_is_no_parser(code: str) -> None:
    assert parsers(f"def tell():\n    return {code}\n") == []


def test_a_text_is_a_sentence_but_where_documents_and_engines_are_read(tmp_path: Path) -> None:
    for name in ("planner/host.py", "intent/ports.py"):
        module = tmp_path / name
        module.parent.mkdir()
        module.write_text(
            "def read(text, why):\n    return text.split(':')\n\ndef tell(why):\n    return 'a' in why\n"
        )

    assert parsers_below(tmp_path) == {
        "intent/ports.py:tell": [5],
        "planner/host.py:read": [2],
        "planner/host.py:tell": [5],
    }
