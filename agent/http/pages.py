"""The pages of the HTTP server. None changes anything; only the templates are read from the disk, each once."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from agent.yamldoc.faultlist import printable

if TYPE_CHECKING:
    from agent.http.cluster_page import ClusterView, DocumentView

log = structlog.get_logger()

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The functions behind the pages, which threads of the server call. None returns a secret.

    All but the last two must be fast.
    """

    metrics: Callable[[], bytes]
    """All metrics, in the Prometheus text format."""
    alive: Callable[[], bool]
    """True if the loop has made progress recently."""
    unready: Callable[[], tuple[str, ...]]
    """Reasons why the agent cannot work; empty when it is ready."""
    status: Callable[[], Mapping[str, Any]]
    """The state of this host, for JSON."""
    cluster: "Callable[[], ClusterView]"
    """The cluster."""
    document: "Callable[[int], DocumentView | None]"
    """The changes of the document of a revision; None: the history does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further fields of the answer."""


def page(target: str, sources: Sources) -> Page:
    """Return the page for a GET of `target`, the path with its query, if any. Never raises."""
    path, _, query = target.partition("?")
    show = _PAGES.get(path)
    try:
        found = _cluster(path, query, sources) if may_wait(target) else show(sources) if show else None
        return found or Page(status=HTTPStatus.NOT_FOUND, body=b"page not found; / lists all pages\n")
    except Exception:
        log.exception("page failed", page=path)
        body = b"internal error: see the log of the agent\n"
        return Page(status=HTTPStatus.INTERNAL_SERVER_ERROR, body=body)


def may_wait(target: str) -> bool:
    """Return True if the page may wait for etcd."""
    path = target.partition("?")[0]
    return path in ("/", _HISTORY) or path.startswith(f"{_HISTORY}/")


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


def _cluster(path: str, query: str, sources: Sources) -> Page | None:
    """Return the page of the cluster, of its documents or of one; None: there is none at this path."""
    from agent.http import cluster_page as html  # noqa: PLC0415 - for an agent with viewers only

    refreshed = path == "/" and query != "refresh=off"
    if path == "/":
        body = html.cluster_page(sources.cluster(), refreshed=refreshed)
    elif path == _HISTORY:
        body = html.history_page(sources.cluster())
    else:
        revision = path.removeprefix(f"{_HISTORY}/")
        is_one = revision.isascii() and revision.isdigit() and len(revision) < 20  # noqa: PLR2004 - as in etcd
        document = sources.document(int(revision)) if is_one else None
        if document is None:
            return None
        body = html.document_page(document)
    return Page(body=body, type=HTML, headers=html.headers(refreshed=refreshed))


_HISTORY = "/history"
_PAGES: Mapping[str, Callable[[Sources], Page]] = {
    "/metrics": lambda sources: Page(body=sources.metrics(), type=PROMETHEUS),
    "/healthz": _healthz,
    "/readyz": _readyz,
    "/status": _status,
}
