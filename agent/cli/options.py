"""Options that several commands have, and the document that a command is given."""

# ruff: noqa: PLC0415 - see agent.cli.app

import inspect
import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from agent.cli import CONFIG, STDIN
from agent.cli.output import Output, OutputOption

if TYPE_CHECKING:
    from agent.cli.connect import Connection
    from agent.cli.verbs import Wish


def checked_name(option: typer.CallbackParam, name: str | None) -> str | None:
    """Return the name, a part of etcd keys and roles. Raises BadParameter if agent.yaml would refuse it."""
    if name is None:
        return None
    from agent.config import CLUSTER_NAME, CLUSTER_NAME_RULE
    from agent.model.intent import HOST_NAME
    from agent.yamldoc.faultlist import quoted

    rules = {"cluster": (CLUSTER_NAME, CLUSTER_NAME_RULE), "host": (HOST_NAME, "a host name")}
    pattern, rule = rules[option.name or ""]
    if not re.fullmatch(pattern, name):
        raise typer.BadParameter(f"{quoted(name)} is not {rule}")
    return name


def seconds(value: str) -> float:
    """Return a number of seconds. Raises BadParameter for anything else."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        raise typer.BadParameter(f"{value!r} is no number of seconds, as 90 or 0.5")
    return float(value)


SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="As 10m, 1d12h or 2026-11-30T16:00:00Z.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration of the agent: etcd endpoints, cluster.",
        show_default=str(CONFIG),
    ),
]
EndpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="etcd endpoint to use instead of the configured ones; may be repeated. With --cluster, the"
        " configuration is read only if --config names it.",
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="NAME",
        help="Cluster to use instead of the configured one.",
        callback=checked_name,
    ),
]
Document = Annotated[
    typer.FileBinaryRead | None,
    typer.Argument(metavar="[FILE]", help="The document, or - for standard input."),
]
MessageOption = Annotated[
    str,
    typer.Option(
        "--message", "-m", metavar="MESSAGE", help="What `history` says of this document, with your name."
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
PlanOption = Annotated[bool, typer.Option("--plan", help="Show the plan alone.")]
TokenOption = Annotated[
    str, typer.Option("--confirm", metavar="TOKEN", help="Confirm an edit that deletion_guard stops.")
]
SecretsOption = Annotated[
    bool,
    typer.Option(
        "--show-secrets",
        help="Show old and new values of environment, command, entrypoint, healthcheck, labels, annotations and"
        " logging options. Without this option, only the names of changed fields are shown.",
    ),
]
EveryStepOption = Annotated[
    bool, typer.Option("--all", help="Show every step on its own line, also those that only keep records.")
]
FilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="A Compose file; - for standard input. Later ones override."
    ),
]
EnvFilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="Variables for the Compose files, in place of the file .env beside them.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The options that name a cluster. Typer sees them in place of a parameter of this type: see `with_groups`."""

    config: ConfigOption = None
    endpoint: EndpointOption = None
    cluster: ClusterOption = None

    @property
    def named(self) -> tuple[Path | None, list[str] | None, str | None]:
        return self.config, self.endpoint, self.cluster

    def connected(self) -> AbstractContextManager["Connection"]:
        """Connect as `agent.cli.connect.connected`."""
        from agent.cli.connect import connected

        return connected(*self.named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Access):
    """Also those of a command that changes the accepted document."""

    yes: YesOption = False
    message: MessageOption = ""
    output: OutputOption = Output.TABLE

    def wish(self, command: str, *, plan_only: bool = False, wait: bool = True) -> "Wish":
        """Return them for the verb that `command` names with its arguments."""
        from agent.cli.verbs import Wish

        return Wish(
            command=command,
            ask=not self.yes,
            message=self.message,
            output=self.output,
            plan_only=plan_only,
            wait=wait,
        )


def with_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the command with each option of its parameter `at` as a parameter of its own, at the same place."""
    parameters = inspect.signature(command).parameters
    if (at := parameters.get("at")) is None:
        return command
    members = fields(at.annotation)
    options = [at.replace(name=each.name, annotation=each.type, default=each.default) for each in members]
    shown = [one for each in parameters.values() for one in (options if each is at else [each])]

    @wraps(command)
    def grouped(**given: Any) -> None:
        command(at=at.annotation(**{each.name: given.pop(each.name) for each in members}), **given)

    grouped.__dict__["__signature__"] = inspect.Signature(shown)
    grouped.__annotations__ = {each.name: each.annotation for each in shown}
    return grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The document that a command is given."""

    name: str
    """For messages."""
    raw: bytes = field(repr=False)
    arguments: str
    """The arguments that name it on a command line, quoted for a shell."""
    from_stdin: bool


def name_of(document: BinaryIO) -> str:
    return str(getattr(document, "name", STDIN))  # standard input may be a stream without a name


def given(document: BinaryIO | None, files: list[Path] | None, env_files: list[Path] | None) -> Given | None:
    """Return the document of an argument, or what `compile` makes of Compose files; None if neither is given.

    Raises BadParameter for both, Invalid for files with faults.
    """
    if document and files:
        raise typer.BadParameter(
            "FILE is a document as it is, and --file names Compose files: give one of them"
        )
    if document:
        name = name_of(document)
        arguments = "-" if name == STDIN else shlex.quote(name)
        return Given(name=name, raw=document.read(), arguments=arguments, from_stdin=name == STDIN)
    if not files:
        return None
    from agent.cli.compile import compiled

    raw = compiled(files, env_files or ())
    options = [each for file in files for each in ("--file", str(file))]
    options += [each for file in env_files or () for each in ("--env-file", str(file))]
    name = ", ".join(map(str, files))
    return Given(name=name, raw=raw, arguments=shlex.join(options), from_stdin=Path("-") in files)


def needed(found: Given | None) -> Given:
    """Return the document. Raises BadParameter if there is none."""
    if found is None:
        raise typer.BadParameter("name a document, - for standard input, or Compose files with --file")
    return found


def since_ns(value: str, now_s: float) -> int:
    """Return the time of `90s`, `42m`, `1h30m` ago, or of one in RFC 3339, in nanoseconds. Raises BadParameter."""
    ago = re.fullmatch(r"(?=.)(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9})s)?", value, re.ASCII)
    if ago:
        days, hours, minutes, seconds = (int(each or 0) for each in ago.groups())
        return max(int((now_s - ((days * 24 + hours) * 60 + minutes) * 60 - seconds) * 1e9), 0)
    try:
        return max(int(datetime.fromisoformat(value).timestamp() * 1e9), 0)
    except (ValueError, OverflowError, OSError):
        known = "a duration, as 90s, 30m or 1d12h, nor a time, as 2026-11-30T16:00:00Z"
        raise typer.BadParameter(f"--since {value!r} is neither {known}") from None
