"""`etcd-roles`: print the commands that create the roles of a cluster in etcd."""

import shlex
from pathlib import Path

import typer

from agent.config import load_config
from agent.errors import Invalid
from agent.model.keys import EtcdRole, Keys, Permission, etcd_roles


def show_roles(config: Path, cluster: str | None) -> None:
    """Print etcdctl commands for the cluster. Raises Invalid when neither the option nor the configuration names it."""
    if cluster is None and not config.exists():
        raise Invalid(f"{config} does not exist: name a file with --config, or give --cluster")
    operator, agent = etcd_roles(Keys(cluster or load_config(config).cluster))
    for role in (operator, agent):
        for line in _commands(role):
            typer.echo(line)
    for line in _next(operator, agent):
        typer.echo(f"# {line}")


def _commands(role: EtcdRole) -> tuple[str, ...]:
    # An existing role is no fault: the commands below grant its permissions again.
    add = f"{shlex.join(('etcdctl', 'role', 'add', role.name))} || true"
    return (add, *(shlex.join(("etcdctl", *_grant(role.name, each))) for each in role.permissions))


def _grant(role: str, permission: Permission) -> tuple[str, ...]:
    keys = (permission.key, permission.end) if permission.end else (permission.key,)
    return ("role", "grant-permission", role, permission.right, *keys)


def _next(operator: EtcdRole, agent: EtcdRole) -> tuple[str, ...]:
    return (
        "Then grant the roles to users, and enable authentication unless it is enabled:",
        "etcdctl user add ci && etcdctl user grant-role ci " + shlex.quote(operator.name),
        "etcdctl user add agent && etcdctl user grant-role agent " + shlex.quote(agent.name),
        "etcdctl user add root && etcdctl user grant-role root root && etcdctl auth enable",
    )
