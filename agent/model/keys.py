"""The names of the keys in etcd: everything of one cluster lies under `/swarmkeeper/<cluster>/`."""

from dataclasses import dataclass
from typing import Literal

ROOT = "/swarmkeeper/"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one cluster. docs/etcd-keys.md describes the writer and the content of each."""

    cluster: str

    @property
    def root(self) -> str:
        return f"{ROOT}{self.cluster}/"

    @property
    def intent(self) -> str:
        """The operator's document: the only key that a person writes."""
        return f"{self.root}intent"

    @property
    def accepted(self) -> str:
        """The last document that the leader accepted, even while `intent` has a newer one that it refused."""
        return f"{self.root}accepted"

    @property
    def verdict(self) -> str:
        """The verdict on the newest document, for an operator with etcdctl alone."""
        return f"{self.root}verdict"

    @property
    def leader(self) -> str:
        """The leader lock; its create_revision is the fencing token."""
        return f"{self.root}leader"

    @property
    def swarm(self) -> str:
        return f"{self.root}swarm"

    @property
    def tokens(self) -> str:
        return f"{self.root}tokens"

    @property
    def unlock(self) -> str:
        """The unlock keys of the swarm, sealed. The key exists only if autolock is, or once was, declared."""
        return f"{self.root}unlock"

    @property
    def disruption(self) -> str:
        return f"{self.root}disruption"

    @property
    def digests(self) -> str:
        """The digests of the tags in the accepted document. The key exists only with `policy.resolve_digests`."""
        return f"{self.root}digests"

    @property
    def specs(self) -> str:
        return f"{self.root}specs/"

    def spec(self, digest: str) -> str:
        return f"{self.specs}{digest}"

    @property
    def assignments(self) -> str:
        return f"{self.root}assignments/"

    def assignment(self, host: str) -> str:
        return f"{self.assignments}{host}"

    @property
    def membership_orders(self) -> str:
        return f"{self.root}membership-orders/"

    def membership_order(self, host: str) -> str:
        """The membership order for a host. The key exists only while the leader has issued one."""
        return f"{self.membership_orders}{host}"

    @property
    def rollouts(self) -> str:
        return f"{self.root}rollouts/"

    def rollout(self, service: str) -> str:
        """The rollout of a service. The key exists only until all replicas have the spec of the intent."""
        return f"{self.rollouts}{service}"

    @property
    def hosts(self) -> str:
        return f"{self.root}hosts/"

    def presence(self, host: str) -> str:
        return f"{self.hosts}{host}/presence"

    def status(self, host: str) -> str:
        return f"{self.hosts}{host}/status"


# ---- Permissions in an etcd with authentication: an operator writes the intent, the agents write everything else


Right = Literal["read", "write", "readwrite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A right on the keys from `key` up to and excluding `end`; empty `end`: on the one key."""

    right: Right
    key: str
    end: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdRole:
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
        permissions=(everything, Permission(right="readwrite", key=keys.intent)),
    )
    agent = EtcdRole(
        name=f"swarmkeeper-{keys.cluster}-agent",
        permissions=(
            everything,
            # Not from the root: etcd 3.4 keeps one of two permissions with the same first key twice when both are
            # granted again. No key of the cluster precedes this one.
            Permission(right="readwrite", key=f"{keys.root}a", end=keys.intent),
            Permission(right="readwrite", key=after(keys.intent), end=after(keys.root)),
        ),
    )
    return operator, agent


def after(prefix: str) -> str:
    """Return the first key after all keys with that prefix. The last character of the prefix must be ASCII."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
