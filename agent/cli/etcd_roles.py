"""`etcd-roles`: the commands that make the roles of a cluster in etcd. They are printed: who may, runs them."""

import shlex
from pathlib import Path

import typer

from agent.config import load_config
from agent.errors import Invalid
from agent.model.keys import EtcdRole, Keys, Permission, etcd_roles


def show_roles(config: Path, cluster: str | None) -> None:
    """Print etcdctl commands for the cluster. Raises Invalid when neither the option nor the configuration names it."""
    if cluster is None and not config.exists():
        raise Invalid(f"there is no {config}: name one with --config, or give --cluster")
    operator, agent = etcd_roles(Keys(cluster or load_config(config).cluster))
    for role in (operator, agent):
        for line in _commands(role):
            typer.echo(line)
    for line in _next(operator, agent):
        typer.echo(f"# {line}")


def _commands(role: EtcdRole) -> tuple[str, ...]:
    # One that is there already is no fault: what it may do is given to it again, below.
    add = f"{shlex.join(('etcdctl', 'role', 'add', role.name))} || true"
    return (add, *(shlex.join(("etcdctl", *_grant(role.name, each))) for each in role.permissions))


def _grant(role: str, permission: Permission) -> tuple[str, ...]:
    place = (permission.key, permission.end) if permission.end else (permission.key,)
    return ("role", "grant-permission", role, permission.right, *place)


def _next(operator: EtcdRole, agent: EtcdRole) -> tuple[str, ...]:
    return (
        "then give them to users, and switch authentication on, if that is not done yet:",
        "etcdctl user add ci && etcdctl user grant-role ci " + shlex.quote(operator.name),
        "etcdctl user add agent && etcdctl user grant-role agent " + shlex.quote(agent.name),
        "etcdctl user add root && etcdctl user grant-role root root && etcdctl auth enable",
    )
