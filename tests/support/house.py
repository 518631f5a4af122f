"""The size and shape of agent/ against the limits it is held to: `script/check --house`.

Counted from the source by ast, without importing it. The generated client of etcd (agent/clients/etcdpb) is left out.
What has a limit here grows one line at a time otherwise, each line for a good reason.
"""

import ast
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

AGENT = Path(__file__).resolve().parents[2] / "agent"
GENERATED = "clients/etcdpb"
PLANNER = "planner"
MAY_IMPORT_PLANNER = (PLANNER, "daemon", "apply", "cli.plan")
"""The planner itself, the loop that runs it, the executor of its steps, and the command that shows a plan."""

MOST_MODULES = 207
MOST_PACKAGES = 22
SHORTEST = 40
LONGEST = 400
MOST_IMPORT_PERCENT = 6.1
MOST_LINES = 42_862
"""While parts of the plan are still added. With all of them in, it is to be 33,000 again: take out as you put in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of Python."""

    name: str
    """Dotted, below the folder that is measured: `planner.plan`; a package's `__init__` has the package's name."""
    path: str
    """For people, from the folder that is measured on: `agent/planner/plan.py`."""
    is_package: bool
    lines: int
    import_lines: int
    imports: tuple[str, ...]
    """What it imports of the folder that is measured, named as `name` is: `planner.plan.make_plan`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number with its limit; `names` say what it is made of, where a reader needs that."""

    what: str
    value: float
    most: float | None = None
    """The largest value that is fine; None: no limit."""
    percent: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.most is not None and self.value > self.most

    def __str__(self) -> str:
        state = "OVER" if self.is_over else "-" if self.most is None else "ok"
        limit = "no limit" if self.most is None else f"at most {self._text(self.most)}"
        head = f"{state:<6}{self.what:<38}{self._text(self.value):>8}   {limit}"
        return "\n".join((head, *(f"{'':8}{each}" for each in self.names)))

    def _text(self, number: float) -> str:
        return f"{number:,.2f} %" if self.percent else f"{number:,.0f}"


def figures(sources: Sequence[Source]) -> tuple[Figure, ...]:
    """Every number that is held to a limit or worth a look."""
    modules = [each for each in sources if not each.is_package]
    short = [each for each in modules if each.lines < SHORTEST]
    long = [each for each in modules if each.lines > LONGEST]
    lines = sum(each.lines for each in sources)
    import_lines = sum(each.import_lines for each in sources)
    outside = planner_imports_outside(sources)
    return (
        Figure(what="modules", value=len(modules), most=MOST_MODULES),
        Figure(what="packages", value=len(sources) - len(modules), most=MOST_PACKAGES),
        Figure(what=f"modules under {SHORTEST} lines", value=len(short), most=0, names=_sizes(short)),
        Figure(what=f"modules over {LONGEST} lines", value=len(long), names=_sizes(long)),
        Figure(what="lines", value=lines, most=MOST_LINES),
        Figure(
            what="share of lines that are imports",
            value=100 * import_lines / lines if lines else 0,
            most=MOST_IMPORT_PERCENT,
            percent=True,
            names=(f"{import_lines:,} of {lines:,}",),
        ),
        Figure(what="imports of the planner from outside", value=len(outside), most=0, names=outside),
    )


def planner_imports_outside(sources: Iterable[Source]) -> tuple[str, ...]:
    """Each import of the planner by a module that must not know it, as `agent/http/pages.py: planner.plan.Plan`."""
    return tuple(
        f"{source.path}: {name}"
        for source in sources
        if not any(_is_in(source.name, package) for package in MAY_IMPORT_PLANNER)
        for name in source.imports
        if _is_in(name, PLANNER)
    )


def read(folder: Path) -> tuple[Source, ...]:
    """Every file of Python in a package's folder but the generated ones, by path."""
    return tuple(
        _source(folder, path)
        for path in sorted(folder.rglob("*.py"))
        if not path.relative_to(folder).is_relative_to(GENERATED)
    )


def _source(folder: Path, path: Path) -> Source:
    below = path.relative_to(folder).with_suffix("").parts
    is_package = below[-1] == "__init__"
    package = (folder.name, *below[:-1])
    text = path.read_text()
    found = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Import | ast.ImportFrom)]
    return Source(
        name=".".join(below[:-1] if is_package else below),
        path=f"{folder.name}/{path.relative_to(folder)}",
        is_package=is_package,
        lines=len(text.splitlines()),
        import_lines=sum((each.end_lineno or each.lineno) - each.lineno + 1 for each in found),
        imports=tuple(
            name.removeprefix(f"{folder.name}.")
            for each in found
            for name in _imported(each, package)
            if name.startswith(f"{folder.name}.")
        ),
    )


def _imported(statement: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> list[str]:
    names = [each.name for each in statement.names]
    if isinstance(statement, ast.Import):
        return names
    # `from . import x` is of the package itself, each further dot of the one above.
    above = package[: len(package) - statement.level + 1] if statement.level else ()
    origin = ".".join((*above, *((statement.module,) if statement.module else ())))
    return [f"{origin}.{name}" for name in names]


def _is_in(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def _sizes(sources: Iterable[Source]) -> tuple[str, ...]:
    return tuple(f"{each.path}: {each.lines}" for each in sources)


def main(folder: Path = AGENT) -> int:
    """Print every figure with its limit; 1 when one is over."""
    shown = figures(read(folder))
    print(*shown, sep="\n")
    return int(any(each.is_over for each in shown))


if __name__ == "__main__":
    sys.exit(main())
