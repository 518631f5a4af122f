"""What the command takes for the largest documents, as lines of JSON: processor seconds and memory of its process."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.scale_document import head, name_of
from bench.scale_table import said
from tests.support.etcd_server import EtcdServer, running

ROUNDS = 5
HOSTS = 100
"""Of the document that is planned."""
WORST, REFUSED = 333, 900
"""Services: with three constraints and on 1,000 hosts, the most that a document may have, and more."""


class Taken(NamedTuple):
    seconds: float
    """Processor time."""
    megabytes: float
    """The most memory at any time."""


def taken(*arguments: str, ends_with: int = 0) -> Taken:
    """What the command takes, compiled as it is installed. Raises CalledProcessError when it ends with another code."""
    command = [sys.executable, "-m", "agent.cli.app", *arguments]
    compiled = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=compiled)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != ends_with:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Taken(used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)


def planned() -> str:
    """1,000 services with 5,000 replicas."""
    services = (f"\n  s{n}: {{image: 'example/s:{n}', deploy: {{replicas: 5}}}}" for n in range(1000))
    return head(HOSTS, "".join(services))


def constrained(services: int) -> str:
    """Global services with three constraints each, which one of 1,000 hosts meets."""
    deploy = (
        "{{mode: global, placement: {{constraints: "
        "[node.role == worker, node.labels.zone != b, node.hostname == {}]}}}}"
    )
    lines = (
        f"\n  s{n}: {{image: 'example/s:{n}', deploy: {deploy.format(name_of(n + 5))}}}"
        for n in range(services)
    )
    return head(1000, "".join(lines))


def main(_part: str, _size: str, _most_s: str) -> None:
    rounds = [taken("--help") for _ in range(ROUNDS)]
    said("--help: seconds", median(each.seconds for each in rounds))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        documents = {"plan": planned(), "worst": constrained(WORST), "refused": constrained(REFUSED)}
        for what, text in documents.items():
            (directory / f"{what}.yaml").write_text(text)
        found = taken("validate", str(directory / "worst.yaml"))
        said("validate, the worst document: seconds", found.seconds)
        said("validate, the worst document: MB", found.megabytes)
        found = taken("validate", str(directory / "refused.yaml"), ends_with=1)
        said("validate, a document beyond the limits: seconds", found.seconds)
        with running(EtcdServer(directory / "etcd")) as etcd:
            document = str(directory / "plan.yaml")
            found = taken("plan", document, "--endpoint", etcd.endpoint, "--cluster", "prod")
            said("plan, 1,000 services and 5,000 replicas: seconds", found.seconds)
            said("plan, 1,000 services and 5,000 replicas: MB", found.megabytes)


if __name__ == "__main__":
    main(*sys.argv[1:])
