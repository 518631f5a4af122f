import json

import pytest
import yaml

from agent.cli.output import Output, print_data

DATA = {"version": 1, "name": "\x1b[2Jé\u202e", "hosts": [{"name": "h1", "ready": None}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("output", "load"), [(Output.JSON, json.loads), (Output.YAML, yaml.safe_load)])
def test_data_come_back_as_they_were_and_no_terminal_obeys_them(
    output: Output, load: object, stream: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_data(DATA, output, stream=stream)
    printed = capsys.readouterr().out

    assert callable(load)
    assert load(printed) == DATA
    assert printed.isascii()
    assert printed.replace("\n", "").isprintable()


def test_a_stream_can_be_taken_apart(capsys: pytest.CaptureFixture[str]) -> None:
    for output in (Output.JSON, Output.YAML):
        for number in (1, 2):
            print_data({"number": number, "more": [1]}, output, stream=True)
    printed = capsys.readouterr().out

    assert printed.splitlines()[:2] == ['{"number": 1, "more": [1]}', '{"number": 2, "more": [1]}']
    rest = "\n".join(printed.splitlines()[2:])
    assert [each["number"] for each in yaml.safe_load_all(rest)] == [1, 2]
