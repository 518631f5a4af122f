"""What the lab says when it cannot do what was asked."""


class LabError(RuntimeError):
    """The machine lacks something, a host did not come up, or something of the lab would not go away."""


class CommandFailed(LabError):
    """A program that the lab ran for a caller ended with another status than 0: the program's fault, not the lab's."""
