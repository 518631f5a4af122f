from pathlib import Path

import pytest

import agent.cli.connect
from agent.cli.connect import connected
from agent.errors import Invalid

ENDPOINTS = ["http://127.0.0.1:1"]


def test_with_endpoint_and_cluster_the_usual_configuration_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = tmp_path / "agent.yaml"
    faulty.write_text("bogus: 1\n")
    monkeypatch.setattr(agent.cli.connect, "CONFIG", faulty)

    with connected(None, ENDPOINTS, "prod") as connection:
        assert connection.keys.cluster == "prod"
    with pytest.raises(Invalid, match="bogus"), connected(faulty, ENDPOINTS, "prod"):
        pass
    with pytest.raises(Invalid, match="bogus"), connected(None, None, "prod"):
        pass


def test_a_configuration_without_the_right_to_read_it_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # root, as whom the tests may run, reads every file
    with (
        pytest.raises(
            Invalid, match=r"no permission to read it: use sudo, .* or give --endpoint and --cluster"
        ),
        connected(tmp_path / "agent.yaml", None, None),
    ):
        pass
