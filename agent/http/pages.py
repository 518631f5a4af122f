"""The pages: what each path answers. Nothing is read from disk, and nothing can be changed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from agent.yamldoc.faultlist import printable

log = structlog.get_logger()

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the pages come from. Each is called on a thread of the server, must be quick and holds no secret."""

    metrics: Callable[[], bytes]
    """The exposition in the Prometheus text format."""
    alive: Callable[[], bool]
    """Whether the loop made progress lately."""
    unready: Callable[[], tuple[str, ...]]
    """Why the agent cannot do its work; empty when it can."""
    status: Callable[[], Mapping[str, Any]]
    """What is known of this host, ready to become JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    type: str = TEXT


def page(target: str, sources: Sources) -> Page:
    """Answer a GET of `target`, the path as the request names it. Never raises."""
    show = _PAGES.get(target.partition("?")[0])
    if show is None:
        return Page(status=HTTPStatus.NOT_FOUND, body=b"there is no such page; / lists those that are\n")
    try:
        return show(sources)
    except Exception:
        log.exception("page failed", page=target.partition("?")[0])
        return Page(
            status=HTTPStatus.INTERNAL_SERVER_ERROR, body=b"the page could not be made; see the log\n"
        )


def _metrics(sources: Sources) -> Page:
    return Page(body=sources.metrics(), type=PROMETHEUS)


def _healthz(sources: Sources) -> Page:
    if sources.alive():
        return Page(body=b"ok\n")
    return Page(status=HTTPStatus.SERVICE_UNAVAILABLE, body=b"the loop has made no progress lately\n")


def _readyz(sources: Sources) -> Page:
    if reasons := sources.unready():
        text = "".join(f"{printable(reason)}\n" for reason in reasons)
        return Page(status=HTTPStatus.SERVICE_UNAVAILABLE, body=text.encode())
    return Page(body=b"ready\n")


def _status(sources: Sources) -> Page:
    # Not msgspec's own JSON: it leaves characters in it that a terminal obeys.
    text = json.dumps(msgspec.to_builtins(sources.status()), indent=2)
    return Page(body=f"{text}\n".encode(), type=JSON)


def _index(sources: Sources) -> Page:  # noqa: ARG001
    return Page(body=_INDEX, type=HTML)


_PAGES: Mapping[str, Callable[[Sources], Page]] = {
    "/": _index,
    "/metrics": _metrics,
    "/healthz": _healthz,
    "/readyz": _readyz,
    "/status": _status,
}

_INDEX = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Swarmkeeper</title>
<h1>Swarmkeeper</h1>
<ul>
<li><a href="/status">/status</a>: this host as its agent sees it, the plan, and what is held back
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/healthz">/healthz</a>: whether the loop makes progress
<li><a href="/readyz">/readyz</a>: whether etcd and dockerd answer and an intent is in force
</ul>
</html>
"""
