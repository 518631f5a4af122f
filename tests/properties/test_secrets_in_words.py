"""What holds a secret tells it to nobody: not in a repr, which is what a log or a traceback shows, not in its words."""

import dataclasses
from typing import Any

import pytest

from agent.clients.docker.errors import failure
from agent.clients.registry_config import read_auths
from agent.clients.seal import WithKeys, load_seal
from agent.config import load_config
from agent.errors import Invalid
from agent.http.access import WebConfig, load_web_config
from agent.intent import parse_intent
from agent.model import leader_steps, steps
from agent.model.faults import InvalidDocument
from agent.model.host_state import SwarmState
from agent.model.intent import ServiceIntent
from agent.model.observed import Observed
from agent.model.records import Accepted, Tokens, UnlockKeys
from agent.model.spec import ContainerSpec, spec_hash
from agent.model.store import KeyValue, Put, StoreSettings, settings_faults
from tests.support.builders import assignment, cluster, host, intent, member

SECRET = "s3cr3t"
TOKENS = Tokens(swarm_id="swarm-1", worker=f"{SECRET}-w", manager=f"{SECRET}-m", sealed=f"{SECRET}-s")
KEYS = UnlockKeys(swarm_id="swarm-1", on=True, keys=(SECRET,), sealed=SECRET)
SPEC = ContainerSpec(image="order:1.0.0", environment=(("PASSWORD", SECRET),))
SERVICE = ServiceIntent(name="order", spec=SPEC, placement=(("h1", 1),))
INTENT = intent(SERVICE)
SWARM = dataclasses.replace(member(), tokens=TOKENS, unlock_key=SECRET)
STATE = cluster(INTENT, tokens=TOKENS, unlock=KEYS)
HOLDERS: list[Any] = [
    TOKENS,
    KEYS,
    SPEC,
    SERVICE,
    INTENT,
    SWARM,
    STATE,
    Observed(me="h1", host=host(swarm=SWARM), cluster=STATE),
    SwarmState(local="active", tokens=TOKENS, unlock_key=SECRET),
    Accepted(revision=1, document=f"PASSWORD: {SECRET}"),
    KeyValue(key="k", value=SECRET.encode(), create_revision=1, mod_revision=1),
    Put(key="k", value=SECRET.encode()),
    WebConfig(users=(("a", SECRET),)),
    WithKeys("prod", [SECRET.encode().ljust(32, b"-")], "a file"),
    *read_auths(b'{"auths": {"r.example": {"username": "s3cr3t", "password": "s3cr3t"}}}').values(),
    steps.JoinSwarm(role="worker", advertise="a", remotes=(), token=SECRET, reason="r"),
    steps.UnlockHost(keys=(SECRET,), reason="r"),
    leader_steps.TurnAutolockOn(known=KEYS, reason="r"),
    leader_steps.PublishAssignment(host="h1", assignment=assignment(INTENT), specs=(SPEC,), reason="r"),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda each: type(each).__name__)
def test_it_is_in_no_repr_and_in_no_words(holder: object) -> None:
    assert SECRET not in f"{holder!r} {holder!s}"
    assert SECRET not in repr([holder])


def test_a_spec_is_told_by_its_hash() -> None:
    assert spec_hash(SPEC) not in ("", SECRET)


@pytest.mark.parametrize("status", [400, 409, 500, 503])
def test_what_docker_says_of_a_token_is_told_without_it(status: int) -> None:
    said = str(failure(status, "invalid join token SWMTKN-1-abc-def, or key SWMKEY-1-x/y+z= was wrong"))
    assert "SWMTKN-1" not in said
    assert "SWMKEY-1" not in said
    assert "invalid join token SWM***" in said


def test_a_sealing_key_that_is_none_is_not_repeated(tmp_path: Any) -> None:
    file = tmp_path / "tokens.key"
    file.write_text(f"{SECRET}\n")
    with pytest.raises(Invalid) as refused:
        load_seal("prod", str(file))
    assert SECRET not in f"{refused.value!r} {refused.value!s} {refused.value.__cause__!r}"


def in_environment(value: str) -> str:
    return f"services:\n  order:\n    environment:\n      PASSWORD: {value}\n"


@pytest.mark.parametrize("value", ["*{}", "!{}", "!{} more", "!!{}", "!{}!", "!<{}>"])
def test_a_password_that_yaml_takes_for_an_alias_or_a_tag_is_not_repeated(value: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        parse_intent(in_environment(value.format(SECRET)).encode(), 1)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "option",
    [
        f"etcd: {SECRET}",
        f"etcd: {{endpoints: [h], user: u, password_file: {SECRET}}}",
        f"etcd: {{endpoints: ['http://u:{SECRET}@h:2379/x']}}",
        f"etcd: {{endpoints: ['http://u:{SECRET}@h', 'http://u:{SECRET}@h']}}",
        f"tokens: {SECRET}",
        f"tokens: {{key_file: {SECRET}}}",
    ],
)
def test_a_secret_in_the_wrong_place_of_agent_yaml_is_not_repeated(tmp_path: Any, option: str) -> None:
    (tmp_path / "agent.yaml").write_text(f"cluster: prod\nhost: h1\n{option}\n")
    with pytest.raises(InvalidDocument) as refused:
        load_config(tmp_path / "agent.yaml")
    assert SECRET not in str(refused.value)


def test_a_password_in_an_endpoint_is_not_repeated_whatever_else_is_wrong_with_it() -> None:
    (said,) = settings_faults(StoreSettings(endpoints=(f"ftp://u:{SECRET}@h/x",)))
    assert "cannot contain user and password" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "content", ["alice:{}", "basic_auth_users: 'alice:{}'", "basic_auth_users:\n  alice:{}"]
)
def test_a_hash_in_the_wrong_place_of_the_web_configuration_is_not_repeated(
    tmp_path: Any, content: str
) -> None:
    (tmp_path / "web.yaml").write_text(content.format(SECRET))
    with pytest.raises(InvalidDocument) as refused:
        load_web_config(tmp_path / "web.yaml")
    assert SECRET not in str(refused.value)
