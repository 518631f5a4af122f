"""How the cluster is shown to an operator, a monitoring system and a program: `status`, its check, JSON, metrics."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from integration import recorder
from integration.cluster import Cluster
from integration.lab.host import Host
from integration.recorder import Capture

STATUS, CHECK, JSON = ("status",), ("status", "--check"), ("status", "-o", "json")
LATEST_REVISION = 100
"""The newest revision in a capture; older ones count down from it."""
HELD = "swarmkeeper_cluster_converged"
CONDITION = "swarmkeeper_cluster_condition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One condition of the JSON: `<kind>/<name>`, its state, reason and text."""

    key: str
    state: str
    reason: str
    text: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one host's command shows, at about one moment."""

    status: Capture
    check: Capture
    data: Mapping[str, Any]

    @property
    def first(self) -> str:
        """The first line of `status`, which a narrow terminal shows as several."""
        return " ".join(self.status.output.partition("\n\n")[0].split())

    @property
    def converged(self) -> bool:
        return bool(self.data["converged"])

    @property
    def problems(self) -> list[Found]:
        """The problems in their order."""
        return [_found(each["condition"]) for each in self.data["problems"]]

    @property
    def consequences(self) -> list[Found]:
        """The conditions that are folded under problems."""
        return [_found(follows) for each in self.data["problems"] for follows in each["consequences"]]

    @property
    def revisions(self) -> Mapping[str, str]:
        """Every revision of the JSON, with the fixed number that stands for it in captures."""
        found = sorted({each for each in _revisions(self.data) if each > 0}, reverse=True)
        return {str(each): str(LATEST_REVISION - place) for place, each in enumerate(found)}


def look(host: Host) -> Shown:
    """Ask one host's command for its three forms, at the same time.

    Raises AssertionError if the JSON is none, as for a command that fails.
    """
    with ThreadPoolExecutor(3) as pool:
        status, check, data = pool.map(lambda command: capture(host, *command), (STATUS, CHECK, JSON))
    try:
        return Shown(status=status, check=check, data=json.loads(data.output))
    except ValueError as error:
        raise AssertionError(f"status -o json on {host.name}: {data.output!r}") from error


def capture(host: Host, *argv: str, timeout: float = 60) -> Capture:
    """Run `swarmkeeper ...` on a host as on a terminal of 80 columns without colours; stderr follows stdout."""
    command = ("swarmkeeper", *argv)
    done = host.exec("env", *recorder.PLAIN, *command, check=False, timeout=timeout)
    return Capture(command=" ".join(command), output=done.stdout + done.stderr, code=done.returncode)


def record(name: str, done: str, shown: Shown, group: str = "Cluster", more: Iterable[Capture] = ()) -> None:
    """Record `status`, `status --check` and further captures of a state, if that is asked for."""
    recorder.record(name, done, (shown.status, shown.check, *more), group=group, instead=shown.revisions)


def check_tables(shown: Shown) -> None:
    """AssertionError unless every line fits the terminal."""
    wide = [line for line in shown.status.output.splitlines() if len(line) > recorder.COLUMNS]
    assert not wide, wide


def _found(raw: Mapping[str, Any]) -> Found:
    name = "/".join(part for part in (raw["kind"], raw["name"]) if part)
    return Found(
        key=name, state=raw["state"], reason=raw["reason"], text=raw["text"], command=raw.get("command", "")
    )


def _revisions(data: Any) -> Iterator[int]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key.endswith("revision") and isinstance(value, int):
                yield value
            else:
                yield from _revisions(value)
    elif isinstance(data, list):
        for each in data:
            yield from _revisions(each)


# ---- Metrics of the cluster, from the agent that leads


def leaders_metrics(cluster: Cluster) -> dict[str, float]:
    """The metrics of the leader by series. LookupError if nobody leads."""
    record = cluster.get("leader")
    if record is None:
        raise LookupError("nobody leads")
    return cluster.metrics(cluster.lab[str(record["host"])])


def check_metrics(
    metrics: Mapping[str, float], *, converged: bool, state: str = "", reason: str = ""
) -> None:
    """AssertionError unless the leader's metrics say so, and count a resource of that state and reason."""
    assert metrics.get(HELD) == float(converged), {
        name: value for name, value in metrics.items() if "_cluster_" in name
    }
    if reason:
        found = {
            name: value
            for name, value in metrics.items()
            if name.startswith(CONDITION) and f'reason="{reason}"' in name and f'type="{state}"' in name
        }
        assert sum(found.values()) >= 1, {n: v for n, v in metrics.items() if n.startswith(CONDITION)}


def names(first: str, *words: str) -> None:
    """AssertionError unless the first line has each of these, as regular expressions."""
    missing = [word for word in words if not re.search(word, first)]
    assert not missing, (missing, first)
