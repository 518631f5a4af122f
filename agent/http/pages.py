"""The pages of the HTTP server. No page reads the disk or changes anything."""

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
    """The functions behind the pages. Threads of the server call them, so they must be fast; none returns a secret."""

    metrics: Callable[[], bytes]
    """All metrics, in the Prometheus text format."""
    alive: Callable[[], bool]
    """True if the loop has made progress recently."""
    unready: Callable[[], tuple[str, ...]]
    """Reasons why the agent cannot work; empty when it is ready."""
    status: Callable[[], Mapping[str, Any]]
    """The state of this host, for JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    type: str = TEXT


def page(target: str, sources: Sources) -> Page:
    """Return the page for a GET of `target`, the path with its query, if any. Never raises."""
    show = _PAGES.get(target.partition("?")[0])
    if show is None:
        return Page(status=HTTPStatus.NOT_FOUND, body=b"page not found; / lists all pages\n")
    try:
        return show(sources)
    except Exception:
        log.exception("page failed", page=target.partition("?")[0])
        body = b"internal error: see the log of the agent\n"
        return Page(status=HTTPStatus.INTERNAL_SERVER_ERROR, body=body)


_STALLED = "the loop is stalled: it has made no progress recently"


def _healthz(sources: Sources) -> Page:
    if sources.alive():
        return Page(body=b"ok\n")
    return Page(status=HTTPStatus.SERVICE_UNAVAILABLE, body=f"{_STALLED}\n".encode())


def _readyz(sources: Sources) -> Page:
    # The reasons are those of the last pass: of a loop that is stalled they are out of date.
    stalled = () if sources.alive() else (_STALLED,)
    if reasons := (*stalled, *sources.unready()):
        text = "".join(f"{printable(reason)}\n" for reason in reasons)
        return Page(status=HTTPStatus.SERVICE_UNAVAILABLE, body=text.encode())
    return Page(body=b"ready\n")


def _status(sources: Sources) -> Page:
    # json.dumps escapes control characters of a terminal; msgspec's own JSON encoder does not.
    text = json.dumps(msgspec.to_builtins(sources.status()), indent=2)
    return Page(body=f"{text}\n".encode(), type=JSON)


_INDEX = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Swarmkeeper</title>
<h1>Swarmkeeper</h1>
<ul>
<li><a href="/status">/status</a>: the state of this host, the plan, and blocked resources
<li><a href="/metrics">/metrics</a>: metrics for Prometheus
<li><a href="/healthz">/healthz</a>: 200 if the loop makes progress
<li><a href="/readyz">/readyz</a>: 200 if etcd and dockerd answer and an intent is accepted
</ul>
</html>
"""

_PAGES: Mapping[str, Callable[[Sources], Page]] = {
    "/": lambda _: Page(body=_INDEX, type=HTML),
    "/metrics": lambda sources: Page(body=sources.metrics(), type=PROMETHEUS),
    "/healthz": _healthz,
    "/readyz": _readyz,
    "/status": _status,
}
