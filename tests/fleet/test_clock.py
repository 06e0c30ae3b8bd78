"""Clocks that have not been set are told before anything waits."""

import datetime
from types import SimpleNamespace

import pytest

from addapt._errors import FleetError
from addapt.fleet import clock


def _at(monkeypatch: pytest.MonkeyPatch, year: int, month: int) -> None:
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Clock":
            return cls(year, month, 1, tzinfo=tz)

    monkeypatch.setattr("addapt.fleet.clock.datetime.datetime", Clock)


def test_a_clock_in_1970_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _at(monkeypatch, 1970, 1)
    with pytest.raises(FleetError, match="says 1970-01-01 00:00 UTC.*set the clock"):
        clock.check_clock()


def test_a_clock_that_was_set_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    _at(monkeypatch, 2025, 3)
    clock.check_clock()


def test_it_is_the_date_of_flower() -> None:
    """Flower refuses a message of the second before for its date, and none of then."""
    validator = pytest.importorskip("flwr.server.utils.validator")
    for seconds, refused in ((-1, True), (0, False)):
        dated = {"created_at": clock.EARLIEST.timestamp() + seconds, "ttl": 1.0}
        others = {"src_node_id": 1, "dst_node_id": 1, "message_type": "query"}
        names = ("message_id", "delivered_at", "reply_to_message_id")
        metadata = SimpleNamespace(**dated, **others, **dict.fromkeys(names, ""))
        message = SimpleNamespace(
            metadata=metadata, has_content=lambda: True, has_error=lambda: False
        )
        found = validator.validate_message(message, is_reply_message=False)
        assert any("created_at" in line for line in found) == refused
