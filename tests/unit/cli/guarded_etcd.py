"""An etcd that asks who one is, with the roles and users that `swarmkeeper etcd-roles` prints."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.clients.etcd import EtcdStore
from agent.model.store import StoreSettings
from tests.support.etcd_server import EtcdServer, running
from tests.unit.cli.conftest import swarmkeeper

CLUSTER = "prod"
ROOT = "root:rootpw"
PASSWORD = "secret"


class GuardedEtcd(EtcdServer):
    """A server whose users all have the same password."""

    def make_roles(self, *options: str) -> None:
        """Do what `swarmkeeper etcd-roles | sh` does, as root."""
        printed = swarmkeeper("etcd-roles", "--cluster", CLUSTER, *options)
        assert printed.code == 0, printed.err
        self._shell(printed.out)

    def add_host(self, name: str, *, may_lead: bool) -> None:
        """Create the role and the user of a host with the printed commands, here without a prompt for the password."""
        options = ("--host", name, *(("--may-lead",) if may_lead else ()))
        self.make_roles(*options)
        printed = swarmkeeper("etcd-roles", "--cluster", CLUSTER, *options).out.splitlines()
        add = f"etcdctl user add {name}"
        command = next(each for each in printed if each.startswith(f"# {add} && "))
        self._shell(command.removeprefix("# ").replace(add, f"{add}:{PASSWORD}"))

    def _shell(self, script: str) -> None:
        settings = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.endpoint}
        user = {"ETCDCTL_USER": ROOT} if self._asks_for_names() else {}
        done = subprocess.run(
            ["sh", "-eu"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | settings | user,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr

    def _asks_for_names(self) -> bool:
        """`auth status` is newer than etcd 3.4: one who has no name is refused when it is on."""
        try:
            self.ctl("get", "x")
        except AssertionError:
            return True
        return False

    def login(self, user: str, password_file: Path) -> EtcdStore:
        return EtcdStore(
            StoreSettings(
                endpoints=(self.endpoint,),
                user=user,
                password_file=str(password_file),
                allow_plaintext_password=True,
            )
        )


@contextmanager
def running_guarded(directory: Path) -> Iterator[GuardedEtcd]:
    """Run one with the roles and users `operator` and `agent`."""
    server = GuardedEtcd(directory, arguments=("--bcrypt-cost=4",))
    with running(server):
        server.make_roles()
        for user in ("operator", "agent"):
            server.ctl("user", "add", f"{user}:{PASSWORD}")
            server.ctl("user", "grant-role", user, f"swarmkeeper-{CLUSTER}-{user}")
        server.ctl("user", "add", ROOT)
        server.ctl("user", "grant-role", "root", "root")
        server.ctl("auth", "enable")
        yield server
