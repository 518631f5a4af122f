"""Times in records, which others may have written."""

import time
from collections.abc import Iterator

import pytest

from agent.model.records import seconds_of


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def _zone(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize(
    "at",
    [
        "9999-12-31T23:59:59", "9999-12-31T23:59:59-23:59", "0002-01-01", "0001-01-01T00:00:00Z",
        "0002-01-01T00:00:00+23:59", "2026-13-01", "",
    ],
)  # fmt: skip
def test_no_time_is_a_defect(at: str) -> None:
    found = seconds_of(at)

    assert found is None or isinstance(found, float)
    assert found is None or at[:4] not in ("0001", "2026", "")
