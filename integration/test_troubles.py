"""What goes wrong with one service, and what the operator reads of it: the texts of docs/troubleshooting.md.

Every text of that page is from a run of this file: each of its lines must be told again, but for ids, times and counts.
With SWARMKEEPER_WRITE=1 the page's texts are written again instead.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import dropwhile, takewhile
from pathlib import Path

import bcrypt
import pytest

from integration.cluster import EXAMPLE, ROOT, Cluster
from integration.conftest import LONG_ONLY
from integration.lab.eventually import eventually
from integration.lab.host import Host

pytestmark = LONG_ONLY

PAGE = ROOT / "docs/troubleshooting.md"
WRITE = "SWARMKEEPER_WRITE"
GOOD = "10.159.62.231/somecom/order:1.0.0"
DEAD, LOCKED = "127.0.0.1:5009", "127.0.0.1:5001"
TOLD_S = 60
UNITS = "/run/systemd/system"

SERVICE = """\
  trouble:
    image: {image}
    x-hosts: [node-231]
    networks: [my-network-overlay]
    {more}
"""


@dataclass(frozen=True)
class Trouble:
    """A service that cannot come up: what of it is wrong, and a word of `status` that says so."""

    said: str
    image: str = GOOD
    more: str = "restart: always"
    before: tuple[tuple[str, ...], ...] = ()
    """Commands on the host, before the document is put."""
    after: tuple[tuple[str, ...], ...] = ()
    """Commands that take the cause away."""
    then: str = ""
    """What is said when that is done; empty: nothing, the replica runs."""
    metrics: tuple[str, ...] = field(
        default=('container_start_failures_total{reason="pull",service="trouble"}',)
    )


BY_HAND = ("docker", "run", "-d", "--network", "bridge")
TROUBLES = {
    "dead registry": Trouble("connection refused", image=f"{DEAD}/somecom/order:1.0.0"),
    "wrong credentials": Trouble(
        "unauthorized|no basic auth credentials|authentication required",
        image=f"{LOCKED}/somecom/order:1.0.0",
        after=(("cp", "/etc/swarmkeeper/right.json", "/etc/swarmkeeper/registry.json"),),
        then="manifest unknown|not found",
    ),
    "missing image": Trouble("manifest unknown", image="10.159.62.231/somecom/order:9.9.9"),
    "port in use": Trouble(
        "8099",
        more='ports: ["8099:8080"]',
        before=((*BY_HAND, "--name", "squatter", "-p", "8099:8080", GOOD),),
        after=(("docker", "rm", "-f", "squatter"),),
        metrics=('blocked{reason="port"}',),
    ),
    "name in use": Trouble(
        "prod-trouble-1",
        before=((*BY_HAND, "--name", "prod-trouble-1", GOOD),),
        after=(("docker", "rm", "-f", "prod-trouble-1"),),
        metrics=('blocked{reason="name"}',),
    ),
    "bad option": Trouble(
        "nosuch",
        more="runtime: nosuch",
        metrics=('blocked{reason="unsupported"}',),
    ),
    "crash loop": Trouble(
        "it keeps exiting",
        more='entrypoint: ["/bin/busybox", "sh", "-c", "echo no database at db:3306; exit 3"]',
        metrics=('replica_crashes{service="trouble",slot="1"}', 'blocked{reason="crash"}'),
    ),
}


def document(trouble: Trouble) -> str:
    return EXAMPLE.rstrip() + "\n" + SERVICE.format(image=trouble.image, more=trouble.more)


def credentials(password: str) -> str:
    auth = base64.b64encode(f"robot:{password}".encode()).decode()
    return json.dumps({"auths": {LOCKED: {"auth": auth}}})


@pytest.fixture
def host(cluster: Cluster) -> Iterator[Host]:
    """A host with credentials that are wrong, and beside the lab's registry one that asks for them."""
    host = cluster.lab["node-231"]
    known = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    host.write("/etc/docker/registry/htpasswd", f"robot:{known}\n")
    config = json.loads(host.read("/etc/docker/registry/config.yml"))
    config["http"]["addr"] = LOCKED
    config["storage"]["filesystem"]["rootdirectory"] = "/var/lib/locked-registry"
    config["auth"] = {"htpasswd": {"realm": "locked", "path": "/etc/docker/registry/htpasswd"}}
    host.write("/etc/docker/registry/locked.yml", json.dumps(config))
    host.exec(
        "systemd-run", "--unit=locked-registry", "docker-registry", "serve", "/etc/docker/registry/locked.yml"
    )
    for name, password in (("registry", "wrong"), ("right", "right")):
        host.write(f"/etc/swarmkeeper/{name}.json", credentials(password), 0o640)
        host.exec("chgrp", "swarmkeeper", f"/etc/swarmkeeper/{name}.json")
    own = cluster.config(host)
    host.write(
        "/etc/swarmkeeper/agent.yaml", f"{own}docker:\n  registry_config: /etc/swarmkeeper/registry.json\n"
    )
    host.systemctl("restart", "swarmkeeper")
    yield host
    for trouble in TROUBLES.values():
        for command in trouble.after:
            host.exec(*command, check=False)
    host.write("/etc/swarmkeeper/agent.yaml", own)
    host.systemctl("restart", "swarmkeeper")
    host.systemctl("stop", "locked-registry", check=False)


Texts = dict[str, list[str]]


def read(cluster: Cluster, host: Host, trouble: Trouble, since: str) -> Texts:
    """What there is to read of it: `swarmkeeper status`, the journal, the metrics."""
    words = re.compile(rf"trouble|{re.escape(trouble.image)}|registry/")
    status = cluster.command("status").stdout.splitlines()
    journal = [line.partition("]: ")[2] for line in host.journal_text("swarmkeeper", since).splitlines()]
    shown = cluster.metrics(host)
    return {
        "status": _with_output(
            list(takewhile(bool, dropwhile(lambda line: line != "Problems", status))), words
        ),
        "journal": _once(line for line in journal if words.search(line) and not line.startswith("debug ")),
        "metrics": [
            f"swarmkeeper_{name} {shown[f'swarmkeeper_{name}']:g}"
            for name in trouble.metrics
            if f"swarmkeeper_{name}" in shown
        ],
    }


def _once(lines: Iterable[str]) -> list[str]:
    """The first few that are not alike."""
    return list({alike(line): line for line in reversed(list(lines))}.values())[::-1][:4]


def _with_output(lines: list[str], words: re.Pattern[str]) -> list[str]:
    return [line.rstrip() for line in lines if words.search(line) or line.lstrip().startswith("|")]


def alike(text: str) -> str:
    """A line without what is another one each time."""
    for pattern, instead in (
        (r"(?:\b|(?<=gateway_))[0-9a-f]{12,64}\b", "ID"),
        (r"(?<=127\.0\.0\.1:)[0-9]+(?=->)", "PORT"),
        (r"(seconds|attempts|again_in_s)=\S+", r"\1=N"),
        (r"\b[0-9]+ attempts?\b", "N attempts"),
        (r"\b[0-9]+ times so far", "N times so far"),
        (r" [0-9.]+$", " N"),
        (r"\s+", " "),
    ):
        text = re.sub(pattern, instead, text)
    return text.strip()


def on_page(case: str, kind: str) -> re.Pattern[str]:
    """The text block of the page that follows this mark."""
    return re.compile(rf"(<!-- {case}: {kind} -->\n```\n)(.*?)(```\n)", re.DOTALL)


def check_page(case: str, texts: Texts) -> None:
    page = PAGE.read_text()
    for kind, lines in texts.items():
        block = on_page(case, kind)
        found = block.search(page)
        assert found, f"{PAGE.name} has no text for {case}: {kind}"
        if os.environ.get(WRITE):
            body = "".join(f"{line}\n" for line in lines)
            page = block.sub(lambda mark, body=body: mark[1] + body + mark[3], page)  # type: ignore[misc]
            continue
        told = {alike(line) for line in lines}
        lost = [line for line in found[2].splitlines() if alike(line) not in told]
        assert not lost, (case, kind, lost, lines)
    if os.environ.get(WRITE):
        Path(PAGE).write_text(page)


def is_told(cluster: Cluster, host: Host, trouble: Trouble, words: str, since: str) -> Texts:
    texts = read(cluster, host, trouble, since)
    told = "\n".join(texts["status"])
    assert re.search(words, told), told
    assert texts["journal"], texts
    assert any(not line.endswith(" 0") for line in texts["metrics"]), texts
    return texts


def as_on_page(cluster: Cluster, host: Host, case: str, since: str) -> None:
    """AssertionError unless all that is read at this moment is on the page: what crashes is told now so, now so."""
    trouble = TROUBLES[case]
    check_page(case, is_told(cluster, host, trouble, trouble.said, since))


def runs(host: Host) -> None:
    found = host.docker.api.inspect_container("prod-trouble-1")
    assert found["State"]["Status"] == "running", found["State"]
    assert "io.swarmkeeper.service" in found["Config"]["Labels"]


Check = Callable[[], Texts]


def test_each_trouble_reads_as_the_page_says_touches_nothing_else_and_ends_with_its_cause(
    cluster: Cluster, host: Host
) -> None:
    cluster.wait_converged(int((cluster.get("accepted") or {})["revision"]))
    before = cluster.started()
    for case, trouble in TROUBLES.items():
        for command in trouble.before:
            host.exec(*command)
        since = host.exec("date", "+%Y-%m-%d %H:%M:%S.%6N").stdout.strip()
        cluster.put(document(trouble))
        eventually(
            partial(as_on_page, cluster, host, case, since), TOLD_S, f"{case} is told as the page says"
        )
        for command in trouble.after:
            host.exec(*command)
        if trouble.then:
            again: Check = partial(is_told, cluster, host, trouble, trouble.then, since)
            eventually(again, TOLD_S, f"{case}: its cause is gone")
        elif trouble.after:
            eventually(partial(runs, host), TOLD_S, f"{case}: it runs when its cause is gone")
        revision = cluster.put(EXAMPLE)
        cluster.wait_converged(revision)
        assert cluster.started() == before, case
