"""The names of the keys in etcd: everything of one cluster lies under `/swarmkeeper/<cluster>/`."""

from dataclasses import dataclass
from typing import Literal

ROOT = "/swarmkeeper/"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one cluster. docs/etcd-keys.md says who writes each and what it holds."""

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
        """The last document the leader accepted: what is accepted, whatever `intent` says now."""
        return f"{self.root}accepted"

    @property
    def verdict(self) -> str:
        """What the leader says of the newest document, for whoever has only etcdctl."""
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
        """The swarm's unlock keys, sealed; there only if autolock is, or once was, declared."""
        return f"{self.root}unlock"

    @property
    def disruption(self) -> str:
        return f"{self.root}disruption"

    @property
    def digests(self) -> str:
        """Which bytes the tags of the accepted document are; there only with `policy.resolve_digests`."""
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
        """What the leader says of a host's membership; there only while there is something to say."""
        return f"{self.membership_orders}{host}"

    @property
    def rollouts(self) -> str:
        return f"{self.root}rollouts/"

    def rollout(self, service: str) -> str:
        """How far a service is on its way to another spec; there only while it is not simply there."""
        return f"{self.rollouts}{service}"

    @property
    def hosts(self) -> str:
        return f"{self.root}hosts/"

    def presence(self, host: str) -> str:
        return f"{self.hosts}{host}/presence"

    def status(self, host: str) -> str:
        return f"{self.hosts}{host}/status"


# ---- Who may do what in an etcd with authentication: an operator writes the intent, the agents all the rest


Right = Literal["read", "write", "readwrite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A right on the keys from `key` up to, and without, `end`; without an `end` on that one key."""

    right: Right
    key: str
    end: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdRole:
    """A role as etcd knows it."""

    name: str
    permissions: tuple[Permission, ...]


def etcd_roles(keys: Keys) -> tuple[EtcdRole, EtcdRole]:
    """The operator's role and the agents' for one cluster.

    The operator reads everything, as `swarmkeeper plan` does. That gives nothing away: whoever writes the document
    says what runs on every host, as root if he likes.
    """
    everything = Permission(right="read", key=keys.root, end=_after(keys.root))
    operator = EtcdRole(
        name=f"swarmkeeper-{keys.cluster}-operator",
        permissions=(everything, Permission(right="readwrite", key=keys.intent)),
    )
    agent = EtcdRole(
        name=f"swarmkeeper-{keys.cluster}-agent",
        permissions=(
            everything,
            # Not from the root: of two permissions with the same first key etcd 3.4 keeps one twice when they are
            # given again. No key of ours comes before this one.
            Permission(right="readwrite", key=f"{keys.root}a", end=keys.intent),
            Permission(right="readwrite", key=_after(keys.intent), end=_after(keys.root)),
        ),
    )
    return operator, agent


def _after(prefix: str) -> str:
    """The first key after all that begin with `prefix`, whose last character is no special one."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
