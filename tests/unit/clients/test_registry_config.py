"""Credentials for registries: what is read, what is refused and in which words, and that a replaced file counts."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from agent.clients.registry_config import RegistryConfig
from agent.errors import Invalid

IMAGE = "registry.test:5000/team/order:1.0.0"
SECRET = "s3cret:word"
AUTH = base64.b64encode(f"robot:{SECRET}".encode()).decode()


def config(tmp_path: Path, body: Any) -> RegistryConfig:
    path = tmp_path / "registry.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return RegistryConfig(str(path))


def said(header: str | None) -> dict[str, str]:
    assert header is not None
    return dict(json.loads(base64.urlsafe_b64decode(header)))


def test_user_and_password_are_what_docker_login_writes(tmp_path: Path) -> None:
    found = config(tmp_path, {"auths": {"registry.test:5000": {"auth": AUTH}}})
    assert said(found.header(IMAGE)) == {
        "serveraddress": "registry.test:5000",
        "username": "robot",
        "password": SECRET,
    }


def test_an_identity_token_goes_before_a_password(tmp_path: Path) -> None:
    entry = {"auth": AUTH, "identitytoken": "tok"}
    header = config(tmp_path, {"auths": {"registry.test:5000": entry}}).header(IMAGE)
    assert said(header) == {"serveraddress": "registry.test:5000", "identitytoken": "tok"}


def test_another_registry_is_asked_without_credentials(tmp_path: Path) -> None:
    found = config(tmp_path, {"auths": {"registry.test:5000": {"auth": AUTH}}})
    assert found.header("registry.test/team/order:1.0.0") is None
    assert found.header("busybox") is None
    assert RegistryConfig().header(IMAGE) is None


@pytest.mark.parametrize("server", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
@pytest.mark.parametrize(
    "image", ["busybox", "team/order:1", "docker.io/team/order:1", "index.docker.io/a/b"]
)
def test_dockers_hub_has_many_names(tmp_path: Path, server: str, image: str) -> None:
    assert said(config(tmp_path, {"auths": {server: {"auth": AUTH}}}).header(image))["username"] == "robot"


def test_a_replaced_file_counts_at_the_next_pull(tmp_path: Path) -> None:
    found = config(tmp_path, {"auths": {}})
    assert found.header(IMAGE) is None
    (tmp_path / "new").write_text(json.dumps({"auths": {"registry.test:5000": {"auth": AUTH}}}))
    (tmp_path / "new").replace(tmp_path / "registry.json")
    assert said(found.header(IMAGE))["username"] == "robot"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f'{{"auths": {AUTH}', "not JSON"),
        ([], "not a JSON object"),
        ({"auths": []}, "auths: not a JSON object"),
        ({"credsStore": "secretservice"}, "credsStore: credential helpers are not supported"),
        (
            {"auths": {}, "credHelpers": {"gcr.io": "gcloud"}},
            "credHelpers: credential helpers are not supported",
        ),
        ({"auths": {"r.test": {}}}, "auths.r.test: no credentials"),
        ({"auths": {"r.test": {"auth": "%%" + SECRET}}}, "auths.r.test.auth: not base64"),
        (
            {"auths": {"r.test": {"auth": base64.b64encode(SECRET[:3].encode()).decode()}}},
            "no credentials",
        ),
        ({"auths": {"r.test": SECRET}}, "auths.r.test: expected an object of strings"),
    ],
)
def test_what_cannot_be_used_is_refused_without_a_secret_in_the_words(
    tmp_path: Path, body: Any, words: str
) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        config(tmp_path, body).check()
    assert str(refused.value).startswith(str(tmp_path / "registry.json"))
    assert SECRET not in str(refused.value)
    assert AUTH not in str(refused.value)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"absent\.json: cannot be read: No such file"):
        RegistryConfig(str(tmp_path / "absent.json")).header(IMAGE)


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    found = config(tmp_path, {"auths": {"registry.test:5000": {"auth": AUTH}}})
    found.check()
    assert SECRET not in repr(found._known)
