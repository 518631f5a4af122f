"""The tables of docs/intent-reference.md that are made from code: `script/reference` writes them again.

What a value may look like is from the parser's own table, how it is held from the table of fields, and what was tried
from the cases of tests/contract/test_fields_over_time.py, which tries them.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.diff.container import TABLE
from agent.diff.container.row import FieldMapping
from agent.intent import forms, json_schema
from agent.intent.forms import Field, Form
from agent.intent.service import FIELDS, OTHERS
from tests.contract.field_cases import CASES, NOT_HERE, Case
from tests.support import cli_reference, compose_reference

PAGE = Path(__file__).parents[2] / "docs/intent-reference.md"

_WORDS: tuple[tuple[Form, str], ...] = (
    (forms.PAIRS, "mapping, or list of `key=value`"),
    (forms.COMMAND, "list, or a line"),
    (forms.SIZE, "size"),
    (forms.MICROSECONDS, "microseconds, or a time"),
    (forms.DURATION, "time"),
    (forms.ABSOLUTE, "absolute path"),
    (forms.ADDRESS, "IPv4 address"),
    (forms.NAME, "name"),
    (forms.BOOLEAN, "true, false"),
    (forms.TEXT, "text"),
    (forms.SCALAR, "text"),
    (forms.NOTHING, "nothing"),
)
_CHANGES = {
    "update": "in place",
    "reconnect": "in place, by leaving and joining",
    "replace": "new container",
    "none": "nothing",
}
_OTHERS_CHANGE = {
    "x-hosts": "replicas come and go; the others stay",
    "deploy": "as the key it stands for",
    "depends_on": "nothing",
    "x-rebalanced-at": "replicas may move to other hosts, one after the other",
    "pull_policy": "nothing",
    "secrets": "new container",
    "configs": "new container",
}
_BUT = {
    "networks": "; new container when the first network changes, or an address becomes fixed or stops being fixed"
}
_REQUIRED = "required"
_OF_THE_DOCUMENT = "not passed to the engine"
_MOUNTED = "as a bind of `volumes`"
_DONE = {"in place": "in place", "recreate": "one new container", "nothing": "the replica does not change"}


def written(page: str) -> str:
    """Return the page with its tables written again."""
    for name, table in TABLES.items():
        begin, end = f"<!-- made by script/reference: {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        lines = "".join(f"{line}\n" for line in table())
        page = f"{before}{begin}{lines}{end}{after}"
    return page


# ---- how a key is held


def _held() -> Iterator[str]:
    yield "| key | written as | in the engine | order | when omitted | a change | removing it |"
    yield "|---|---|---|---|---|---|---|"
    for key, field in FIELDS.items():
        rows = _rows(key, field)
        cells = (
            f"`{key}`",
            _form(field.form),
            ", ".join(f"`{row.at}`" for row in rows),
            "matters" if any(row.ordered for row in rows) else _order(field.form),
            _REQUIRED if key == "image" else "; ".join(dict.fromkeys(row.default for row in rows)),
            "; ".join(dict.fromkeys(_CHANGES[row.repair] for row in rows)) + _BUT.get(key, ""),
            "; ".join(dict.fromkeys(_CHANGES[row.unset] for row in rows)) if key != "image" else "-",
        )
        yield _line(cells)
    for key, field in OTHERS.items():
        if key not in _OTHERS_CHANGE:
            continue  # another spelling: the key that it stands for has a line
        place = _MOUNTED if key in ("secrets", "configs") else _OF_THE_DOCUMENT
        change = _OTHERS_CHANGE[key]
        taken = {"x-hosts": "-", "x-rebalanced-at": "nothing"}.get(key, change)
        yield _line(
            (
                f"`{key}`",
                _form(field.form),
                place,
                "matters" if key == "x-hosts" else "-",
                "-",
                change,
                taken,
            )
        )


def _rows(key: str, field: Field) -> list[FieldMapping]:
    if field.attribute is not None:
        return [row for row in TABLE if row.field == (field.attribute or key)]
    return [row for row in TABLE if row.called.split(".")[0] == key]


def _order(form: Form) -> str:
    return "is ignored" if "array" in str(form) or "object" in str(form) else "-"


def _form(form: Form) -> str:
    """What a value may look like, in words."""
    for known, words in _WORDS:
        if form is known or form == known:
            return words
    if "anyOf" in form:
        inner = form["anyOf"]
        if {str(each.get("type")) for each in inner} <= {
            "integer",
            "number",
            "string",
        } and "minimum" in inner[0]:
            return _form(inner[0])
        return ", or ".join(dict.fromkeys(map(_form, inner)))
    if "enum" in form:
        said = [str(each) for each in form["enum"] if not isinstance(each, bool)]
        return ", ".join(f"`{each}`" for each in dict.fromkeys(said))
    kinds: Mapping[str, Callable[[Form], str]] = {"array": _list, "object": _mapping}
    if (kind := str(form.get("type"))) in kinds:
        return kinds[kind](form)
    if "minimum" in form:
        return f"{form['minimum']} to {form['maximum']}"
    return f"`{form['pattern'].strip('^$')}`" if "pattern" in form else "text"


def _list(form: Form) -> str:
    inner = _form(form["items"])
    return f"list of ({inner})" if ", or " in inner else f"list of {inner}"


def _mapping(form: Form) -> str:
    if isinstance(inner := form.get("additionalProperties"), Mapping):
        return f"mapping to ({_form(inner)})" if ", or " in _form(inner) else f"mapping to {_form(inner)}"
    offered = [key for key, each in form["properties"].items() if each.get("not") != {}]
    return f"{{{', '.join(f'`{key}`' for key in offered)}}}"


# ---- what was tried


def _tried() -> Iterator[str]:
    yield "| key | value | the same in another spelling | another value | changed by | by hand | reported as |"
    yield "|---|---|---|---|---|---|---|"
    for case in CASES:
        yield _line(
            (f"`{case.key}`", *map(_code, _values(case)), _DONE[case.change], _deed(case), _told(case))
        )
    for key, why in NOT_HERE.items():
        yield _line((f"`{key}`", f"not tried: {why}", "", "", "", "", ""))


def _values(case: Case) -> tuple[str, str, str]:
    own = f"{case.key}: "
    first, same, second = (each.removeprefix(own) for each in (case.first, case.same, case.second))
    return first, same, second or "(removed)"


def _deed(case: Case) -> str:
    return _code(f"docker {case.by_hand}") if case.by_hand else "recreated by hand with the other value"


def _told(case: Case) -> str:
    return _code(case.named) + (" (*)" if case.lossy else "")


def _code(text: str) -> str:
    return "<br>".join(f"`{line}`" for line in text.split("\n"))


# ---- what is refused


def _refused() -> Iterator[str]:
    yield "| where | key | why |"
    yield "|---|---|---|"
    seen = set[tuple[str, str]]()
    for where, key, why in _never(json_schema(), ()):
        if (where, key) not in seen:
            seen.add((where, key))
            yield _line((f"`{where}`" if where else "top level", f"`{key}`", why.removeprefix(f"{key} ")))


def _never(form: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    if not isinstance(form, Mapping):
        return
    for key, inner in form.get("properties", {}).items():
        if inner.get("not") == {}:
            yield ".".join(path), key, inner["description"]
        else:
            yield from _never(inner, (*path, key))
    yield from _never(form.get("additionalProperties"), (*path, "*"))
    for inner in (form.get("items"), *form.get("anyOf", ())):
        yield from _never(inner, path)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |".replace("<project>-<service>-<slot>", "`<project>-<service>-<slot>`")


TABLES: Mapping[str, Callable[[], Iterator[str]]] = {"held": _held, "tried": _tried, "refused": _refused}


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    compose_reference.PAGE.write_text(compose_reference.page())
    cli_reference.write()
