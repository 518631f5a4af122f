"""How long a property is looked at: shortly as a rule, at length when SWARMKEEPER_LONG is set (script/test --long)."""

import os

thorough = bool(os.environ.get("SWARMKEEPER_LONG"))


def examples(usual: int, long: int = 1000) -> int:
    """How many examples hypothesis tries of a property that costs more than a few milliseconds each."""
    return long if thorough else usual
