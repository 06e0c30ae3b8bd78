"""The date in a domain's file: now, or as the environment says."""

import datetime
from pathlib import Path

import pytest

from addapt import Learner
from addapt._errors import OptionError
from addapt.learning import Controls, Progress
from addapt.learning.description import date
from tests.conftest import MakeFolder
from tests.fake_engine import FakeEngine


def test_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    told = datetime.datetime.fromisoformat(date())
    assert abs(datetime.datetime.now(datetime.timezone.utc) - told).total_seconds() < 60
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert date() == "1970-01-02T00:00:00+00:00"


@pytest.mark.parametrize("asked", ["", "1e9", "9" * 30])
def test_no_time_is_refused_before_any_work(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", asked)
    events: list[Progress] = []
    learner = Learner(FakeEngine(), tmp_path / "s")
    with pytest.raises(OptionError, match="SOURCE_DATE_EPOCH is .*unset it"):
        learner.learn(
            "x", make_folder(), method="head", controls=Controls(on_progress=events.append)
        )
    assert not events
