"""Rounds, medians, ratios, and how they are printed. Pure: numbers in, text out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What one contender took, in seconds, round by round."""

    name: str
    values_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values_s:
            raise ValueError(f"{self.name} was not measured")

    @property
    def median_s(self) -> float:
        return median(self.values_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How one contender should stand to another: its median at most `at_most` times the other's."""

    of: str
    against: str
    at_most: float


def ratio(of: Series, against: Series) -> float:
    """How many times longer the median of one contender is than the other's."""
    return of.median_s / against.median_s


def table(series: Sequence[Series]) -> str:
    """One line per contender: median and every round, in seconds."""
    width = max(len(each.name) for each in series)
    lines = [f"{'seconds':{width}}  median   every round"]
    for each in series:
        rounds = " ".join(f"{value:6.2f}" for value in each.values_s)
        lines.append(f"{each.name:{width}}  {each.median_s:6.2f}   {rounds}")
    return "\n".join(lines)


def verdicts(series: Sequence[Series], targets: Iterable[Target]) -> str:
    """One line per target of which both sides were measured: the ratio, the target, reached or not."""
    found = {each.name: each for each in series}
    return "\n".join(
        verdict(found[target.of], found[target.against], target.at_most)
        for target in targets
        if target.of in found and target.against in found
    )


def verdict(of: Series, against: Series, at_most: float) -> str:
    measured = ratio(of, against)
    outcome = "reached" if measured <= at_most else "MISSED"
    return f"{of.name} / {against.name} = {measured:.2f}   (at most {at_most:.2f}: {outcome})"
