"""What came of a step, and what is remembered of a failed one."""

from dataclasses import dataclass

from agent.model.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong last with a resource, how often in a row, and when it may be tried again."""

    error: str
    tries: int
    retry_at: float
    """On the clock of the caller, in seconds."""
    task: str
    """What was tried; another task is tried at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one step."""

    step: Step
    seconds: float
    error: str = ""
    """Empty: it succeeded."""
    unexpected: BaseException | None = None
    """A fault of ours, not of the other side: worth a traceback."""
    failure: Failure | None = None
    """When it failed: how often by now, and when it is tried again."""
    overtaken: str = ""
    """Why it was not carried out, although nothing failed: the next pass decides anew, at once."""

    @property
    def succeeded(self) -> bool:
        return not self.error and not self.overtaken
