"""`addapt plan` as a user meets it."""

import pytest

from tests.cli.conftest import refused, run_json, said

SMALL = ("plan", "--backbone", "resnet18", "--image-px", "32", "--batch", "2")
HEAD = (*SMALL, "--method", "head, ,head,")


def test_rows_and_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    # This process grows from test to test, and counts.
    monkeypatch.setattr("addapt.learning.plan.rss_bytes", lambda: None)
    report = run_json(*HEAD)
    assert [(row["method"], row["micro_batch"]) for row in report["rows"]] == [
        ("head", 1),
        ("head", 2),
    ]
    for row in report["rows"]:
        assert 0 < row["above_bytes"] < row["process_bytes"]
        assert row["step_s"] > 0
    smallest = min(row["process_bytes"] for row in report["rows"])
    assert report["smallest_budget_bytes"] == smallest
    assert (report["batch"], report["image_px"], report["budget_bytes"]) == (2, 32, None)
    table = said(*HEAD)
    assert "at once" in table and "The smallest budget that would do:" in table
    assert "fits" not in table
    report = run_json(*HEAD, "--budget", f"{smallest}B")
    assert report["budget_bytes"] == smallest
    assert [row["fits"] for row in report["rows"]] == [True, False]
    assert "yes" in said(*HEAD, "--budget", f"{smallest}B")
    assert "is more than" in said(*HEAD, "--budget", "9999999GB")
    assert "the smallest that would do is" in refused(*HEAD, "--budget", "1MB")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", "512"), "has no unit"),
        (("--method", "da4"), "Did you mean 'da3'?"),
        (("--method", ","), "--method is empty"),
        (("--backbone", "resnet19"), "Did you mean 'resnet18'?"),
        (("--batch", "0"), "--batch is 0"),
    ],
)
def test_mistakes(words: tuple[str, ...], message: str) -> None:
    assert message in refused(*SMALL, *words)
