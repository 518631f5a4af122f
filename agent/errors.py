"""The few ways in which something goes wrong, named by what the loop does about them.

Absent, invalid and unreachable are three different things: absence is a value (`None`), the other two are here.
"""


class SwarmkeeperError(Exception):
    """Root of the tree; its text is meant for the operator."""


class Unreachable(SwarmkeeperError):
    """etcd or dockerd did not answer, or answered that it cannot now. The loop backs off and asks again.

    The outcome of a write that ends so is unknown: observe before writing again.
    """


class Refused(SwarmkeeperError):
    """The other side understood and said no. Not retried until the intent or the observation changes."""


class Conflict(Refused):
    """The thing is already there, or somebody else changed it first. Re-read, then plan again."""


class Stale(Conflict):
    """What a step was decided upon has changed since, and nothing was done. No failure: replan at once."""


class Missing(Refused):
    """The thing acted upon is gone. For a removal that is success."""


class Invalid(SwarmkeeperError):
    """Input that cannot be accepted (intent, agent.yaml, a record in etcd). It changes nothing."""


class NewerFormat(Invalid):
    """A value in etcd, written by an agent newer than this one: not damaged, and not ours to replace."""


class LeadershipLost(SwarmkeeperError):
    """A leader's write was refused because the fencing token is no longer the newest."""
