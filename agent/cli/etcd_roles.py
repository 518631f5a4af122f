"""`etcd-roles`: print the commands that create the roles of a cluster in etcd."""

import shlex
from pathlib import Path

import typer

from agent.config import load_config
from agent.errors import Invalid
from agent.model.keys import EtcdRole, Keys, Permission, etcd_roles, host_role


def show_roles(config: Path, cluster: str | None, host: str | None = None, *, may_lead: bool = False) -> None:
    """Print etcdctl commands for the cluster, or for the role of one host.

    Raises Invalid when neither the option nor the configuration names the cluster.
    """
    if cluster is None and not config.exists():
        raise Invalid(f"{config} does not exist: name a file with --config, or give --cluster")
    keys = Keys(cluster or load_config(config).cluster)
    operator, agent = etcd_roles(keys)
    lines, then = (*_commands(operator), *_commands(agent)), _next(operator, agent)
    if host is not None:
        role, other = (host_role(keys, host, may_lead=each) for each in (may_lead, not may_lead))
        lines, then = (*_commands(role), *_revocations(role, other)), _next_of_host(host, role, agent)
    for line in (*lines, *(f"# {each}" for each in then)):
        typer.echo(line)


def _commands(role: EtcdRole) -> tuple[str, ...]:
    # An existing role is no fault: the commands below grant its permissions again.
    add = f"{shlex.join(('etcdctl', 'role', 'add', role.name))} || true"
    return (add, *(shlex.join(("etcdctl", *_grant(role.name, each))) for each in role.permissions))


def _grant(role: str, permission: Permission) -> tuple[str, ...]:
    return ("role", "grant-permission", role, permission.right, *_keys(permission))


def _keys(permission: Permission) -> tuple[str, ...]:
    return (permission.key, permission.end) if permission.end else (permission.key,)


def _revocations(role: EtcdRole, other: EtcdRole) -> tuple[str, ...]:
    """Return the commands that revoke what only the other form of the role has: the host may have had that one."""
    gone = {*map(_keys, other.permissions)} - {*map(_keys, role.permissions)}
    revoke = ("etcdctl", "role", "revoke-permission", role.name)
    return tuple(f"{shlex.join((*revoke, *keys))} || true" for keys in sorted(gone))


def _next(operator: EtcdRole, agent: EtcdRole) -> tuple[str, ...]:
    return (
        "Then grant the roles to users, and enable authentication unless it is enabled:",
        "etcdctl user add ci && etcdctl user grant-role ci " + shlex.quote(operator.name),
        "etcdctl user add agent && etcdctl user grant-role agent " + shlex.quote(agent.name),
        "etcdctl user add root && etcdctl user grant-role root root && etcdctl auth enable",
        "For a role of each host, which writes less, use --host.",
    )


def _next_of_host(host: str, role: EtcdRole, agent: EtcdRole) -> tuple[str, ...]:
    user, grant = f"etcdctl user add {host}", f"etcdctl user grant-role {host} {role.name}"
    return (
        f"Then grant the role to a user, with the common name {host} of a client certificate or with a password:",
        f"{user} --no-password && {grant}",
        f"{user} && {grant}",
        f"If the user has the role of all agents: etcdctl user revoke-role {host} {agent.name}",
    )
