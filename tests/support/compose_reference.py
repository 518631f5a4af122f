"""docs/reference/compose.md: every key of the Compose specification, and what becomes of it in a document.

The keys are those of the specification's JSON Schema (tests/data). What becomes of them is read from the forms of the
readers; of a key that only has another spelling, from what the reading of a sample notes, or `compile` does.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.intent import json_schema

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs/reference/compose.md"
SPECIFICATION: Mapping[str, Any] = json.loads((_ROOT / "tests/data/compose-spec.json").read_text())

NOTED: Mapping[str, str] = {
    "version": "version: '3'",
    "services.*.expose": "expose: [80]",
    "services.*.links": "links: [other]",
    "services.*.container_name": "container_name: web-1",
    "services.*.deploy.endpoint_mode": "deploy: {endpoint_mode: vip}",
    "services.*.deploy.labels": "deploy: {labels: {a: b}}",
    "services.*.depends_on.*.restart": "depends_on: {other: {restart: true}}",
    "services.*.depends_on.*.required": "depends_on: {other: {required: false}}",
    "services.*.ports.mode": "ports: [{target: 80, published: 80, mode: ingress}]",
}
"""A sample with the key, of a document or of a service, which is valid and noted."""
RESPELLED: Mapping[str, str] = {
    "services.*.scale": "the same as `deploy.replicas`",
    "services.*.volumes.consistency": "no effect on Linux",
    "networks.*.ipam.driver": "`default` is taken, any other is refused",
    "secrets.*.name": "no object has the name: the file is mounted",
    "configs.*.name": "no object has the name: the file is mounted",
    "networks.*.external.name": "the same as `name`",
    "volumes.*.external.name": "the same as `name`",
}
COMPILED: Mapping[str, tuple[str, str]] = {
    "services.*.env_file": ("env_file: [vars]", "its variables go into `environment`"),
    "services.*.build": ("build: .", "left out beside `image`, with a warning"),
}
"""A sample of a service with the key, which `swarmkeeper compile` takes away, and what becomes of it."""


def keys_of(
    form: Any, root: Mapping[str, Any] = SPECIFICATION, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, Any]]:
    """Yield the path and the form of every key that a JSON Schema names; `*` is a name of the user's."""
    if not isinstance(form, Mapping):
        return
    if reference := str(form.get("$ref", "")):
        yield from keys_of(root["$defs"][reference.rpartition("/")[2]], root, path)
    for key, inner in form.get("properties", {}).items():
        yield ".".join((*path, key)), inner
        yield from keys_of(inner, root, (*path, key))
    named = [each for pattern, each in form.get("patternProperties", {}).items() if pattern != "^x-"]
    for inner in (*named, form.get("additionalProperties")):
        yield from keys_of(inner, root, (*path, "*"))
    for inner in (
        form.get("items"),
        *(each for how in ("anyOf", "oneOf", "allOf") for each in form.get(how, ())),
    ):
        yield from keys_of(inner, root, path)


def held() -> dict[str, str]:
    """The keys of a document by path: the reason of a refused one, and nothing for one that has an effect."""
    found = keys_of(json_schema())
    return {path: form["description"] if form.get("not") == {} else "" for path, form in found}


def becomes(key: str, ours: Mapping[str, str]) -> tuple[str, str]:
    """What becomes of a key of the specification, in one word, and why. Raises KeyError for an unknown one."""
    if key in COMPILED:
        return "compiled away", COMPILED[key][1]
    if key in NOTED:
        return "warned", "no effect of its own; `validate` says what holds instead"
    if key in RESPELLED:
        return "held", RESPELLED[key]
    reason = ours[key]
    return ("refused", reason.removeprefix(f"{key.rpartition('.')[2]} ")) if reason else ("held", "")


def table() -> Iterator[str]:
    """The lines of the table. Keys below a refused one have no line."""
    ours, done = held(), dict[str, str]()
    yield "| key | | why, and what to write instead |"
    yield "|---|---|---|"
    for key in dict.fromkeys(path for path, _ in keys_of(SPECIFICATION)):
        if any(
            key.startswith(f"{above}.")
            for above, what in done.items()
            if what in ("refused", "compiled away")
        ):
            continue
        done[key], why = becomes(key, ours)
        yield f"| `{key}` | {done[key]} | {why} |"


def page() -> str:
    """The whole page."""
    return f"""# The Compose specification, key by key

Made by `script/reference` from the readers and the specification's JSON Schema (compose-go 2.16.1).

- **held**: the replica, network or volume has it ([how](../intent-reference.md)).
- **warned**: the document is valid, and `validate` says what holds instead.
- **compiled away**: `swarmkeeper compile` carries it out ([Bring a Compose file](../operate/compose.md)); a document
  must not have it.
- **refused**: the verdict says why, with line and column. What is below such a key has no line here.

{"".join(f"{line}{chr(10)}" for line in table())}"""
