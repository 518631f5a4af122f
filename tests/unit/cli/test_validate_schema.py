import json

from tests.unit.cli.conftest import swarmkeeper


def test_the_schema_is_printed_for_an_editor_to_read() -> None:
    ended = swarmkeeper("schema")

    assert ended.code == 0
    assert "services" in json.loads(ended.out)["properties"]
