"""`exec` and the restart of one replica: what is done to a container on its host, without a change of the document."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import typer

from agent.cli.connect import Connection
from agent.cli.describe import named
from agent.cli.reach import Reach
from agent.cli.resources import replica_rows
from agent.cli.status import look
from agent.clients.docker.output import Output
from agent.errors import Invalid, SwarmkeeperError
from agent.yamldoc.faultlist import listed


class _Running(NamedTuple):
    host: str
    engine: Output
    container: str


def run_in(
    connection: Connection,
    reach: Reach,
    replica: str,
    command: Sequence[str],
    options: Sequence[str],
    host: str,
) -> int:
    """Run a command in the container of a replica by docker's own `exec`; return its exit code.

    `options` are `-i`, `-t`. Empty `host`: the one on which it runs. Raises Invalid, Unreachable, Refused.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise Invalid("exec needs the docker command on this machine: install docker-cli")
    at = _running(connection, reach, replica, host)
    argv = [docker, "-H", at.engine.url, "exec", *options, "--", at.container, *command]
    # Variables such as DOCKER_TLS_VERIFY are meant for another engine.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for the command in the container
    return subprocess.run(argv, env=kept, check=False).returncode  # noqa: S603 - no shell


def restart_one(connection: Connection, reach: Reach, replica: str, host: str, *, ask: bool) -> None:
    """Restart the container of a replica as `docker restart` does; its agent leaves a running one alone.

    Raises Invalid while its service has a rollout, which would take the restart for a failure; Unreachable, Refused.
    """
    at = _running(connection, reach, replica, host, calm=True)
    name = f"{replica} on {at.host}"
    if ask and not sys.stdin.isatty():
        raise Invalid(f"the restart of {name} needs an answer: add --yes")
    if not ask or typer.confirm(f"Restart {name}?", abort=True):
        at.engine.restart(at.container)
        typer.echo(f"Restarted {name}.")


def _running(
    connection: Connection, reach: Reach, replica: str, host: str, *, calm: bool = False
) -> _Running:
    """Return the newest running container of the replica. `calm`: raises Invalid if its service has a rollout."""
    found = look(connection)
    conditions = found.conditions(found.read_s)
    of = named(replica, conditions)
    if of.kind != "replica":
        raise Invalid(f"{of.key} is a {of.kind}: name a replica, as `swarmkeeper ps` lists them")
    rows = [each for each in replica_rows(found.state, conditions) if each.name == of.name and each.container]
    if calm and any(
        each.name == row.service and each.state != "Ready" for each in conditions.rollouts for row in rows
    ):
        remedy = f"wait until it has ended (`swarmkeeper describe rollout/{rows[0].service}`)"
        raise Invalid(f"{of.key}: a rollout of its service would take a restart for a failure: {remedy}")
    running: list[_Running] = []
    rows = (
        [each for each in rows if each.host == host]
        if host
        else [each for each in rows if each.current] or rows
    )
    hosts = [*dict.fromkeys(each.host for each in rows)]
    for each in hosts:
        try:
            engine = reach.engine(each, found.state)
            ids = [it.id for it in engine.replicas() if it.name == of.name and it.running]
        except SwarmkeeperError as error:
            raise type(error)(f"host {each}: {reach.fault(each) or error}") from error
        running += [_Running(each, engine, container) for container in ids[:1]]
    if len(running) > 1:
        raise Invalid(f"{of.key} runs on {listed(each.host for each in running)}: choose one with --host")
    if not running:
        lacks = (
            f"has no running container on {listed(hosts)}"
            if hosts
            else f"is in no report of {host or 'a host'}"
        )
        raise Invalid(f"{of.key} {lacks}: see `swarmkeeper describe {of.key}`")
    return running[0]
