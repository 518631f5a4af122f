"""A state: what brings it about and undoes it, and how status, its check, JSON and metrics have to show it."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from integration.cluster import EXAMPLE, Cluster
from integration.shown import Shown, names
from tests.support.document import document

OK, WARNING, CRITICAL, UNKNOWN = range(4)
Fault = Callable[[Cluster], AbstractContextManager[object]]
IMAGE = "10.159.62.231/somecom"
MONITOR_S = 3


def no_fault(_cluster: Cluster) -> AbstractContextManager[object]:
    """Do nothing: the document alone brings the state about."""
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state. `cause` and `follows` are regular expressions of condition keys, `<kind>/<name>`."""

    name: str
    done: str
    """One sentence for the index of the captures: what was done."""
    cause: str = ""
    """Of the first problem; empty: there is none, because all is well or because progress is no problem."""
    reason: str = "Ready"
    """One of the fixed words, or several with `|` between them."""
    state: str = "Ready"
    code: int
    """Exit code of the check."""
    first: tuple[str, ...]
    """What the first line of `status` has, as regular expressions."""
    also: tuple[str, ...] = ()
    """What other lines of `status` have."""
    follows: tuple[str, ...] = ()
    """Conditions that are folded under the first problem, so that they are no problems of their own."""
    more: tuple[tuple[str, ...], ...] = ()
    """Further commands that show it: each has its reason and succeeds."""
    document: str = EXAMPLE
    fault: Fault = no_fault
    asked: str = "node-231"
    """The host whose command is asked."""
    led: bool = True
    """False: nobody leads, so there are no metrics of the cluster."""
    within_s: float = 60.0
    fades: bool = False
    """True for a state that is over soon: `status` is asked again until it shows it, but not the rest."""
    core: bool = False
    """True: part of the normal run."""

    @property
    def is_well(self) -> bool:
        return self.code == OK


def check_shown(state: State, shown: Shown) -> None:
    """AssertionError unless all that is shown fits the state."""
    names(shown.first, *state.first)
    text = shown.status.output
    missing = [word for word in state.also if not re.search(word, text)]
    assert not missing, (missing, text)
    assert shown.check.code == state.code, shown.check
    assert len(shown.check.output.splitlines()) == 1, shown.check
    assert shown.converged is state.is_well, shown.data["cluster"]
    if not state.cause:
        assert not shown.problems, shown.problems
        cluster = shown.data["cluster"]
        assert (cluster["state"], cluster["reason"]) == (state.state, state.reason), cluster
        return
    assert shown.problems, shown.data["cluster"]
    first = shown.problems[0]
    assert re.fullmatch(state.cause, first.key), shown.problems
    assert re.fullmatch(state.reason, first.reason), first
    assert first.state == state.state, first
    check_folded(state, shown)


def check_folded(state: State, shown: Shown) -> None:
    """AssertionError unless each consequence is folded under a problem, and is none itself."""
    folded = [each.key for each in shown.consequences]
    for follows in state.follows:
        assert any(re.fullmatch(follows, key) for key in folded), (follows, folded, shown.problems)
        own = [each for each in shown.problems if re.fullmatch(follows, each.key)]
        assert not own, own


def service(name: str, lines: str, *, host: str = "node-231", base: str = EXAMPLE) -> str:
    """The example with one service more, which has one replica; `lines` are more keys of it in YAML, a line each."""
    more = "".join(f"    {line}\n" for line in lines.splitlines())
    head = f"  {name}:\n    x-hosts: [{host}]\n    networks: [my-network-overlay]\n"
    image = "" if "image:" in lines else f"    image: {IMAGE}/order:1.0.0\n"
    return f"{base.rstrip()}\n{head}{image}{more}"


def order(tag: str, update: str = "") -> str:
    """The example with another image of order, and these settings of its rollout."""
    settings = dict(each.split(": ") for each in update.split(", ")) if update else {}
    return document(EXAMPLE, tags={"order": tag}, services={"order": {"deploy": {"update_config": settings}}})
