"""The figures of bench/scale beside what they should reach, and how they grow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10

Figures = Mapping[str, Mapping[int, float]]
"""By name and number of hosts (or of whatever the part counts)."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a figure should be at most: at some sizes, and how steep it may be."""

    at_most: Mapping[int, float]
    """By number of hosts; 0: at every one."""
    slope: float | None = None


REACHES: Mapping[str, Reach] = {
    "leader, a status changed: ms": Reach({100: 20, 300: 60, 1000: 200}, 1.0),
    "idle: leader, percent of a core": Reach({300: 2}),
    "scheduling 20 replicas a host: seconds": Reach({1000: 1}),
    "boot: not converged": Reach({0: 0}),
    "boot: longest pass, seconds": Reach({0: 5}),
    "boot: bytes read": Reach({}, 1.1),
    "first boot: MB read": Reach({}, 1.1),
    "a host goes and comes: puts": Reach({0: 6}),
    "a service on 3 hosts is edited: puts": Reach({0: 13}),
    "idle: bytes put a day": Reach({3: 100_000}),
    "status of a plain host: bytes": Reach({0: 6_000}),
    "plan, 1,000 services and 5,000 replicas: seconds": Reach({0: 4}),
    "validate, the worst document: seconds": Reach({0: 1}),
    "validate, the worst document: MB": Reach({0: 120}),
    "--help: seconds": Reach({0: 0.15}),
}


def said(name: str, value: float) -> None:
    """Print one figure as a line that bench.run_scale reads."""
    print(json.dumps([name, value]), flush=True)


def slope(values: Mapping[int, float]) -> float | None:
    """Return the exponent of growth between the two largest sizes; None if there are not two, or nothing to compare."""
    sizes = sorted(size for size, value in values.items() if value > 0)
    if len(sizes) < 2:
        return None
    small, large = sizes[-2:]
    return (log10(values[large]) - log10(values[small])) / (log10(large) - log10(small))


def table(figures: Figures, sizes: Sequence[int]) -> str:
    """One line for each figure: its value at each size, the slope, and whether it reaches what it should."""
    lines = [
        f"{'':56}" + "".join(f"{size:>12,}" for size in sizes) + f"{'slope':>8}  {'at most':24}",
    ]
    for name, values in figures.items():
        cells = "".join(f"{_number(values[size]) if size in values else '-':>12}" for size in sizes)
        steep = slope(values)
        lines.append(
            f"{name:56}{cells}{'-' if steep is None else f'{steep:.2f}':>8}  {verdict(name, values)}"
        )
    return "\n".join(lines)


def verdict(name: str, values: Mapping[int, float]) -> str:
    """Return the limits of a figure that was measured where they hold, each reached or MISSED; empty: none."""
    reach = REACHES.get(name)
    if reach is None:
        return ""
    found = []
    for size, most in reach.at_most.items():
        measured = [values[each] for each in values if size in (0, each)]
        if measured:
            where = f" at {size:,}" if size else ""
            found.append(f"{_number(most)}{where}: {_outcome(max(measured) <= most)}")
    steep = slope(values)
    if reach.slope is not None and steep is not None:
        found.append(f"slope {reach.slope}: {_outcome(steep <= reach.slope)}")
    return ", ".join(found)


def missed(figures: Figures) -> list[str]:
    """Return the names of the figures that miss a limit."""
    return [name for name, values in figures.items() if "MISSED" in verdict(name, values)]


def _outcome(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def _number(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:,.2f} M"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
