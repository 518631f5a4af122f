"""Completion in shells: the script of a shell, and the names that etcd has, for agent.cli.app.

A name is read only where one may stand, within a second. Without an answer the shell completes nothing: an error would
end up in the middle of the operator's line.
"""

import re
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from agent.cli.connect import Connection

# ruff: noqa: PLC0415 - see agent.cli.app

LONGEST_S = 1.0
"""Seconds for which the shell waits for names."""
_VARIABLE = "_SWARMKEEPER_COMPLETE"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
"""Any other name is left out: zsh evaluates what completes a word, and who can write to etcd must not run commands."""
_AUTOLOADED = '[[ $funcstack[1] == _swarmkeeper ]] && _swarmkeeper_completion "$@"'
Shell = Literal["bash", "zsh", "fish"]
Kind = Literal["host", "service", "replica", "rollout", "revision"]


def script_of(shell: Shell) -> str:
    """Return the text that makes a shell complete the command, by typer."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # imported there

    script = get_completion_script(prog_name="swarmkeeper", complete_var=_VARIABLE, shell=shell)
    # In a folder of $fpath zsh runs the file at the first TAB: without this line, that one completes nothing.
    return f"{script}\n{_AUTOLOADED}" if shell == "zsh" else script


def names_of(*kinds: Kind, keyed: bool = False) -> Callable[[typer.Context, str], list[str]]:
    """Return what completes the names of these kinds; `keyed`: as `host/NAME`."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from agent.cli.connect import connected
        from agent.errors import SwarmkeeperError

        found, ended = list[str](), threading.Event()

        def read() -> None:
            options = (ctx.params.get(each) for each in ("config", "endpoint", "cluster"))
            try:
                with connected(*options) as connection:
                    for kind in kinds:
                        names = filter(_NAME.fullmatch, _names(connection, kind))
                        found.extend(f"{kind}/{name}" if keyed else name for name in names)
            except (SwarmkeeperError, OSError):
                found.clear()
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        return [each for each in found if each.startswith(incomplete)] if ended.wait(LONGEST_S) else []

    return complete


def _names(connection: "Connection", kind: Kind) -> Iterable[str]:
    """Return the names of a kind. Assignments, which every declared host has, are read faster than the document."""
    from agent.errors import Invalid
    from agent.model.records import Assignment, decode
    from agent.model.store import KeyRange

    keys = connection.keys
    prefix = {"revision": keys.history, "rollout": keys.rollouts}.get(kind, keys.assignments)
    only = kind not in ("service", "replica")
    values = connection.store.read([KeyRange(key=prefix, prefix=True, keys_only=only)]).under(prefix)
    if only:
        return dict.fromkeys(each.key.removeprefix(prefix).partition("/")[0] for each in values)
    found: dict[tuple[str, int], None] = {}
    for each in values:
        try:
            found.update(dict.fromkeys(one.key for one in decode(Assignment, each.value).replicas))
        except Invalid:
            continue
    if kind == "service":
        return dict.fromkeys(service for service, _ in sorted(found))
    return [f"{service}-{slot}" for service, slot in sorted(found)]
