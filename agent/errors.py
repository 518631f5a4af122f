"""The errors of the agent, one class for each reaction of the loop.

Absent, invalid and unreachable are three different states. Absence is a value (`None`); the others are errors.
"""


class SwarmkeeperError(Exception):
    """Base of all errors. Its text is for the operator."""


class Unreachable(SwarmkeeperError):
    """etcd or dockerd did not answer, or reported a temporary failure. The loop backs off and retries.

    The outcome of a write that ends so is unknown: observe before the next write.
    """


class Refused(SwarmkeeperError):
    """The other side refused a valid request. It is not repeated until the intent or the observation changes."""


class Denied(Refused):
    """The role of this client in etcd does not include the request."""


class NotAdmitted(Refused):
    """The admission policy of this host refuses what a step would create, change or start. Nothing was done."""


class Conflict(Refused):
    """The object exists already, or another writer changed it first. Read it again and plan again."""


class Stale(Conflict):
    """The state for which a step was planned has changed; nothing was done. Not a failure: plan again without delay."""


class Missing(Refused):
    """The object does not exist any more. For a removal that is success."""


class Compacted(Refused):
    """etcd has deleted this revision of its history. What it held cannot be proven any more."""


class Invalid(SwarmkeeperError):
    """Invalid input: intent, agent.yaml or a record in etcd. It changes nothing."""


class NewerFormat(Invalid):
    """A value in etcd from a newer agent. It is not damaged, and this agent must not replace it."""


class NotUsed(Invalid):
    """A secret in etcd that is not sealed, or is an earlier one. No host uses it, and the leader replaces it."""


class LeadershipLost(SwarmkeeperError):
    """The leader lock, or enough of its lease, is not this agent's any more. The step was not carried out."""
