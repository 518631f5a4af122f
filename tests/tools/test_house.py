"""The figures of the house: what is counted in a small tree, and at which number a limit is exceeded."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.house import (
    LONGEST,
    MOST_IMPORT_PERCENT,
    MOST_LINES,
    MOST_MODULES,
    MOST_PACKAGES,
    SHORTEST,
    Figure,
    Source,
    figures,
    main,
    planner_imports_outside,
    read,
)

IMPORTED = "share of lines that are imports"
IMPORTS = """import os, sys
from agent.planner import (
    make_plan,
    plan,
)


def late() -> None:
    import json
"""


def tree(tmp_path: Path, files: dict[str, str]) -> Path:
    folder = tmp_path / "agent"
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def module(
    name: str = "x", *, lines: int = SHORTEST, import_lines: int = 0, imports: tuple[str, ...] = ()
) -> Source:
    return Source(
        name=name, path=f"agent/{name.replace('.', '/')}.py", is_package=False, lines=lines,
        import_lines=import_lines, imports=imports,
    )  # fmt: skip


def package(lines: int = 1) -> Source:
    return replace(module(lines=lines), is_package=True)


def figure(what: str, *sources: Source) -> Figure:
    (found,) = (each for each in figures(sources) if each.what == what)
    return found


def test_modules_packages_lines_and_the_lines_of_each_import_are_counted(tmp_path: Path) -> None:
    folder = tree(
        tmp_path, {"a.py": IMPORTS, "sub/__init__.py": '"""Sub."""\n', "sub/b.py": "x = 1\n" * SHORTEST}
    )

    sources = read(folder)

    assert figure("modules", *sources).value == 2
    assert figure("packages", *sources).value == 2
    assert figure("lines", *sources).value == 9 + 1 + SHORTEST
    assert figure(IMPORTED, *sources).names == ("6 of 50",)
    assert figure(IMPORTED, *sources).value == pytest.approx(12.0)


def test_generated_files_are_not_counted_and_others_of_the_same_package_are(tmp_path: Path) -> None:
    folder = tree(
        tmp_path,
        {"clients/etcdpb/rpc_pb2.py": IMPORTS, "clients/etcdpb/__init__.py": "", "clients/disk.py": ""},
    )

    assert [each.path for each in read(folder)] == ["agent/__init__.py", "agent/clients/disk.py"]


def test_a_short_module_and_a_long_one_are_named_and_no_short_package() -> None:
    sources = (
        package(lines=1),
        module("short", lines=SHORTEST - 1),
        module("least", lines=SHORTEST),
        module("most", lines=LONGEST),
        module("long", lines=LONGEST + 1),
    )

    assert figure(f"modules under {SHORTEST} lines", *sources).names == (f"agent/short.py: {SHORTEST - 1}",)
    assert figure(f"modules under {SHORTEST} lines", *sources).is_over
    assert figure(f"modules over {LONGEST} lines", *sources).names == (f"agent/long.py: {LONGEST + 1}",)
    assert not figure(f"modules over {LONGEST} lines", *sources).is_over


@pytest.mark.parametrize(
    "text",
    [
        "from agent.planner.plan import Plan\n",
        "from agent import planner\n",
        "import agent.planner.plan as p\n",
        "from ..planner import plan\n",
        "def late():\n    from agent.planner import plan\n",
    ],
)
def test_an_import_of_the_planner_is_found_in_every_form(tmp_path: Path, text: str) -> None:
    (found,) = planner_imports_outside(read(tree(tmp_path, {"http/pages.py": text})))

    assert found.startswith("agent/http/pages.py: planner")


@pytest.mark.parametrize(
    "path",
    ["planner/host/update.py", "planner/__init__.py", "daemon/loop.py", "apply/host.py", "cli/plan.py"],
)
def test_the_planner_may_be_imported_by_itself_the_daemon_apply_and_the_plan_command(
    tmp_path: Path, path: str
) -> None:
    assert (
        planner_imports_outside(read(tree(tmp_path, {path: "from agent.planner.plan import Plan\n"}))) == ()
    )


@pytest.mark.parametrize("name", ["planners.x", "diff.planner", "other"])
def test_another_module_of_a_like_name_is_not_the_planner(name: str) -> None:
    assert planner_imports_outside([module("http.pages", imports=(f"{name}.y",))]) == ()
    assert planner_imports_outside([module("cli.planning", imports=("planner.plan",))]) != ()


@pytest.mark.parametrize(
    ("what", "at_the_limit", "one_more"),
    [
        ("modules", (module(),) * MOST_MODULES, module()),
        ("packages", (package(),) * MOST_PACKAGES, package()),
        ("lines", (module(lines=MOST_LINES),), module(lines=1)),
        (
            IMPORTED,
            (module(lines=1000, import_lines=int(10 * MOST_IMPORT_PERCENT)),),
            module(import_lines=40),
        ),
        (
            "imports of the planner from outside",
            (module("daemon.loop", imports=("planner",)),),
            module(imports=("planner.plan",)),
        ),
    ],
)
def test_a_limit_is_exceeded_by_one_more_and_not_before(
    what: str, at_the_limit: tuple[Source, ...], one_more: Source
) -> None:
    assert not figure(what, *at_the_limit).is_over
    assert figure(what, *at_the_limit, one_more).is_over


def test_it_fails_and_marks_the_line_when_a_limit_is_exceeded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {"a.py": "x = 1\n" * SHORTEST}

    assert main(tree(tmp_path / "fine", whole)) == 0
    assert "OVER" not in capsys.readouterr().out
    assert main(tree(tmp_path / "not", {**whole, "b.py": ""})) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith("OVER")] == [
        ["OVER", "modules", "under", "40"]
    ]
    assert "        agent/b.py: 0" in lines
