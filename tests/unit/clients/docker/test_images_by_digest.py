"""An image declared with its digest is known by the digest, whatever the tags of others say."""

from typing import Any

import pytest

from agent.clients.docker.images import Images

OURS, THEIRS = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


class Listed(Images):
    """An engine with these images."""

    def __init__(self, *images: dict[str, Any]) -> None:
        self._listed = list(images)

    def _ask(self, *_: Any, **__: Any) -> Any:
        return self._listed


def image(identity: str, *digests: str, tag: str = "somecom/order:1.0.0") -> dict[str, Any]:
    return {"Id": identity, "RepoTags": [tag], "RepoDigests": list(digests)}


@pytest.mark.parametrize("wanted", [f"somecom/order@{OURS}", f"somecom/order:1.0.0@{OURS}"])
def test_an_image_of_others_with_the_tag_or_in_another_repository_is_not_taken_for_it(wanted: str) -> None:
    theirs = image("theirs", f"somecom/order@{THEIRS}")
    elsewhere = image("elsewhere", f"else/order@{OURS}", tag="else/order:1.0.0")
    right = image("right", f"somecom/order@{OURS}", tag="somecom/order:0.9.0")

    assert wanted not in Listed(theirs, elsewhere).images([wanted])
    assert Listed(theirs, elsewhere, right).images([wanted])[wanted] == "right"
