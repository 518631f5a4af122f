"""The process: image, what is run in it, its environment, its identity and its health."""

import math
import posixpath
import signal
from collections.abc import Iterable
from typing import Any

from agent.diff.container.row import (
    AtLeast,
    Body,
    Default,
    FieldMapping,
    Found,
    familiar,
    place,
    plain,
    seconds,
    words,
)
from agent.model.phrases import short_id
from agent.model.spec import ContainerSpec, Healthcheck

PREFIX = "io.swarmkeeper."
"""Labels that begin so are ours; nobody may declare one."""

_NS = 1_000_000_000
_SHORTEST_NS = 1_000_000
"""The engine takes no shorter duration: what is less is a count."""


def _wanted_command(spec: ContainerSpec, found: Found) -> Any:
    # The engine takes the image's command only along with its entrypoint (moby: daemon/commit.go merge), and cannot be
    # told "no command": an empty one is one that was not said.
    if spec.command:
        return spec.command
    if spec.entrypoint is not None:
        return ()
    return _of_image(found, "Config.Cmd")


def _wanted_entrypoint(spec: ContainerSpec, found: Found) -> Any:
    return spec.entrypoint if spec.entrypoint is not None else _of_image(found, "Config.Entrypoint")


def _of_image(found: Found, path: str) -> Any:
    return Default.UNTOLD if found.image is None else tuple(found.image_at(path) or ())


def _put_command(spec: ContainerSpec, body: Body) -> None:
    if spec.command:
        place(body, "Config.Cmd", list(spec.command))


def _put_entrypoint(spec: ContainerSpec, body: Body) -> None:
    if spec.entrypoint is not None:
        # [""] is how the engine is told "none, not even the image's"; it shows it as none.
        place(body, "Config.Entrypoint", list(spec.entrypoint) or [""])


def _variables(raw: Iterable[str] | None) -> dict[str, str]:
    """`KEY=value` lines by key; a line without `=` takes a variable away and is left out."""
    return {key: value for key, sign, value in (each.partition("=") for each in raw or ()) if sign}


def _wanted_environment(spec: ContainerSpec, found: Found) -> Any:
    said = dict(spec.environment)
    return AtLeast(said) if found.image is None else {**_variables(found.image_at("Config.Env")), **said}


def _put_environment(spec: ContainerSpec, body: Body) -> None:
    place(body, "Config.Env", [f"{key}={value}" for key, value in spec.environment])


def _theirs(labels: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (labels or {}).items() if not key.startswith(PREFIX)}


def _wanted_labels(spec: ContainerSpec, found: Found) -> Any:
    said = _theirs(dict(spec.labels))
    return AtLeast(said) if found.image is None else {**_theirs(found.image_at("Config.Labels")), **said}


def _put_labels(spec: ContainerSpec, body: Body) -> None:
    place(body, "Config.Labels", {**_theirs(dict(spec.labels)), **body.get("Labels", {})})


def _signal(name: str) -> str:
    """SIGTERM for "SIGTERM", "term" and "15"; what is no signal is left as it is."""
    text = name.upper()
    if text.isdigit() and int(text) in {each.value for each in signal.Signals}:
        return signal.Signals(int(text)).name
    return text if text.startswith("SIG") else f"SIG{text}"


def _read_signal(raw: str | None) -> str:
    return _signal(raw or "SIGTERM")


def _directory(raw: str) -> str:
    return posixpath.normpath(raw)


def _read_directory(raw: str | None) -> str:
    return _directory(raw or "/")


def _wanted_hostname(spec: ContainerSpec, found: Found) -> Any:
    if spec.hostname is not None:
        return spec.hostname
    if found.at("HostConfig.NetworkMode") == "host" or found.at("HostConfig.UTSMode"):
        return Default.UNTOLD
    return short_id(str(found.at("Id") or ""))


def _put_hostname(spec: ContainerSpec, body: Body) -> None:
    if spec.hostname is not None:
        place(body, "Config.Hostname", spec.hostname)


def _duration(value: float | None) -> int:
    return round((value or 0) * _NS)


def _check(raw: dict[str, Any] | None) -> dict[str, Any]:
    told = raw or {}
    return {
        "test": tuple(told.get("Test") or ()),
        "interval": told.get("Interval") or 0,
        "timeout": told.get("Timeout") or 0,
        "start_period": told.get("StartPeriod") or 0,
        "retries": told.get("Retries") or 0,
    }


def _said_check(check: Healthcheck) -> dict[str, Any]:
    return {
        "test": check.test or (),
        "interval": _duration(check.interval_s),
        "timeout": _duration(check.timeout_s),
        "start_period": _duration(check.start_period_s),
        "retries": check.retries or 0,
    }


def _wanted_check(spec: ContainerSpec, found: Found) -> Any:
    check = spec.healthcheck
    if check is not None and check.disable:
        return AtLeast({"test": ("NONE",)})
    said = {key: value for key, value in _said_check(check).items() if value} if check else {}
    return AtLeast(said) if found.image is None else {**_check(found.image_at("Config.Healthcheck")), **said}


def _put_check(spec: ContainerSpec, body: Body) -> None:
    if (check := spec.healthcheck) is None:
        return
    said = {key.title().replace("_", ""): value for key, value in _said_check(check).items() if value}
    place(body, "Config.Healthcheck", {"Test": ["NONE"]} if check.disable else said)


def _show_check(value: Any) -> str:
    return seconds(value) if isinstance(value, int) and value >= _SHORTEST_NS else words(value)


ROWS = (
    plain("image", "Config.Image", normal=familiar),
    FieldMapping(
        field="command", at="Config.Cmd", unsaid="the image's, unless there is an entrypoint", ordered=True,
        secret=True, put=_put_command, wanted=_wanted_command, found=lambda found: tuple(found.at("Config.Cmd") or ()),
    ),
    FieldMapping(
        field="entrypoint", at="Config.Entrypoint", unsaid=Default.IMAGE.value, ordered=True, secret=True,
        put=_put_entrypoint,
        wanted=_wanted_entrypoint, found=lambda found: tuple(found.at("Config.Entrypoint") or ()),
    ),
    FieldMapping(
        field="environment", at="Config.Env", unsaid=Default.IMAGE.value, put=_put_environment, secret=True,
        wanted=_wanted_environment, found=lambda found: _variables(found.at("Config.Env")),
    ),
    FieldMapping(
        field="labels", at="Config.Labels", unsaid=Default.IMAGE.value, put=_put_labels, secret=True,
        wanted=_wanted_labels, found=lambda found: _theirs(found.at("Config.Labels")),
    ),
    plain("user", "Config.User", unsaid=Default.IMAGE, read=lambda raw: raw or ""),
    plain("working_dir", "Config.WorkingDir", unsaid=Default.IMAGE, normal=_directory, read=_read_directory),
    FieldMapping(
        field="hostname", at="Config.Hostname", unsaid="the container's short id", put=_put_hostname,
        wanted=_wanted_hostname, found=lambda found: found.at("Config.Hostname"),
    ),
    plain("domainname", "Config.Domainname", unsaid="", read=lambda raw: raw or ""),
    plain("tty", "Config.Tty", unsaid=False, normal=bool),
    plain("stdin_open", "Config.OpenStdin", unsaid=False, normal=bool),
    plain("stop_signal", "Config.StopSignal", unsaid=Default.IMAGE, normal=_signal, read=_read_signal),
    plain(
        "stop_grace_period_s", "Config.StopTimeout", normal=math.ceil, write=math.ceil, read=lambda raw: raw,
        word="stop_grace_period", show=lambda value: words(value) if value is None else f"{value} s",
    ),
    FieldMapping(
        field="healthcheck", at="Config.Healthcheck", unsaid=Default.IMAGE.value, put=_put_check, wanted=_wanted_check,
        found=lambda found: _check(found.at("Config.Healthcheck")), show=_show_check, secret=True,
        shown=frozenset({"interval", "timeout", "start_period", "retries"}),
    ),
)  # fmt: skip
