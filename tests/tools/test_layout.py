"""The unit tests lie as the product does: each file names the module or package whose behaviour it tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import agent

PRODUCT = Path(agent.__file__).parent
UNIT = Path(__file__).parents[1] / "unit"


def parts(package: Path) -> Iterator[str]:
    """The names after which a test of this package may be called: its modules, its packages, and its own."""
    if not (package / "__init__.py").is_file():
        return
    yield package.name
    for path in package.iterdir():
        if path.suffix == ".py" or (path / "__init__.py").is_file():
            yield path.stem


def names_a_part(test: Path) -> bool:
    """Tell whether unit/x/test_y.py or unit/x/test_y_aspect.py has a module or package y of the product's package x."""
    said = test.stem.removeprefix("test_") + "_"
    return any(said.startswith(f"{name}_") for name in parts(PRODUCT / test.parent.relative_to(UNIT)))


def test_every_unit_test_names_a_module_or_package_of_the_product() -> None:
    files = list(UNIT.rglob("test_*.py"))

    assert files
    assert [str(path.relative_to(UNIT)) for path in files if not names_a_part(path)] == []


@pytest.mark.parametrize(
    ("file", "fine"),
    [
        ("test_config.py", True),
        ("planner/test_planner_faults.py", True),
        ("planner/test_faults.py", False),
        ("planner/swarm/test_role.py", False),
        ("swarm/test_roles.py", False),
    ],
)
def test_a_file_that_names_nothing_of_its_package_is_noticed(file: str, fine: bool) -> None:
    assert names_a_part(UNIT / file) is fine
