"""The dockerd of each host for `logs`, `exec` and `restart`: this host's own socket, others through ssh, as `doctor`.

The command's own configuration says how ssh reaches a host: ~/.config/swarmkeeper/cli.yaml, else
/etc/swarmkeeper/cli.yaml. Without one, ssh goes to the address in the document, as the user that ssh takes by itself.
"""

import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.cli import CONFIG
from agent.cli.connect import Connection
from agent.clients.docker.output import Output
from agent.clients.ssh import Tunnel
from agent.config import load_config, read_file
from agent.errors import Invalid, SwarmkeeperError, Unreachable
from agent.model.intent import HOST_NAME, Intent
from agent.model.observed import ClusterState
from agent.yamldoc import Cursor
from agent.yamldoc.readers import after, matching, text

_SOCKET = "/run/docker.sock"
_USER = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"
_TARGET = re.compile(rf"(?:(?P<user>{_USER})@)?(?P<host>{HOST_NAME})(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The section `ssh` of cli.yaml."""

    user: str | None = None
    docker_socket: str | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Name of a host -> `[user@]address[:port]`."""


@after(text)
def _target(cursor: Cursor, value: str) -> str | None:
    found = _TARGET.fullmatch(value)
    if found and 0 < int(found["port"] or 22) < 1 << 16:
        return value
    return cursor.fault(f"{cursor.shown} is no target of ssh", "write for example admin@10.0.0.1:22")


_user = matching(_USER, "the name of a user", "admin")
_socket = matching(r"/[^\s:]{1,90}", "an absolute path without a colon", _SOCKET)
_host = matching(HOST_NAME, "a host name", "node-1")


def _read(root: Cursor) -> Settings:
    found, place = Settings(), root.fields(("ssh",)).at("ssh")
    if place is not None and not place.is_null:
        ssh = place.fields(("user", "docker_socket", "hosts"))
        at = ssh.at("hosts")
        hosts = {_host(key): _target(value) for key, value in (at.entries() if at else ())}
        known = {key: value for key, value in hosts.items() if key and value}
        user, docker_socket = ssh.read("user", _user), ssh.read("docker_socket", _socket)
        found = Settings(user=user, docker_socket=docker_socket, hosts=known)
    root.faults.raise_if_any()
    return found


def load_settings() -> Settings:
    """Return the settings in the first cli.yaml that exists. Raises Invalid, with every fault and its place."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    paths = (home / "swarmkeeper" / "cli.yaml", CONFIG.with_name("cli.yaml"))
    return next((read_file(path, _read) for path in paths if path.exists()), Settings())


@contextmanager
def reaching(connection: Connection, config: Path | None) -> Iterator["Reach"]:
    """Yield the way to the engines, and end every connection at the end of the block, also if a signal ends it."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) == signal.SIG_DFL:
            signal.signal(each, signal.default_int_handler)
    reach = Reach(connection.keys.cluster, config)
    try:
        yield reach
    finally:
        reach.close()


class Reach:
    """The engines of the hosts of a cluster, each with one connection that all threads share."""

    def __init__(self, cluster: str, config: Path | None) -> None:
        self._cluster, self.settings = cluster, load_settings()
        self.own, self._own_url = "", ""
        """The name of this host; empty if it is none of the cluster, or this user may not read its agent.yaml."""
        try:
            loaded = load_config(config or CONFIG)
        except (SwarmkeeperError, OSError):
            pass  # not a host of the cluster, or no file for this user: ssh reaches every host
        else:
            if loaded.cluster == cluster and loaded.docker.url.startswith("unix://"):
                self.own, self._own_url = loaded.host, loaded.docker.url
        self._lock, self._closed = threading.Lock(), False
        self._tunnels: dict[str, Tunnel] = {}
        self._engines: dict[str, Output] = {}

    def engine(self, host: str, state: ClusterState) -> Output:
        """Return the engine of a host; a lost connection is made again. Raises Unreachable, Invalid.

        No two threads may ask for one host at the same time.
        """
        if host in self._engines and not self.fault(host):
            return self._engines[host]
        if lost := self._engines.pop(host, None):
            lost.close()
        url = self._own_url if host == self.own else f"unix://{self._tunnel(host, state).socket}"
        self._engines[host] = Output(url, self._cluster)
        return self._engines[host]

    def fault(self, host: str) -> str:
        """Return the reason why the connection to a host is lost; empty: it is not."""
        tunnel = self._tunnels.get(host)
        return "" if tunnel is None or tunnel.is_up else tunnel.why()

    def target(self, host: str, intent: Intent | None) -> list[str]:
        """Return the options for ssh that lead to a host, and its address. Raises Invalid if nothing tells that."""
        declared = intent.host(host) if intent else None
        found = _TARGET.fullmatch(self.settings.hosts.get(host) or f"{declared.address if declared else ''}")
        if found is None:
            raise Invalid("the document does not declare its address: name it in cli.yaml under ssh.hosts")
        user = found["user"] or self.settings.user
        options = [*(["-l", user] if user else ()), *(["-p", found["port"]] if found["port"] else ())]
        return [*options, found["host"]]

    def _tunnel(self, host: str, state: ClusterState) -> Tunnel:
        target = self.target(host, state.accepted)
        with self._lock:  # `close` ends it from here on, also while it connects
            if self._closed:
                raise Unreachable("the command has ended")
            if lost := self._tunnels.pop(host, None):
                lost.close()
            tunnel = Tunnel(target, self.settings.docker_socket or _SOCKET)
            self._tunnels[host] = tunnel
        tunnel.wait()
        return tunnel

    def close(self) -> None:
        """End every connection, also those that other threads still use."""
        with self._lock:
            self._closed = True
            for each in self._tunnels.values():
                each.close()
