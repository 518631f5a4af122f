"""The process: image, command, environment, identity and health check."""

import math
import posixpath
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.diff.capacity import is_for
from agent.diff.container.row import AtLeast, Body, Default, Found, as_text, familiar, place, plain, seconds
from agent.model.phrases import short_id
from agent.model.spec import ContainerSpec, Healthcheck

PREFIX = "io.swarmkeeper."
"""Prefix of the agent's own labels; a document must not declare one."""

RESTARTED = f"{PREFIX}restarted-at"
"""The label with the time of the restart for which the container was made."""

_GRACE_S = 10
"""The engine's own time between the two signals of a stop."""
_NS = 1_000_000_000
_SHORTEST_NS = 1_000_000
"""The engine's shortest duration; a smaller number is a count."""


def _as_declared(spec: ContainerSpec, found: Found) -> Any:
    has = _found_platform(found)  # empty: the image is gone
    return spec.platform if has and spec.platform and not is_for(spec.platform, has) else Default.ENGINE


def _found_platform(found: Found) -> str:
    parts = (found.image_at(each) or "" for each in ("Os", "Architecture", "Variant"))
    return found.at("Config.Platform") or "/".join(filter(None, parts))


def _put_platform(spec: ContainerSpec, body: Body) -> None:
    if spec.platform:
        place(body, "Config.Platform", spec.platform)  # a parameter of the request, not of its body


def _wanted_command(spec: ContainerSpec, found: Found) -> Any:
    # The engine uses the image's command only with the image's entrypoint (moby: daemon/commit.go merge).
    if spec.command is not None:
        return spec.command
    if spec.entrypoint is not None:
        return ()
    return Default.ENGINE if found.image is None else _as_tuple(found.image_at("Config.Cmd"))


def _over_image(
    declared: Mapping[str, Any], found: Found, path: str, read: Callable[[Any], dict[str, Any]]
) -> Any:
    """The declared entries, and those of the image; if that is gone, any others."""
    return AtLeast(declared) if found.image is None else {**read(found.image_at(path)), **declared}


def _as_tuple(raw: list[str] | None) -> tuple[str, ...]:
    return tuple(raw or ())


def leaves_entrypoint(body: Body) -> bool:
    """Return True if the body of a create request clears the command and leaves the entrypoint to the image."""
    return body.get("Cmd") == [] and "Entrypoint" not in body


def with_entrypoint(body: Body, image: Mapping[str, Any]) -> Body:
    """Return `body` with the entrypoint of `image`, which is GET /images/{name}/json.

    The engine takes an empty command without an entrypoint for one that was not given, and uses the image's command.
    """
    return {**body, "Entrypoint": list((image.get("Config") or {}).get("Entrypoint") or [""])}


def _variables(raw: Iterable[str] | None) -> dict[str, str]:
    """`KEY=value` lines by key, the first of each as the engine's merge has it; without `=`, one unsets a variable."""
    return {key: value for key, sign, value in (each.partition("=") for each in [*(raw or ())][::-1]) if sign}


def _theirs(labels: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (labels or {}).items() if not key.startswith(PREFIX)}


def _signal(name: str) -> str:
    """Normal form of a signal: SIGTERM for "SIGTERM", "term" and "15"."""
    text = name.upper()
    if text.isdigit() and int(text) in {each.value for each in signal.Signals}:
        return signal.Signals(int(text)).name
    return text if text.startswith("SIG") else f"SIG{text}"


def _wanted_hostname(spec: ContainerSpec, found: Found) -> Any:
    if spec.hostname is not None:
        return spec.hostname
    if found.at("HostConfig.NetworkMode") == "host" or found.at("HostConfig.UTSMode"):
        return Default.ENGINE
    return short_id(str(found.at("Id") or ""))


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
    declared = {
        "test": check.test or (),
        "interval": _duration(check.interval_s),
        "timeout": _duration(check.timeout_s),
        "start_period": _start_period(check.start_period_s),
        "retries": check.retries or 0,
    }
    return {key: value for key, value in declared.items() if value}


def _wanted_check(spec: ContainerSpec, found: Found) -> Any:
    check = spec.healthcheck
    if check is not None and check.disable:
        return AtLeast({"test": ("NONE",)})
    return _over_image(_declared_check(check) if check else {}, found, "Config.Healthcheck", _check)


def _raw_check(check: Healthcheck) -> dict[str, Any]:
    if check.disable:
        return {"Test": ["NONE"]}
    return {key.title().replace("_", ""): value for key, value in _declared_check(check).items()}


ROWS = (
    plain("image", "Config.Image", normal=familiar),
    plain(
        "platform", "Image", described="the host's", put=_put_platform, wanted=_as_declared, found=_found_platform,
    ),
    plain(
        "command", "Config.Cmd", described="the image's, unless there is an entrypoint", ordered=True, secret=True,
        write=list, read=_as_tuple, wanted=_wanted_command,
    ),
    # [""] means to the engine: none, not even the image's. It shows an empty list.
    plain(
        "entrypoint", "Config.Entrypoint", default=Default.IMAGE, ordered=True, secret=True, normal=tuple,
        write=lambda entrypoint: list(entrypoint) or [""], read=_as_tuple,
    ),
    plain(
        "environment", "Config.Env", default=Default.IMAGE, secret=True, read=_variables,
        put=lambda spec, body: place(body, "Config.Env", [f"{key}={value}" for key, value in spec.environment]),
        wanted=lambda spec, found: _over_image(dict(spec.environment), found, "Config.Env", _variables),
    ),
    plain(
        "labels", "Config.Labels", default=Default.IMAGE, secret=True, read=_theirs,
        put=lambda spec, body: place(body, "Config.Labels", {**_theirs(dict(spec.labels)), **body.get("Labels", {})}),
        wanted=lambda spec, found: _over_image(_theirs(dict(spec.labels)), found, "Config.Labels", _theirs),
    ),
    plain(
        "restarted_at", "Config.Labels", default=Default.ENGINE, described="no restart was asked for", normal=str,
        read=lambda labels: (labels or {}).get(RESTARTED), unset="none", word="x-restarted-at",
        put=lambda spec, body: body.setdefault("Labels", {}).update({RESTARTED: spec.restarted_at})
        if spec.restarted_at
        else None,
    ),
    plain("user", "Config.User", default=Default.IMAGE),
    plain(
        "working_dir", "Config.WorkingDir", default=Default.IMAGE, normal=posixpath.normpath,
        read=lambda raw: posixpath.normpath(raw or "/"),
    ),
    plain(
        "hostname", "Config.Hostname", described="the container's short id", read=lambda raw: raw,
        wanted=_wanted_hostname,
    ),
    plain("domainname", "Config.Domainname", default=""),
    plain("tty", "Config.Tty", default=False, normal=bool),
    plain("stdin_open", "Config.OpenStdin", default=False, normal=bool),
    plain(
        "stop_signal", "Config.StopSignal", default=Default.IMAGE, normal=_signal,
        read=lambda raw: _signal(raw or "SIGTERM"),
    ),
    plain(
        "stop_grace_period_s", "Config.StopTimeout", default=_GRACE_S, normal=math.ceil, write=math.ceil,
        read=lambda raw: _GRACE_S if raw is None else raw, word="stop_grace_period", show="{} s".format,
    ),
    plain(
        "healthcheck", "Config.Healthcheck", default=Default.IMAGE, write=_raw_check, read=_check, wanted=_wanted_check,
        secret=True, shown=frozenset({"interval", "timeout", "start_period", "retries"}),
        show=lambda value: seconds(value) if isinstance(value, int) and value >= _SHORTEST_NS else as_text(value),
    ),
)  # fmt: skip
