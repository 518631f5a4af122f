"""Each unit test names the module or package that it tests, and no module gives one name to two things."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent
from tests.support.house import GENERATED

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


def given_twice(source: str) -> list[str]:
    """Return the names that a module gives to two things at its top level; the second silently replaces the first."""
    count = Counter[str]()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_overload = any(ast.unparse(each).endswith("overload") for each in node.decorator_list)
            count.update([] if is_overload else [node.name])
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            within = (name for target in targets for name in ast.walk(target))
            count.update(
                each.id for each in within if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            )
    return sorted(name for name, times in count.items() if times > 1)


def test_no_module_of_the_product_gives_one_name_twice() -> None:
    modules = {path.relative_to(PRODUCT): path for path in PRODUCT.rglob("*.py")}
    own = {name: path for name, path in modules.items() if not name.is_relative_to(GENERATED)}

    assert own
    assert {str(name): twice for name, path in own.items() if (twice := given_twice(path.read_text()))} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("_MOST = 1\n_MOST = 2\n", ["_MOST"]),
        ("_MOST: int = 1\n_LEAST, _MOST = 0, 2\n", ["_MOST"]),
        ("def _check(): ...\nclass _check: ...\n", ["_check"]),
        ("async def run(): ...\nrun = 1\n", ["run"]),
        ("@overload\ndef read(a): ...\n@typing.overload\ndef read(b): ...\ndef read(c): ...\n", []),
        ("a.x = 1\na.y = 2\n", []),
        ("def one():\n    same = 1\n\n\ndef two():\n    same = 2\n", []),
    ],
)
def test_a_name_given_twice_is_noticed(source: str, names: list[str]) -> None:
    assert given_twice(source) == names
