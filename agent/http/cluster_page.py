"""The cluster as HTML: what is wrong first, then the rest, the history of documents, and what one document changed.

Names and texts come from the document, from engines and from containers. They are escaped, and so are characters that
nobody sees. The pages need no script and ask for nothing else: their policy forbids both. This module is imported for
the first viewer, because Jinja takes two megabytes.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.conditions import ClusterConditions, Condition, HostCondition, ServiceCondition, wording
from agent.conditions.finding import SEVERITY
from agent.model import Frozen
from agent.model.events import Event
from agent.model.history import Kept
from agent.model.phrases import counted, shorten
from agent.model.records import timestamp
from agent.yamldoc.faultlist import printable

LARGEST = 100_000
"""Bytes of a page. One that has more shows fewer entries, and counts the others."""
REFRESH_S = 10
_LIMITS = (60, 20, 6, 2, 0)
"""Entries of a list or a table, from the first that fits."""
_MOST_DOCUMENTS = 10
_LONGEST = 500
"""Characters of one text."""
_TEMPLATES = Path(__file__).parent / "templates"
_STYLE = (_TEMPLATES / "style.css").read_text()


class ClusterView(Frozen):
    """The cluster as one agent shows it."""

    cluster: str
    host: str
    """The host of this agent."""
    now_s: float
    """Time of the reading, in seconds since the epoch."""
    conditions: ClusterConditions | None = None
    """None: nothing is known now of the cluster, but of the host."""
    accepted: int = 0
    """Revision of the accepted document; 0: none."""
    documents: tuple[Kept, ...] = ()
    """The newest first."""
    history_fault: str = ""
    """Reason why they cannot be read; empty: they were."""
    events: tuple[Event, ...] = ()
    """The newest first."""
    events_fault: str = ""
    """Reason why they cannot be read; empty: they were."""
    trouble: str = ""
    """Reason why the cluster was not read; empty: it was."""
    known_at: str = ""
    """Time of the last answer of etcd to this agent, RFC 3339; empty: not known."""
    own: tuple[Condition, ...] = ()
    """The conditions of the host and its replicas, by its agent's last pass at `own_at`."""
    own_at: str = ""


class DocumentView(Frozen):
    """The changes of a document by meaning, without values that may be secrets."""

    cluster: str
    revision: int
    before: int = 0
    """Revision of the document before it in the history; 0: there is none."""
    changes: tuple[str, ...] = ()
    trouble: str = ""
    """Reason why the changes are not known; empty: they are."""


def cluster_page(view: ClusterView, *, refreshed: bool) -> bytes:
    """Return the page of the cluster; without conditions that of the host. `refreshed`: the browser loads it again."""
    found = view.conditions
    name = "cluster.html" if found else "host.html"
    replicas = {each.condition.key: each for each in found.replicas} if found else {}
    return _fitting(name, view=view, found=found, replicas=replicas, refreshed=refreshed)


def history_page(view: ClusterView) -> bytes:
    """Return the page of all documents that are kept."""
    return _fitting("history.html", view=view)


def document_page(view: DocumentView) -> bytes:
    """Return the page of what one document changed."""
    return _fitting("document.html", view=view)


def headers(*, refreshed: bool) -> Mapping[str, str]:
    """Return the fields of the answer that has a page."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    # A field, not an element: a reader may turn it off by another address, and no reload is in the document.
    again = {"Refresh": str(REFRESH_S)} if refreshed else {}
    return {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", **again}


def _fitting(name: str, **content: Any) -> bytes:
    """Return the page with as many entries as fit into LARGEST."""
    template = _ENVIRONMENT.get_template(name)
    for most in _LIMITS:
        body = template.render(**content, most=most, most_documents=min(most, _MOST_DOCUMENTS)).encode()
        if len(body) <= LARGEST:
            break
    return body


def _worst(rows: Sequence[ServiceCondition | HostCondition]) -> list[ServiceCondition | HostCondition]:
    """Return the rows, the most severe first, in their order otherwise."""
    return sorted(rows, key=lambda each: -SEVERITY[each.condition.state])


def _rest(rows: Sequence[ServiceCondition | HostCondition], most: int, noun: str) -> str:
    """Return the line for the rows beyond the first `most`; empty: there are none."""
    left = _worst(rows)[most:]
    if not left:
        return ""
    wrong = sum(each.condition.state != "Ready" for each in left)
    states = f"{wrong} not ready, {len(left) - wrong} ready" if wrong else "all ready"
    return f"{counted(len(left), f'more {noun}')}: {states}"


def _shown(value: object) -> object:
    return value if hasattr(value, "__html__") else printable(shorten(str(value), _LONGEST))


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    auto_reload=False,
    undefined=StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.update(style=_STYLE, wording=wording, worst=_worst, rest=_rest, counted=counted)
_ENVIRONMENT.globals.update(timestamp=timestamp, refresh_s=REFRESH_S)
_ENVIRONMENT.globals["subnets"] = lambda hosts: Counter(map(wording.bridge, hosts)).most_common()
