"""Documents of an operator that differ from another one in what a test is about, by name: nothing is found by text.

A string replacement that no longer matches changes nothing, and the test goes on with the document it began with. Here
a host, a service or a key that is to be changed or taken out and is not there is an error.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = (Path(__file__).parents[2] / "deploy/examples/cluster.yaml").read_text()
"""The document of deploy/examples: three managers, eight replicas of five services."""
SERVICES = ("order", "billing", "console", "terminal", "api")
"""All services of the example."""

Changes = Mapping[str, Any]


class _Dumper(yaml.SafeDumper):
    """Prints what is shared as often as it is there: an anchor would be edited for all of its aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def document(
    base: str = EXAMPLE,
    *,
    hosts: Changes | None = None,
    roles: Mapping[str, str] | None = None,
    policy: Changes | None = None,
    cluster: Changes | None = None,
    services: Changes | None = None,
    tags: Mapping[str, str] | None = None,
    replicas: Changes | None = None,
    **top: Any,
) -> str:
    """The YAML of `base` with these changes. A mapping is merged into what is there, and None takes a key out.

    `roles` and `tags` are of hosts and of images of services; `replicas` are the whole `x-hosts` of services. `hosts`
    and `policy` are parts of `cluster`, and that is `x-cluster`.
    """
    wanted = _read(base)
    for name, role in (roles or {}).items():
        wanted = _merged(wanted, {"x-cluster": {"hosts": {name: {"role": role}}}}, known=3)
    for name, tag in (tags or {}).items():
        repository = wanted["services"][name]["image"].rpartition(":")[0]
        wanted = _merged(wanted, {"services": {name: {"image": f"{repository}:{tag}"}}})
    for name, where in (replicas or {}).items():
        wanted = _merged(wanted, {"services": {name: {"x-hosts": None}}})
        wanted = _merged(wanted, {"services": {name: {"x-hosts": where}}})
    parts = {"hosts": hosts, "policy": policy}
    of_cluster = {**(cluster or {}), **{key: part for key, part in parts.items() if part is not None}}
    changes = {"x-cluster": of_cluster, "services": services or {}, **top}
    return yaml.dump(_merged(wanted, changes), Dumper=_Dumper, sort_keys=False, width=1000)


@functools.cache
def _read(text: str) -> dict[str, Any]:
    """What a document says, with its aliases resolved and no parts that only aliases refer to."""
    found = yaml.safe_load(text)
    return {key: value for key, value in found.items() if key == "x-cluster" or not key.startswith("x-")}


def _merged(one: Mapping[str, Any], changes: Changes, known: int = 0) -> dict[str, Any]:
    """A mapping with changes. Of the first `known` levels every key has to be there already."""
    merged = dict(one)
    for key, value in changes.items():
        if key not in merged and (value is None or known > 0):
            raise KeyError(f"{key}: the document has no such key here, only {', '.join(map(str, merged))}")
        if value is None:
            del merged[key]
        elif isinstance(value, Mapping):
            there = merged.get(key)
            merged[key] = _merged(there if isinstance(there, Mapping) else {}, value, known - 1)
        else:
            merged[key] = value
    return merged


HEAD = document(services=dict.fromkeys(SERVICES))
"""The example's cluster with no services."""
