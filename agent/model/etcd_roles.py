"""Who may do what in an etcd with authentication: an operator writes the intent, the agents all the rest."""

from dataclasses import dataclass
from typing import Literal

from agent.model.keys import Keys

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
