"""When an image is asked for at its registry: only ever for a container that is about to be made.

A copy that runs is not touched because its tag means other bytes now. That is told (`image_now`); new bytes come
with a new tag, or with `policy.resolve_digests` and a document that is put again: both go the way of a rollout.
"""

from agent.model.intent import Pull
from agent.model.observed import HostState

MAY_BE_OLD_S: dict[Pull, float] = {"always": 60.0, "daily": 86_400.0, "weekly": 604_800.0}
"""How long ago the last pull of an image may be when a container is made of it. `always` has a minute: time for all
copies of a service to be made of what one pull has brought, and no more pulls than that when making one fails."""


def why_pull(image: str, policy: Pull, host: HostState) -> str | None:
    """What to say of why it is pulled, beside that it is wanted; None: it is not.

    What an image names by its digest never changes, and is not asked for again. What an earlier run of the agent has
    pulled counts for nothing here: at worst it is asked for once more.
    """
    if image not in host.images:
        return ""
    limit, age = MAY_BE_OLD_S.get(policy), host.pulled.get(image)
    if limit is None or "@" in image or (age is not None and age < limit):
        return None
    return f", pull_policy is {policy}"
