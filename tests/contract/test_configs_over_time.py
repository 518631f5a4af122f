"""Configs with their content in the document, on a real dockerd: made, read, changed, lost, and removed at last."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clients.disk import UNUSED_S
from agent.diff.container import CONFIGS
from tests.contract.engines import DockerScene
from tests.contract.one_host import OneHost
from tests.support.docker_daemon import DockerDaemon

WEB, OTHER = "prod-web-1", "prod-other-1"
FIRST, SECOND = "a=$HOME ${X:-y} $$\nb={{.Node.Hostname}}\tü\r\n", "a=2\n"
"""What Compose, an engine or a placeholder would change, and what a line of YAML could not hold."""


@pytest.fixture
def host(dockerd: DockerDaemon, tmp_path: Path) -> Iterator[OneHost]:
    scene, made = DockerScene(dockerd), OneHost(dockerd, tmp_path)
    yield made
    scene.clean()
    scene.close()
    made.close()


def service(**more: Any) -> dict[str, Any]:
    base = {"image": "bare:1", "command": ["sleep", "1000"], "stop_signal": "KILL", "network_mode": "none"}
    return {**base, "configs": [{"source": "app", "target": "/etc/app.conf"}], **more}


def put(host: OneHost, content: str, *names: str, **more: Any) -> None:
    services = {name: service(**more) for name in names or ("web",)}
    host.put(services, configs={"app": {"content": content.replace("$", "$$")}})
    host.settle()


def files(directory: Path) -> list[Path]:
    return sorted((directory / CONFIGS).iterdir())


def read(host: OneHost, name: str = WEB) -> str:
    return host.docker("exec", name, "cat", "/etc/app.conf")


def ids(host: OneHost, *names: str) -> list[str]:
    return [host.inspected(each)["Id"] for each in names]


def encoded(text: str) -> str:
    """As `docker exec` of a text stream gives it: Python makes one line end of both."""
    return text.replace("\r\n", "\n")


def test_every_account_of_a_container_reads_the_text_and_none_writes_it(
    host: OneHost, tmp_path: Path
) -> None:
    put(host, FIRST, read_only=True, user="12345:12345", cap_drop=["ALL"])
    assert read(host) == encoded(FIRST)
    assert files(tmp_path)[0].read_bytes() == FIRST.encode()
    put(host, FIRST, user="0", privileged=True)
    tried = host.inside(WEB, "(echo x > /etc/app.conf) 2>&1 || rm /etc/app.conf 2>&1 || echo refused twice")
    assert tried.endswith("refused twice\n")
    assert read(host) == encoded(FIRST)


def test_nothing_is_done_while_nothing_happens(host: OneHost) -> None:
    put(host, FIRST)
    before = ids(host, WEB)
    host.steps.clear()
    for _ in range(3):
        host.turn()
    assert host.steps == []
    assert ids(host, WEB) == before


def test_another_content_takes_a_container_and_says_no_word_of_it(host: OneHost) -> None:
    put(host, FIRST)
    before = ids(host, WEB)
    host.steps.clear()
    put(host, SECOND)
    assert read(host) == SECOND
    assert ids(host, WEB) != before
    (created,) = [each for each in host.steps if each.verb == "create"]
    assert created.reason.startswith("volumes bind config ")
    assert SECOND.strip() not in repr(created) + str(created)


def test_a_file_that_was_changed_is_found_and_put_right(host: OneHost, tmp_path: Path) -> None:
    put(host, FIRST, "web", "other")
    before = ids(host, WEB, OTHER)
    (file,) = files(tmp_path)
    file.chmod(0o644)
    file.write_text("by hand")
    file.chmod(0o444)
    assert read(host) == "by hand"
    host.steps.clear()
    host.settle()
    assert (read(host, WEB), read(host, OTHER)) == (encoded(FIRST), encoded(FIRST))
    assert ids(host, WEB, OTHER) != before
    reasons = [each.reason for each in host.steps if each.verb == "create"]
    assert any("the file of /etc/app.conf" in each and "was changed" in each for each in reasons)


@pytest.mark.parametrize("starts", ["the agent", "dockerd"])
def test_a_file_that_was_removed_is_there_before_the_next_start(
    host: OneHost, tmp_path: Path, starts: str
) -> None:
    put(host, FIRST)
    host.docker("kill", WEB)
    for each in files(tmp_path):
        each.unlink()
    if starts == "dockerd":
        with pytest.raises(AssertionError, match="bind source path does not exist"):
            host.docker("start", WEB)
    host.settle()
    assert read(host) == encoded(FIRST)


def test_a_file_goes_an_hour_after_its_last_container(host: OneHost, tmp_path: Path) -> None:
    put(host, FIRST)
    (first,) = files(tmp_path)
    age(first)
    host.turn()
    assert files(tmp_path) == [first]
    os.utime(first)
    put(host, SECOND)
    assert first in files(tmp_path)
    age(first)
    host.turn()
    (second,) = files(tmp_path)
    assert second.read_text() == SECOND


def age(file: Path) -> None:
    old = time.time() - UNUSED_S - 1
    os.utime(file, (old, old))
