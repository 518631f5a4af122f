"""Reads the logging of a replica: Docker's own drivers with the options that they take; other drivers are plugins."""

import re
from collections.abc import Mapping

from agent.intent import forms
from agent.intent.forms import Field, Section
from agent.intent.values import pairs, text
from agent.model.network_options import FALSE, TRUE
from agent.model.spec import Logging, Pairs
from agent.yamldoc.readers import Cursor, after

_NAMES = ("labels", "labels-regex", "env", "env-regex")
_FILES = ("max-size", "max-file", "compress")
_EVERY = ("mode", "max-buffer-size")
_CACHE = ("cache-disabled", "cache-max-size", "cache-max-file", "cache-compress")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "json-file": (*_FILES, *_NAMES, "tag"),
    "local": _FILES,
    "journald": (*_NAMES, "tag"),
    "syslog": (
        *_NAMES, "tag", "syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert",
        "syslog-tls-key", "syslog-tls-skip-verify", *_CACHE,
    ),
    "gelf": (
        *_NAMES, "tag", "gelf-address", "gelf-compression-level", "gelf-compression-type", "gelf-tcp-max-reconnect",
        "gelf-tcp-reconnect-delay", *_CACHE,
    ),
    "none": (),
}  # fmt: skip
"""Drivers whose options are the same in every engine. Those of the others differ, and the engine judges them."""
OTHERS = ("awslogs", "fluentd", "gcplogs", "logentries", "splunk")
DRIVERS = (*OPTIONS, *OTHERS)
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "awslogs": ("awslogs-group",),
    "gelf": ("gelf-address",),
    "logentries": ("logentries-token",),
    "splunk": ("splunk-url", "splunk-token"),
}

_BOOLEAN = ("|".join((*TRUE, *FALSE)), "neither true nor false", "write true or false")
_SIZE = (
    r"0*[1-9][0-9]{0,14}(?:\.[0-9]{1,9})?(?: ?[kKmMgGtTpP]?[iI]?[bB]?)",
    "not a size",
    "write for example 50m",
)
_FACILITIES = "kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7]|[01]?[0-9]|2[0-3]"
_COUNT = (r"0*[1-9][0-9]{0,8}", "not a number from 1 on", "write for example 3")
_FORMS: Mapping[str, tuple[str, str, str]] = {
    "max-size": _SIZE,
    "max-buffer-size": _SIZE,
    "cache-max-size": _SIZE,
    "max-file": _COUNT,
    "cache-max-file": _COUNT,
    "compress": _BOOLEAN,
    "cache-compress": _BOOLEAN,
    "cache-disabled": _BOOLEAN,
    "mode": ("blocking|non-blocking", "neither blocking nor non-blocking", "write one of them"),
    "syslog-address": (r"(?:(?:tcp|udp|tcp\+tls)://[^\s/]+|unix(?:gram)?://\S+)", "not an address", "write for example udp://10.0.0.1:514"),
    "syslog-facility": (_FACILITIES, "not a facility", "write for example daemon or local0"),
    "syslog-format": (r"rfc3164|rfc5424(?:micro)?", "not a format", "write rfc3164, rfc5424 or rfc5424micro"),
    "gelf-address": (r"(?:tcp|udp)://[^\s/:]+:[0-9]{1,5}", "not an address", "write for example udp://10.0.0.1:12201"),
    "gelf-compression-type": ("gzip|zlib|none", "neither gzip nor zlib nor none", "write one of them"),
    "gelf-compression-level": ("-1|[0-9]", "not a level", "write one from -1 to 9"),
}  # fmt: skip
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_FIELD = re.compile(r"\.([A-Za-z]+)")
_INFO = (
    "ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName", "Command", "Hostname",
    "ExtraAttributes", "Config", "LogPath", "ContainerID", "ContainerName", "ContainerEntrypoint", "ContainerArgs",
    "ContainerImageID", "ContainerImageName", "ContainerCreated", "ContainerEnv", "ContainerLabels",
)  # fmt: skip
"""Names that a tag can have: moby, daemon/logger/loginfo.go."""
_GO_ONLY = re.compile(r"\\[pPQEzC]|\[\[|\(\?")


def _driver(cursor: Cursor) -> str | None:
    """Read the name of a driver. One that differs from Docker's in case and punctuation alone is a mistake."""
    written = text(cursor)
    if written is None or written in DRIVERS:
        return written
    plain = {re.sub(r"[^a-z]", "", each): each for each in DRIVERS}
    meant = plain.get(re.sub(r"[^a-z]", "", written.lower()))
    if meant or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,254}", written, re.ASCII):
        remedy = f"did you mean '{meant}'?" if meant else "write for example json-file"
        return cursor.fault(f"{cursor.shown} is not a logging driver", remedy)
    return written


LOGGING = Section({"driver": Field(_driver, forms.SCALAR), "options": Field(pairs(secret=True), forms.PAIRS)})


@after(LOGGING.into(Logging))
def logging(cursor: Cursor, found: Logging) -> Logging:
    """Read the logging driver and its options. Faults omit the options, which may contain tokens."""
    driver, options = found.driver, found.options
    needed = [each for each in _NEEDED.get(driver, ()) if each not in dict(options)]
    if needed:
        problem = f"the driver {driver} needs the option '{needed[0]}'"
        cursor.hidden().conflict(problem, f"write {needed[0]} in options")
    _check_options(cursor.at("options").hidden(), driver, options)
    return found


def _check_options(place: Cursor, driver: str, options: Pairs) -> None:
    """Note a fault for each option that the driver does not know, and for each value that no engine takes."""
    known, found = OPTIONS.get(driver), dict(options)
    for name, value in options:
        here = place.at(name)
        if driver == "none":
            here.conflict("the driver none has no options", "remove them")
        elif known is not None and name not in (*known, *_EVERY):
            problem = f"the driver {driver} has no option '{name[:60]}'"
            here.conflict(problem, here.guess(name, (*known, *_EVERY), "remove it"))
        elif driver in ("", *DRIVERS):
            _check_value(here, name, value)
    if "max-buffer-size" in found and found.get("mode") != "non-blocking":
        problem = "max-buffer-size needs mode: non-blocking"
        place.at("max-buffer-size").conflict(problem, "write that, or remove it")
    few = "max-size" not in found or found.get("max-file", "1").strip("0") in ("", "1")
    if driver == "json-file" and found.get("compress") in TRUE and few:
        problem = "compress needs max-size, and max-file from 2 on"
        place.at("compress").conflict(problem, "write both, or remove it")


def _check_value(here: Cursor, name: str, value: str) -> None:
    form, problem, remedy = _FORMS.get(name, ("", "", ""))
    if form and not re.fullmatch(form, value, re.ASCII):
        here.fault(f"the value of '{name}' is {problem}", remedy)
    elif name == "tag" and (why := _why_no_tag(value)):
        here.fault(f"the value of 'tag' is not a template: {why}", "write for example {{.Name}}")
    elif name.endswith("-regex") and not _is_expression(value):
        here.fault(f"the value of '{name}' is not a regular expression", "write for example ^com\\.shop")


def _why_no_tag(value: str) -> str:
    rest = _ACTION.sub("", value)
    if "{{" in rest or "}}" in rest:
        return "{{ and }} do not match"
    fields = (_FIELD.fullmatch(action) for action in _ACTION.findall(value))
    unknown = next((each[1] for each in fields if each and each[1] not in _INFO), "")
    return f"{{{{.{unknown[:40]}}}}} is unknown" if unknown else ""


def _is_expression(value: str) -> bool:
    """Return False for what no dialect takes; Go's has constructs of its own, which only the engine judges."""
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError):
        return bool(_GO_ONLY.search(value))
    return True
