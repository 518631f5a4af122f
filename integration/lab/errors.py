"""What the lab says when it cannot do what was asked."""


class LabError(RuntimeError):
    """The machine lacks something, a host did not come up, or something of the lab would not go away."""
