"""A cluster whose agents have a user of etcd for each host, in the roles that `swarmkeeper etcd-roles` prints."""

import base64
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.model.records import LeaderRecord, decode, encode
from integration.cluster import EXAMPLE, NAME, PREFIX, UNIT, Cluster
from integration.lab.host import Host
from tests.support.document import document

NAMED_S = 10
"""Within this time each attack is named on a host."""
LOOKED_AT_S = 12
"""For so long nothing may come of an attack: several passes of every agent."""
LEADERS, WORKER = ("node-231", "node-232"), "node-233"
PASSWORD = "of-the-lab"
KEY_FILE = "/etc/swarmkeeper/tokens.key"
KEY = base64.b64encode(bytes(32)).decode()
IMAGE = "10.159.62.231/somecom/order:1.0.0"
DOCUMENT = document(
    EXAMPLE,
    roles={WORKER: "worker"},
    services={
        "placed": {"image": IMAGE, "deploy": {"replicas": 3}},
        "everywhere": {"image": IMAGE, "deploy": {"mode": "global"}},
    },
)


class GuardedCluster(Cluster):
    """Agents with a user of etcd for each host, whose join tokens are sealed."""

    def config(self, host: Host) -> str:
        user = f"user: {host.name}, password_file: /etc/swarmkeeper/etcd.password, allow_plaintext_password: true"
        text = super().config(host)
        assert text.count("\netcd:\n  endpoints: [") == 1
        return text.replace("\netcd:\n", f"\netcd:\n  {user.replace(', ', chr(10) + '  ')}\n") + (
            f"tokens: {{key_file: {KEY_FILE}}}\n"
        )

    def install(self) -> None:
        super().install()
        self.guard()

    def install_on(self, host: Host, deb: Path) -> None:
        super().install_on(host, deb)
        for path, text in (("/etc/swarmkeeper/etcd.password", PASSWORD), (KEY_FILE, KEY)):
            host.write(path, text, mode=0o640)
            host.exec("chgrp", "swarmkeeper", path)

    def guard(self) -> None:
        """Print the commands of the roles, run them, make the users, and enable authentication, as the guide says."""
        host = self.lab.hosts[0]
        scripts = [self.command("etcd-roles", "--cluster", NAME).stdout]
        for each in self.lab.hosts:
            may_lead = ["--may-lead"] if each.name in LEADERS else []
            scripts.append(
                self.command("etcd-roles", "--cluster", NAME, "--host", each.name, *may_lead).stdout
            )
        roles = {each.name: f"swarmkeeper-{NAME}-host-{each.name}" for each in self.lab.hosts}
        roles |= {"ci": f"swarmkeeper-{NAME}-operator", "root": "root", "any": f"swarmkeeper-{NAME}-agent"}
        for user, role in roles.items():
            scripts += [
                shlex.join(("etcdctl", "user", "add", f"{user}:{PASSWORD}")),
                shlex.join(("etcdctl", "user", "grant-role", user, role)),
            ]
        reader = ("etcdctl role add reader", f"etcdctl role grant-permission reader read --prefix {PREFIX}")
        scripts += [*reader, f"etcdctl user add reader:{PASSWORD}", "etcdctl user grant-role reader reader"]
        done = host.exec("sh", "-c", "export ETCDCTL_API=3\n" + "\n".join([*scripts, "etcdctl auth enable"]))
        assert "Authentication Enabled" in done.stdout, done.stderr
        self.etcd_user = self.user("root")

    def user(self, name: str) -> tuple[str, ...]:
        return ("--user", f"{name}:{PASSWORD}")

    def as_user(self, user: str, *argv: str, value: str | None = None) -> tuple[int, str]:
        """Run etcdctl once as a user: its exit code, and what it said."""
        command = self.etcdctl_command(self.user(user), argv)
        done = self.lab.hosts[0].exec(*command, input=value, check=False)
        return done.returncode, done.stdout + done.stderr

    def forge(self, user: str, key: str, value: str) -> None:
        code, said = self.as_user(user, "put", f"{PREFIX}{key}", value=value)
        assert code == 0, said

    def members(self) -> dict[str, str]:
        """Node id of each host, as its own dockerd says it."""
        return {host.name: host.docker.info()["Swarm"]["NodeID"] for host in self.lab.hosts}

    def record(self, kind: type[Any], key: str) -> Any:
        return decode(kind, self.etcdctl("get", "--print-value-only", f"{PREFIX}{key}").strip().encode())


def fixed(cluster: Cluster) -> dict[str, str]:
    """Every replica but those that the scheduler places, with its host and its start."""
    return {name: at for name, at in cluster.started().items() if "-placed-" not in name}


def said_on(host: Host, since: str) -> str:
    return host.journal_text(UNIT, since)


def now(host: Host) -> str:
    return host.exec("date", "+%Y-%m-%d %H:%M:%S").stdout.strip()


def stays(cluster: Cluster, before: dict[str, str]) -> None:
    """AssertionError as soon as a fixed or global replica is not what it was, looked at for some passes."""
    until = time.monotonic() + LOOKED_AT_S
    while time.monotonic() < until:
        assert fixed(cluster) == before
        assert not [each for each in cluster.containers(everything=True) if "evil" in each.name]


def take_lock(cluster: GuardedCluster, user: str) -> None:
    """Take the leader's lock with a lease of ten years."""
    code, said = cluster.as_user(user, "lease", "grant", str(10 * 365 * 86_400))
    assert code == 0, said
    forged = encode(LeaderRecord(host=user, since="2026-01-01T00:00:00Z")).decode()
    code, said = cluster.as_user(user, "put", f"{PREFIX}leader", f"--lease={said.split()[1]}", value=forged)
    assert code == 0, said


@contextmanager
def lock_of_thief(cluster: GuardedCluster, user: str) -> Iterator[None]:
    """The thief has the leader's lock meanwhile, so that no agent repairs what he writes."""
    take_lock(cluster, user)
    try:
        yield
    finally:
        cluster.delete("leader")
