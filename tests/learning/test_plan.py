"""What a trial says about each micro-batch, and what is refused; the trial itself is replaced."""

from typing import Any

import pytest

from addapt._errors import OptionError, UnknownNameError
from addapt.learning import plan as planning
from addapt.learning.plan import check_question, plan, require_fit
from addapt.learning.trial import Question, Trial
from addapt.methods import Finetune, Head, Method

MB = 1_000_000
ORDER = {"backbone": "resnet18"}
TRIAL = Trial(
    started_bytes=50 * MB,
    held_bytes=250 * MB,
    above_bytes={4: 40 * MB, 8: 80 * MB},
    resting_bytes=5 * MB,
    image_s=0.25,
    domain_bytes=1000,
)


def question(method: Method | None = None, batch: int = 16, image_px: int = 224) -> Question:
    return Question(method or Head(), 3, image_px, batch)


@pytest.fixture(autouse=True)
def trials(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], Question]]:
    """Have a process of 70 MB, and `TRIAL` told; return what was asked."""
    asked: list[tuple[dict[str, Any], Question]] = []

    def tell(order: dict[str, Any], question: Question) -> Trial:
        asked.append((order, question))
        return TRIAL

    monkeypatch.setattr(planning, "order_trial", tell)
    monkeypatch.setattr(planning, "rss_bytes", lambda: 70 * MB)
    return asked


def test_rows(trials: list[tuple[dict[str, Any], Question]]) -> None:
    rows = plan(ORDER, question(batch=12), 354 * MB)
    assert trials == [(ORDER, question(batch=12))]
    assert [row.micro_batch for row in rows] == [1, 2, 4, 8, 12]
    assert [row.above_bytes / MB for row in rows] == [10.5, 21, 42, 84, 126]
    # With the 20 MB that this process holds beside what the other one began with.
    assert [row.process_bytes / MB for row in rows] == [280.5, 291, 312, 354, 396]
    assert [row.fits for row in rows] == [True] * 4 + [False]
    assert {(row.method, row.step_s) for row in rows} == {("head", 3.0)}
    require_fit(rows)
    assert all(row.fits for row in plan(ORDER, question()))

    assert [row.micro_batch for row in plan(ORDER, question(Finetune()))] == [16]
    with pytest.raises(OptionError, match="smallest that would do is 284 MB"):
        require_fit(plan(ORDER, question(), 280 * MB))


def test_what_one_cannot_know_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "rss_bytes", lambda: None)
    assert plan(ORDER, question())[0].process_bytes == 260.5 * MB


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (question(batch=0), "`batch` is 0: give at least 1"),
        (question(Finetune(), batch=1), "`batch` is 1: give at least 2"),
        (question(image_px=8), "`image_px` is 8: give 32"),
    ],
)
def test_numbers_that_make_no_sense(asked: Question, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_question(asked)


def test_unknown_backbone(trials: list[Any]) -> None:
    with pytest.raises(UnknownNameError, match="resnet18"):
        plan({"backbone": "resnet19"}, question())
    assert not trials
