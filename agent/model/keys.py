"""The names of the keys in etcd: everything of one cluster lies under `/swarmkeeper/<cluster>/`."""

from typing import Literal

from agent.model import Frozen

ROOT = "/swarmkeeper/"


class Keys:
    """The keys of one cluster. docs/etcd-keys.md describes the writer and the content of each."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.root = root = f"{ROOT}{cluster}/"
        self.intent = f"{root}intent"
        """The operator's document."""
        self.note = f"{root}intent-note"
        """Author and message of that document. It counts if it was written in the same transaction."""
        self.accepted = f"{root}accepted"
        """The last document that the leader accepted, even while `intent` has a newer one that it refused."""
        self.verdict = f"{root}verdict"
        """The verdict on the newest document, for an operator with etcdctl alone."""
        self.trial = f"{root}trial"
        """The trial of the newest document. The key exists until a leader has finished it."""
        self.leader = f"{root}leader"
        """The leader lock; its create_revision is the fencing token."""
        self.swarm = f"{root}swarm"
        self.tokens = f"{root}tokens"
        self.unlock = f"{root}unlock"
        """The unlock keys of the swarm, sealed. The key exists only if autolock is, or once was, declared."""
        self.disruption = f"{root}disruption"
        """The host that the leader granted the disruption slot."""
        self.digests = f"{root}digests"
        """The digests of the tags in the accepted document. The key exists only with `policy.resolve_digests`."""
        # The beginnings of the keys of several specs, hosts and services.
        self.specs = f"{root}specs/"
        self.assignments = f"{root}assignments/"
        self.membership_orders = f"{root}membership-orders/"
        self.rollouts = f"{root}rollouts/"
        self.hosts = f"{root}hosts/"
        self.slots = f"{root}host-slots/"
        self.events = f"{root}events"
        """The changes that leaders saw, and their orders (agent/model/events.py)."""
        self.history = f"{root}history/"
        """The last documents by revision, and below each what became of it (agent/model/history.py)."""

    def spec(self, digest: str) -> str:
        return f"{self.specs}{digest}"

    def assignment(self, host: str) -> str:
        return f"{self.assignments}{host}"

    def membership_order(self, host: str) -> str:
        """The membership order for a host. The key exists only while the leader has issued one."""
        return f"{self.membership_orders}{host}"

    def rollout(self, service: str) -> str:
        """The rollout of a service. The key exists only until all replicas have the spec of the intent."""
        return f"{self.rollouts}{service}"

    def slot(self, host: str) -> str:
        """The disruption slot as its host acquires and releases it. No host writes that of another one."""
        return f"{self.slots}{host}"

    def presence(self, host: str) -> str:
        return f"{self.hosts}{host}/presence"

    def status(self, host: str) -> str:
        return f"{self.hosts}{host}/status"


# ---- Permissions in an etcd with authentication: an operator writes the intent, the agents write everything else
#
# No two permissions of a role begin with the same key: etcd 3.4 keeps one of them twice when both are granted again.

Right = Literal["read", "write", "readwrite"]


class Permission(Frozen):
    """A right on the keys from `key` up to and excluding `end`; empty `end`: on the one key."""

    right: Right
    key: str
    end: str = ""


class EtcdRole(Frozen):
    """A role in etcd's authentication."""

    name: str
    permissions: tuple[Permission, ...]


def etcd_roles(keys: Keys) -> tuple[EtcdRole, EtcdRole]:
    """Return the role of the operator and the role of the agents for one cluster.

    The operator reads everything, as `swarmkeeper plan` does. That adds no power: the writer of the document can run
    any container on every host, as root.
    """
    everything = Permission(right="read", key=keys.root, end=after(keys.root))
    operator = EtcdRole(
        name=f"swarmkeeper-{keys.cluster}-operator",
        permissions=(
            everything,
            *(Permission(right="readwrite", key=key) for key in (keys.intent, keys.note)),
        ),
    )
    agent = EtcdRole(
        name=f"swarmkeeper-{keys.cluster}-agent",
        permissions=(
            everything,
            # No key of the cluster precedes this one.
            Permission(right="readwrite", key=f"{keys.root}a", end=keys.intent),
            Permission(right="readwrite", key=after(keys.intent), end=after(keys.root)),
        ),
    )
    return operator, agent


def host_role(keys: Keys, host: str, *, may_lead: bool) -> EtcdRole:
    """Return the role of one host's agent.

    A worker reads the keys that it acts on, and the reports of managers, which confirm an order. It writes its own
    keys. A host that may lead reads everything and writes all keys but the intent and what the other hosts write. The
    document is readable for both, and so are the unlock keys: a manager that was declared a worker while it was locked
    needs them.
    """
    of_all = (keys.intent, keys.accepted, keys.verdict, keys.leader, keys.swarm, keys.tokens, keys.unlock)
    single = (*of_all, keys.disruption, keys.assignment(host), keys.membership_order(host))
    reads = [(key, "") for key in single] + [
        (each, after(each)) for each in (keys.slots, keys.specs, keys.hosts)
    ]
    # No range below the host: one who may write any number of keys could keep the leader from reading them all.
    writes = [(each, "") for each in (keys.slot(host), keys.presence(host), keys.status(host))]
    if may_lead:
        reads = [(keys.root, after(keys.root))]
        writes += [(f"{keys.root}a", keys.slots), (after(keys.intent), after(keys.root))]
    # The reads last: an agent that reads everything takes itself for one that may lead.
    granted = (
        *(Permission(right="readwrite", key=key, end=end) for key, end in writes),
        *(Permission(right="read", key=key, end=end) for key, end in reads),
    )
    return EtcdRole(name=f"swarmkeeper-{keys.cluster}-host-{host}", permissions=granted)


def after(prefix: str) -> str:
    """Return the first key after all keys with that prefix. The last character of the prefix must be ASCII."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
