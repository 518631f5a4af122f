"""Values of which it is known beforehand that no engine runs a container with them, and the remedy that is named."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.model.faults import InvalidDocument
from tests.unit.intent.documents import parse, service, spec_of

_LINES = Path(__file__).with_name("known_sets.txt").read_text().splitlines()
LONG = "a" * 237


def _refused() -> Iterator[tuple[str, str]]:
    """(keys, what is said of them), from the lines with + and >."""
    keys: list[str] = []
    for line in _LINES:
        if line.startswith("+"):
            keys.append(line[1:])
        elif line.startswith("> "):
            yield "\n".join(keys), line[2:]
            keys = []


REFUSED = [*_refused()]
TAKEN = [line[1:] for line in _LINES if line.startswith("*")]


@pytest.mark.parametrize(("keys", "says"), REFUSED, ids=[keys for keys, _ in REFUSED])
def test_a_value_that_no_engine_runs_is_refused_with_its_remedy(keys: str, says: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        parse(service(keys))
    (fault,) = refused.value.faults
    assert str(fault).partition("services.web.")[2] == says


@pytest.mark.parametrize("keys", TAKEN)
def test_a_value_near_the_bounds_is_taken(keys: str) -> None:
    assert spec_of(keys) != spec_of("")


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (LONG, ""),
        (f"{LONG}a", "has a name of 256 characters; the maximum is 255, the registry included"),
        (f"reg.example:5000/{'a' * 238}:1.0.0", ""),
        (
            f"reg.example:5000/{'a' * 239}:1",
            "has a name of 256 characters; the maximum is 255, the registry included",
        ),
        ("ab" * 32, "is the id of an image; write its name and tag: every host pulls it by name"),
    ],
    ids=["at the limit", "above it", "at it with a registry", "above it with one", "an id"],
)
def test_the_name_of_an_image_is_one_that_the_engine_takes(image: str, problem: str) -> None:
    document = service("").replace("image: web", f"image: {image}")
    if not problem:
        assert parse(document).services[0].spec.image == image
        return
    with pytest.raises(InvalidDocument) as refused:
        parse(document)
    assert str(refused.value).partition(".image: ")[2] == problem
