"""The steps of the session that docs/operate/session.md tells: what the operator types, and what has to come of it."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from integration.cluster import PREFIX, UNIT, Cluster
from integration.guarded import GuardedCluster
from integration.lab.eventually import eventually
from integration.lab.host import Host
from integration.planted import FAULTS
from integration.terminal import Terminal

REGISTRY = "10.159.62.231/somecom"
GOOD, BETTER, BAD = "1.0.0", "1.1.0", "1.2.0"
"""Tags of the service's image; the program of the last one ends a moment after it has started."""
DOCUMENT = f"""\
name: prod

x-cluster:
  version: 1
  hosts:
    node-231: {{address: 10.159.62.231, role: manager}}
    node-232: {{address: 10.159.62.232, role: manager}}
    node-233: {{address: 10.159.62.233, role: manager}}
  gwbridge: {{subnet: 172.21.0.0/20, gateway: 172.21.0.1}}

networks:
  net:
    driver: overlay
    attachable: true
    ipam: {{config: [{{subnet: 10.10.0.0/16}}]}}

services:
  shop:                                     # one replica on each host, which logs every request
    image: {REGISTRY}/order:{GOOD}
    entrypoint: [sh, -c, 'busybox httpd -f -vv -p "$$PORT" -h /www & trap "exit 0" TERM; wait "$$!"']
    restart: always
    networks: [net]
    ports: ["8080:8080"]
    x-hosts: [node-231, node-232, node-233]
  billing:                                  # three replicas, on hosts that the leader chooses
    image: {REGISTRY}/billing:{GOOD}
    restart: always
    networks: [net]
    deploy: {{replicas: 3}}
"""
STATION, OTHER, NARROW = "node-231", "node-232", "node-233"
"""Where the operator works; the host that loses its power; the one whose role in etcd is too narrow."""
CONVERGED = "Cluster prod: converged: 3 hosts, 2 services, 6 replicas"
ASK_ALL = "for host in 231 232 233; do curl -s http://10.159.62.$host:8080/; done"
DOCTOR = "swarmkeeper doctor"
WRONG = "| grep -A1 -E '^(WARN|FAIL)'"
DOCTOR_THERE = f"ssh 10.159.62.233 {DOCTOR}"
SOON_S, DOCTOR_S, POWER_S = 60, 120, 180


class SessionCluster(GuardedCluster):
    """Three managers. etcd asks for a user only from `guard` on, and gives node-233 the role of a worker."""

    guarded = False

    def install(self) -> None:
        Cluster.install(self)

    def config(self, host: Host) -> str:
        return super().config(host) if self.guarded else Cluster.config(self, host)

    def guard(self) -> None:
        """Make the users and roles, enable authentication, and give each agent its user."""
        super().guard()
        self.guarded = True

        def log_in(host: Host) -> None:
            host.write("/etc/swarmkeeper/agent.yaml", self.config(host), mode=0o644)
            host.systemctl("restart", UNIT)

        self.on_every_host(log_in)


@dataclass(frozen=True, slots=True)
class Session:
    """The cluster, the operator's terminal, and what ends with the session."""

    cluster: SessionCluster
    terminal: Terminal
    undo: ExitStack = field(default_factory=ExitStack)

    def converged(self) -> None:
        """Return when the newest document is carried out and nothing is in progress."""
        self.cluster.wait_converged(self.cluster.newest(), POWER_S)


# ---- A document, a release


def first_document(session: Session) -> None:
    terminal = session.terminal
    assert terminal.type("cat shop.yaml") == DOCUMENT
    terminal.type(
        "swarmkeeper apply --wait -m 'first document' shop.yaml",
        answer="y",
        shows=("shop: new, 3 replicas on node-231, node-232, node-233", "billing: new, 3 replicas",
               "creates the swarm", "shop: ready", "billing: ready"),
    )  # fmt: skip


def look(session: Session) -> None:
    session.converged()
    session.terminal.type("swarmkeeper status", shows=(CONVERGED,))
    shown = session.terminal.type("swarmkeeper ps")
    assert [line.split()[:4] for line in shown.splitlines()[1:]] == [
        ["shop-1", "node-231", "Ready", "running"],
        ["shop-2", "node-232", "Ready", "running"],
        ["shop-3", "node-233", "Ready", "running"],
        ["billing-1", "node-231", "Ready", "running"],
        ["billing-2", "node-232", "Ready", "running"],
        ["billing-3", "node-233", "Ready", "running"],
    ]


def release(session: Session) -> None:
    terminal = session.terminal
    terminal.type(f"sed -i s/order:{GOOD}/order:{BETTER}/ shop.yaml")
    change = f"changed {REGISTRY}/order:{GOOD} -> {REGISTRY}/order:{BETTER}"
    terminal.type("swarmkeeper diff shop.yaml", shows=(f"services.shop.image: {change}",))
    terminal.type(
        f"swarmkeeper apply --wait -m 'shop {BETTER}' shop.yaml",
        answer="y",
        shows=("shop: 3 replicas replaced one by one", f"1 of 3 replicas updated to {REGISTRY}/order:{BETTER}",
               f"2 of 3 replicas updated to {REGISTRY}/order:{BETTER}", "changes is ready, after"),
    )  # fmt: skip


def ask_all(session: Session) -> None:
    shown = session.terminal.type(ASK_ALL)
    assert shown.count(f'"service":"order","version":"{BETTER}"') == 3, shown
    assert shown.count('"called":{"service":"billing"') == 3, shown


# ---- Logs


def follow_logs(session: Session) -> None:
    with session.terminal.follow("swarmkeeper logs -f --tail 0 shop") as shown:
        eventually(partial(_are_followed, session, shown), SOON_S, "each replica is shown")
    assert {line.split()[0] for line in shown_lines(session)} == {"shop-1", "shop-2", "shop-3"}


def _are_followed(session: Session, shown: Callable[[], str], after: str = "") -> None:
    """Send a request to each replica; AssertionError unless each is shown, after these words."""
    assert session.terminal.run(ASK_ALL).code == 0
    lines = shown().partition(after)[2] if after else shown()
    for replica in ("shop-1", "shop-2", "shop-3"):
        assert f"{replica} | " in lines, lines


def shown_lines(session: Session) -> list[str]:
    """What the last command showed before Ctrl-C ended it."""
    return session.terminal.captures[-1].output.splitlines()[:-1]


# ---- A bad release


def bad_release(session: Session) -> None:
    terminal = session.terminal
    terminal.type(f"sed -i s/order:{BETTER}/order:{BAD}/ shop.yaml")
    terminal.type(
        f"swarmkeeper apply --yes --wait -m 'shop {BAD}' shop.yaml",
        code=1,
        shows=("shop-1 on node-231: it keeps exiting, last with code 1", "has failed after"),
    )


def see_why(session: Session) -> None:
    session.terminal.type_until(
        "swarmkeeper status",
        SOON_S,
        shows=("rollout shop (RolloutPaused): paused, 1 of 3 replicas updated, because shop-1",
               "next: swarmkeeper rollback"),
    )  # fmt: skip
    session.terminal.type_until("swarmkeeper events shop", SOON_S, shows=("Blocked RolloutPaused",))
    session.terminal.type("swarmkeeper logs --tail 2 shop-1", shows=("shop-1 | httpd: bad address 'none'",))
    session.terminal.type(
        "swarmkeeper ps shop", shows=("shop-1 node-231 CrashLoop", "shop-2 node-232 Rollout")
    )
    images = {each.name: each.image for each in session.cluster.containers()}
    assert images["prod-shop-2"] == images["prod-shop-3"] == f"{REGISTRY}/order:{BETTER}", images


def roll_back(session: Session) -> None:
    terminal = session.terminal
    paused, better = f"shop {BAD}", f"shop {BETTER}"
    terminal.type("swarmkeeper history", shows=("paused", paused, "carried out after", better))
    terminal.type(
        f"swarmkeeper rollback -m '{BAD} exits'",
        answer="y",
        shows=(f"changed {REGISTRY}/order:{BAD} -> {REGISTRY}/order:{BETTER}", "shop: 1 replica replaced",
               "is accepted."),
    )  # fmt: skip
    session.converged()
    terminal.type("swarmkeeper status", shows=(CONVERGED,))
    terminal.type(f"sed -i s/order:{BAD}/order:{BETTER}/ shop.yaml")


# ---- A host


def drain(session: Session) -> None:
    terminal = session.terminal
    terminal.type(
        "swarmkeeper drain node-233 -m 'new disk'",
        answer="y",
        shows=("x-cluster.hosts.node-233.availability: changed active -> drain",
               "shop: 1 replica removed from node-233", "billing: 1 replica moved from node-233"),
    )  # fmt: skip
    session.converged()
    terminal.type("swarmkeeper status", shows=("node-233 Drained manager 172.21.0.0/20 0/0 0",))
    assert "node-233" not in terminal.type("swarmkeeper ps")


def undrain(session: Session) -> None:
    session.terminal.type("swarmkeeper undrain --yes node-233", shows=("shop: 1 replica added on node-233",))
    session.converged()
    session.terminal.type("swarmkeeper hosts", shows=("node-233 Ready manager",))


def host_off(session: Session) -> None:
    """A host loses its power and gets it again; meanwhile a second terminal follows the logs."""
    cluster, terminal = session.cluster, session.terminal
    second = Terminal(terminal.host)
    shown = session.undo.enter_context(second.follow("swarmkeeper logs -f --tail 0 shop"))
    eventually(partial(_are_followed, session, shown), SOON_S, "each replica is shown")
    cluster.lab[OTHER].off()
    terminal.type_until(
        "swarmkeeper status",
        POWER_S,
        shows=("Cluster prod: node-232 unreachable for", "its node is down in the swarm, too, so it is off",
               "→ affects shop, billing (services), shop-2"),
    )  # fmt: skip
    eventually(lambda: "host node-232 cannot be read" in shown(), SOON_S, "the logs name the host")
    terminal.type("swarmkeeper ps shop", shows=("shop-2 node-232 Unreachable", "running?"))

    cluster.lab[OTHER].boot()
    session.converged()
    again = "host node-232 is read again"
    eventually(lambda: again in shown(), POWER_S, "the logs are read again")
    eventually(partial(_are_followed, session, shown, again), SOON_S, "each replica is shown again")
    session.undo.close()
    terminal.type("swarmkeeper status", shows=(CONVERGED,))
    terminal.captures += second.captures


def events(session: Session) -> None:
    session.terminal.type_until(
        "swarmkeeper events --since 30m -o wide",
        SOON_S,
        shows=("elected", "root@node-231: first document", f"root@node-231: shop {BAD}",
               "Blocked RolloutPaused", f"root@node-231: {BAD} exits", "root@node-231: new disk",
               "host/node-232 Unknown Unreachable", "host/node-232 Ready was Unknown"),
    )  # fmt: skip


# ---- doctor


def healthy(session: Session) -> None:
    session.terminal.type_until(
        DOCTOR, DOCTOR_S, shows=("OK firewall", "OK ports", "OK clocks"), holds=partial(finds, frozenset())
    )
    line = f"for host in {OTHER} {NARROW}; do ssh 10.159.62.${{host#node-}} {DOCTOR} | tail -n 1; done"
    session.terminal.type_until(line, DOCTOR_S, holds=_are_well)


def _are_well(shown: str) -> None:
    assert re.fullmatch(r"(\d+ OK, \d+ SKIP\n){2}", shown), shown


def finds(checks: frozenset[str], shown: str) -> None:
    """AssertionError unless doctor has warnings and faults of these checks, and of no others.

    It is asked again for a while: on a busy machine a read of etcd is slow at times, and doctor says so.
    """
    lines = [line for line in shown.splitlines() if line.startswith(("WARN", "FAIL"))]
    assert {line.split()[1] for line in lines} == checks, shown


def fault(name: str) -> Callable[[Session], None]:
    """Plant a fault; doctor finds it, and nothing else, with its remedy."""
    plant, of, text, remedy = FAULTS[name]
    probe = f" --probe {REGISTRY}/order:{GOOD}" if of == "overlays" else ""

    def do(session: Session) -> None:
        with plant(session.cluster):
            session.terminal.type_until(
                f"{DOCTOR}{probe} {WRONG}",
                DOCTOR_S,
                code=1,
                shows=(text, "remedy: ", remedy),
                holds=partial(finds, frozenset({of})),
            )
        session.converged()

    return do


def wrong_role(session: Session) -> None:
    """The last fault: its remedy is carried out as doctor prints it, by root of etcd."""
    session.cluster.guard()
    grant = f"etcdctl user grant-role {NARROW} swarmkeeper-prod-host-{NARROW}"
    remedy = f"swarmkeeper etcd-roles --host {NARROW} --may-lead | sh; {grant}"
    denied = f"the role is too narrow, etcd denies: readwrite {PREFIX}"
    session.terminal.type_until(
        f"{DOCTOR_THERE} {WRONG}",
        DOCTOR_S,
        code=1,
        shows=(denied, f"remedy: {remedy}"),
        holds=partial(finds, frozenset({"role"})),
    )


def mend_role(session: Session) -> None:
    cluster = session.cluster
    script = cluster.command("etcd-roles", "--host", NARROW, "--may-lead").stdout
    user = f"export ETCDCTL_API=3 ETCDCTL_USER={cluster.etcd_user[1]}"
    cluster.lab[STATION].exec("sh", "-c", f"{user}\n{script}")
    session.terminal.type_until(DOCTOR_THERE, DOCTOR_S, shows=("OK role",), holds=partial(finds, frozenset()))
    session.converged()
    session.terminal.type("swarmkeeper status", shows=(CONVERGED,))
