"""The process: image, command, environment, identity and health check."""

import math
import posixpath
import signal
from collections.abc import Iterable, Mapping
from typing import Any

from agent.diff.container.row import (
    AtLeast,
    Body,
    Default,
    FieldMapping,
    Found,
    as_text,
    familiar,
    place,
    plain,
    seconds,
)
from agent.model.phrases import short_id
from agent.model.spec import ContainerSpec, Healthcheck

PREFIX = "io.swarmkeeper."
"""Prefix of the agent's own labels; a document must not declare one."""

_NS = 1_000_000_000
_SHORTEST_NS = 1_000_000
"""The engine's shortest duration; a smaller number is a count."""


def _wanted_command(spec: ContainerSpec, found: Found) -> Any:
    # The engine uses the image's command only with the image's entrypoint (moby: daemon/commit.go merge).
    if spec.command is not None:
        return spec.command
    if spec.entrypoint is not None:
        return ()
    return _of_image(found, "Config.Cmd")


def _wanted_entrypoint(spec: ContainerSpec, found: Found) -> Any:
    return spec.entrypoint if spec.entrypoint is not None else _of_image(found, "Config.Entrypoint")


def _of_image(found: Found, path: str) -> Any:
    return Default.ENGINE if found.image is None else tuple(found.image_at(path) or ())


def _put_command(spec: ContainerSpec, body: Body) -> None:
    if spec.command is not None:
        place(body, "Config.Cmd", list(spec.command))


def _put_entrypoint(spec: ContainerSpec, body: Body) -> None:
    if spec.entrypoint is not None:
        # [""] means to the engine: none, not even the image's. It shows an empty list.
        place(body, "Config.Entrypoint", list(spec.entrypoint) or [""])


def leaves_entrypoint(body: Body) -> bool:
    """Return True if the body of a create request clears the command and leaves the entrypoint to the image."""
    return body.get("Cmd") == [] and "Entrypoint" not in body


def with_entrypoint(body: Body, image: Mapping[str, Any]) -> Body:
    """Return `body` with the entrypoint of `image`, which is GET /images/{name}/json.

    The engine takes an empty command without an entrypoint for one that was not given, and uses the image's command.
    """
    return {**body, "Entrypoint": list((image.get("Config") or {}).get("Entrypoint") or [""])}


def _variables(raw: Iterable[str] | None) -> dict[str, str]:
    """`KEY=value` lines by key; a line without `=` unsets a variable and is left out."""
    return {key: value for key, sign, value in (each.partition("=") for each in raw or ()) if sign}


def _wanted_environment(spec: ContainerSpec, found: Found) -> Any:
    declared = dict(spec.environment)
    return (
        AtLeast(declared) if found.image is None else {**_variables(found.image_at("Config.Env")), **declared}
    )


def _put_environment(spec: ContainerSpec, body: Body) -> None:
    place(body, "Config.Env", [f"{key}={value}" for key, value in spec.environment])


def _theirs(labels: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (labels or {}).items() if not key.startswith(PREFIX)}


def _wanted_labels(spec: ContainerSpec, found: Found) -> Any:
    declared = _theirs(dict(spec.labels))
    return (
        AtLeast(declared) if found.image is None else {**_theirs(found.image_at("Config.Labels")), **declared}
    )


def _put_labels(spec: ContainerSpec, body: Body) -> None:
    place(body, "Config.Labels", {**_theirs(dict(spec.labels)), **body.get("Labels", {})})


def _signal(name: str) -> str:
    """Normal form of a signal: SIGTERM for "SIGTERM", "term" and "15"."""
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
        return Default.ENGINE
    return short_id(str(found.at("Id") or ""))


def _put_hostname(spec: ContainerSpec, body: Body) -> None:
    if spec.hostname is not None:
        place(body, "Config.Hostname", spec.hostname)


def _duration(value: float | None) -> int:
    return round((value or 0) * _NS)


def _check(raw: dict[str, Any] | None) -> dict[str, Any]:
    check = raw or {}
    return {
        "test": tuple(check.get("Test") or ()),
        "interval": check.get("Interval") or 0,
        "timeout": check.get("Timeout") or 0,
        "start_period": check.get("StartPeriod") or 0,
        "retries": check.get("Retries") or 0,
    }


def _start_period(value: float | None) -> int:
    """Nanoseconds; the engine takes 0 for an absent value, so that the image's period would stay."""
    return _SHORTEST_NS if value == 0 else _duration(value)


def _declared_check(check: Healthcheck) -> dict[str, Any]:
    return {
        "test": check.test or (),
        "interval": _duration(check.interval_s),
        "timeout": _duration(check.timeout_s),
        "start_period": _start_period(check.start_period_s),
        "retries": check.retries or 0,
    }


def _wanted_check(spec: ContainerSpec, found: Found) -> Any:
    check = spec.healthcheck
    if check is not None and check.disable:
        return AtLeast({"test": ("NONE",)})
    declared = {key: value for key, value in _declared_check(check).items() if value} if check else {}
    return (
        AtLeast(declared)
        if found.image is None
        else {**_check(found.image_at("Config.Healthcheck")), **declared}
    )


def _put_check(spec: ContainerSpec, body: Body) -> None:
    if (check := spec.healthcheck) is None:
        return
    declared = {key.title().replace("_", ""): value for key, value in _declared_check(check).items() if value}
    place(body, "Config.Healthcheck", {"Test": ["NONE"]} if check.disable else declared)


def _show_check(value: Any) -> str:
    return seconds(value) if isinstance(value, int) and value >= _SHORTEST_NS else as_text(value)


ROWS = (
    plain("image", "Config.Image", normal=familiar),
    FieldMapping(
        field="command", at="Config.Cmd", default="the image's, unless there is an entrypoint", ordered=True,
        secret=True, put=_put_command, wanted=_wanted_command, found=lambda found: tuple(found.at("Config.Cmd") or ()),
    ),
    FieldMapping(
        field="entrypoint", at="Config.Entrypoint", default=Default.IMAGE.value, ordered=True, secret=True,
        put=_put_entrypoint,
        wanted=_wanted_entrypoint, found=lambda found: tuple(found.at("Config.Entrypoint") or ()),
    ),
    FieldMapping(
        field="environment", at="Config.Env", default=Default.IMAGE.value, put=_put_environment, secret=True,
        wanted=_wanted_environment, found=lambda found: _variables(found.at("Config.Env")),
    ),
    FieldMapping(
        field="labels", at="Config.Labels", default=Default.IMAGE.value, put=_put_labels, secret=True,
        wanted=_wanted_labels, found=lambda found: _theirs(found.at("Config.Labels")),
    ),
    plain("user", "Config.User", default=Default.IMAGE, read=lambda raw: raw or ""),
    plain("working_dir", "Config.WorkingDir", default=Default.IMAGE, normal=_directory, read=_read_directory),
    FieldMapping(
        field="hostname", at="Config.Hostname", default="the container's short id", put=_put_hostname,
        wanted=_wanted_hostname, found=lambda found: found.at("Config.Hostname"),
    ),
    plain("domainname", "Config.Domainname", default="", read=lambda raw: raw or ""),
    plain("tty", "Config.Tty", default=False, normal=bool),
    plain("stdin_open", "Config.OpenStdin", default=False, normal=bool),
    plain("stop_signal", "Config.StopSignal", default=Default.IMAGE, normal=_signal, read=_read_signal),
    plain(
        "stop_grace_period_s", "Config.StopTimeout", normal=math.ceil, write=math.ceil, read=lambda raw: raw,
        word="stop_grace_period", show=lambda value: as_text(value) if value is None else f"{value} s",
    ),
    FieldMapping(
        field="healthcheck", at="Config.Healthcheck", default=Default.IMAGE.value, put=_put_check, wanted=_wanted_check,
        found=lambda found: _check(found.at("Config.Healthcheck")), show=_show_check, secret=True,
        shown=frozenset({"interval", "timeout", "start_period", "retries"}),
    ),
)  # fmt: skip
