import pytest

from agent.compose.variables import DEEPEST, MOST_CHARACTERS, Variables
from agent.errors import Invalid

VALUES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("no variable", "no variable"),
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a-$SET-b", "a-value-b"),
        ("$SETTER", ""),
        ("${UNSET}", ""),
        ("${UNSET-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${EMPTY:-default}", "default"),
        ("${SET:-default}", "value"),
        ("${UNSET:-}", ""),
        ("${SET+other}", "other"),
        ("${EMPTY+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${UNSET+other}", ""),
        ("${SET?no}", "value"),
        ("${EMPTY?no}", ""),
        ("${UNSET:-${SET}}", "value"),
        ("${UNSET:-${UNSET:-${SET:+deep}}}", "deep"),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${UNSET-{}}", "{}"),
        ("$$SET", "$SET"),
        ("$$$SET", "$value"),
        ("$${SET}", "${SET}"),
        ("cost: 5$", "cost: 5$"),
        ("$1 and $-", "$1 and $-"),
    ],
)
def test_variables_are_replaced_as_in_compose(text: str, becomes: str) -> None:
    assert Variables(VALUES).substitute(text) == becomes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${UNSET?}", "needs the variable UNSET: set it in the environment or in .env"),
        ("${UNSET:?say $SET}", r"needs the variable UNSET \(say value\): set it in"),
        ("${EMPTY:?no}", "needs the variable EMPTY"),
        ("${}", "an unknown form of a variable: '${'"),
        ("${SET", "an unknown form of a variable: '${SET'"),
        ("${1A}", "an unknown form of a variable"),
        ("${SET!}", "an unknown form of a variable"),
        ("${SET:x}", "an unknown form of a variable"),
        ("${ SET}", "an unknown form of a variable"),
    ],
)
def test_what_cannot_be_replaced_is_refused_with_its_name(text: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem.replace("$", r"\$").replace("{", r"\{").replace("?", r"\?")):
        Variables(VALUES).substitute(text)


def test_variables_without_a_value_are_remembered_once_each() -> None:
    variables = Variables(VALUES)
    variables.substitute("$UNSET ${UNSET} ${OTHER:-given} $SET $EMPTY")
    assert list(variables.unset) == ["UNSET"]


def test_depth_and_size_are_bounded() -> None:
    with pytest.raises(Invalid, match="within each other"):
        Variables({}).substitute("${A:-" * (DEEPEST + 2) + "}" * (DEEPEST + 2))
    with pytest.raises(Invalid, match="characters with its variables"):
        Variables({"A": "a" * 100_000}).substitute("$A" * (MOST_CHARACTERS // 100_000 + 1))
