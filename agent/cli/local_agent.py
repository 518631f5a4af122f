"""The knowledge of this host's own agent, for a time in which etcd does not answer."""

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from agent.cli import CONFIG
from agent.cli.layout import Column, paragraph, table, text
from agent.cli.render import Page
from agent.conditions import ClusterConditions, Condition
from agent.conditions.finding import Unknown
from agent.config import load_config
from agent.errors import Invalid, SwarmkeeperError

TIMEOUT_S = 3.0
LARGEST = 16_000_000
"""Bytes of a page that are read at most."""
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}  # noqa: S104 - addresses to listen on, not to call


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAgent:
    """The report of the agent of this host, as its page /status has it."""

    host: str
    page: dict[str, Any]

    @property
    def at(self) -> str:
        """Time of the report, RFC 3339; empty: it made none yet."""
        return _word(self.page.get("as_of")) or _word(self.status.get("at"))

    @property
    def status(self) -> dict[str, Any]:
        status = self.page.get("status")
        return status if isinstance(status, dict) else {}

    @property
    def headline(self) -> str:
        """The sentence before everything that follows."""
        time = f", as of {_time(self.at)}" if self.at else ", which has made no report yet"
        return f"etcd does not answer; this is what the agent of {self.host} knows{time}"


def ask_local_agent(config: Path | None, cluster: str) -> LocalAgent:
    """Return the report of the agent of this host, if it is one of `cluster`.

    `config` is None if no option names it. Raises Invalid, with the remedy, when there is nothing to ask.
    """
    path = config or CONFIG
    try:
        loaded = load_config(path)
    except (SwarmkeeperError, OSError) as error:
        raise Invalid(f"{path} does not tell the address of the agent of this host") from error
    if loaded.cluster != cluster:
        raise Invalid(f"the agent of this host belongs to the cluster {loaded.cluster}")
    address = loaded.http.listen
    if loaded.http.web_config:
        raise Invalid(
            f"the page of the agent of {loaded.host} has a certificate or a password: see it with"
            f" `curl --user USER https://{address}/status`"
        )
    return LocalAgent(host=loaded.host, page=_page(address))


def _page(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(
        _ANYWHERE.get(host, host.strip("[]")), int(port), timeout=TIMEOUT_S
    )
    try:
        connection.request("GET", "/status")
        with connection.getresponse() as answer:
            page = json.loads(answer.read(LARGEST))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Invalid(
            f"the agent of this host does not answer at http://{address}/status: {error}"
        ) from error
    finally:
        connection.close()
    if answer.status != http.client.OK or not isinstance(page, dict):
        raise Invalid(f"the agent of this host answered with {answer.status} at http://{address}/status")
    return page


def conditions_without_etcd(sentence: str) -> ClusterConditions:
    """Return the conditions of a cluster of which nothing is known, with the sentence that says so."""
    unknown = Unknown("StoreUnreachable", cause="store/")
    return ClusterConditions(
        cluster=Condition.of("cluster", "", unknown._replace(text=sentence)),
        converged=False,
        store=Condition.of("store", "", Unknown("StoreUnreachable", sentence)),
        document=Condition.of("document", "", unknown),
        leader=Condition.of("leader", "", unknown),
        quorum=Condition.of("quorum", "", unknown),
    )


def render_local(agent: LocalAgent, page: Page) -> list[Text]:
    """Return the report as lines: the replicas of the host, what is blocked, what waits, and the open steps."""
    lines = paragraph(text(agent.headline, "bold"), page.width)
    status = agent.status
    lines += [text(""), *paragraph(text(_host_line(agent)), page.width)]
    if error := _word(status.get("engine_error")):
        lines += paragraph(text(f"dockerd: {error}", "red"), page.width)
    replicas = [each for each in _mappings(status.get("replicas")) if each.get("service")]
    columns = [
        Column(
            head="Replica",
            cells=[text(f"{each.get('service')}-{each.get('slot')}") for each in replicas],
            least=8,
        ),
        Column(head="Container", cells=[text(_word(each.get("status"))) for each in replicas]),
        Column(head="Health", cells=[text(_word(each.get("health")) or "-") for each in replicas], omit=1),
        Column(head="Ended", cells=[text(_word(each.get("crashes", 0))) for each in replicas], omit=2),
    ]
    if replicas:
        lines += [text(""), *table(columns, page.width)]
    for heading, key, style in (("Blocked", "blocked", "red"), ("Waiting", "waiting", "yellow")):
        entries = [
            f"{_word(each.get('resource'))}: {_word(each.get('reason'))}"
            for each in _mappings(status.get(key))
        ]
        lines += _list(heading, entries, style, page)
    steps = [_word(each.get("text")) for each in _mappings(status.get("steps"))]
    return lines + _list("Steps", steps, "yellow", page)


def _host_line(agent: LocalAgent) -> str:
    status, page = agent.status, agent.page
    role = "manager" if status.get("is_manager") else "worker"
    state = _word(status.get("state")) or "unknown"
    engine = "dockerd answers" if status.get("engine_up") else "dockerd does not answer"
    revision = f"revision {page.get('accepted_revision') or 'none'} accepted, {status.get('revision') or 'none'} done"
    store = page.get("store")
    read_at = _word(store.get("read_at")) if isinstance(store, dict) else ""
    read = f", etcd last read at {_time(read_at)}" if read_at else ""
    return f"{agent.host}: {role if state == 'active' else f'swarm {state}'}, {engine}, {revision}{read}"


def _list(heading: str, entries: Iterable[str], style: str, page: Page) -> list[Text]:
    shown = [line for each in entries for line in paragraph(text(each, style), page.width, indent=2)]
    return [text(""), text(heading, "bold"), *shown] if shown else []


def _mappings(found: Any) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _time(at: str) -> str:
    """Return `12:03:10 UTC` of a time in RFC 3339."""
    return f"{at.partition('T')[2].rstrip('Z')} UTC"


def _word(found: Any) -> str:
    return str(found) if isinstance(found, str | int) else ""
