"""The page's engine computes what the shell does; its tests run under Node.js."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from addapt.domains import Store
from addapt.domains.file import read_domain
from addapt.learning import Learner
from addapt.learning.store_check import StoreCheck
from tests.web.conftest import RunTests
from tests.web.lessons import NAME, OTHER, open_quick


@pytest.mark.parametrize("name", ["files", "images", "numbers"])
def test_what_needs_no_graph(run_tests: RunTests, name: str) -> None:
    run_tests(name)


def test_learning_and_files_are_those_of_the_shell(run_tests: RunTests, lesson: Path) -> None:
    run_tests("learning")

    shell = Store(lesson / "store").info(NAME)
    info, tensors = read_domain(lesson / "taught.safetensors")
    assert set(asdict(info)["options"]) == set(shell.options)
    same = ("backbone", "classes", "hyperparameters", "image_px", "mean", "std", "epochs")
    assert all(getattr(info, name) == getattr(shell, name) for name in same)
    del info.val_report["meaning"], shell.val_report["meaning"]  # a page has no folder val
    for name in ("temperature", "calibration_error"):
        assert info.val_report.pop(name) == pytest.approx(shell.val_report.pop(name), abs=1e-4)
    assert info.val_report == shell.val_report
    assert set(info.versions) == {"addapt", "onnxruntime-web"}

    store = Store(lesson / "store")
    store.save("taught", info, tensors)
    learner = Learner(open_quick()[0], store.folder)
    ours, theirs = (learner.evaluate(name, lesson / "images") for name in ("taught", NAME))
    assert ours.accuracy == theirs.accuracy
    said, wanted = ([each.probability for each in them.per_image] for them in (ours, theirs))
    np.testing.assert_allclose(said, wanted, atol=1e-4)
    paths = sorted((lesson / "images").rglob("*.png"))
    near, wanted_near = (
        np.array([each.distance for each in learner.recognise(paths, name)], np.float64)
        for name in ("taught", NAME)
    )
    np.testing.assert_allclose(near, wanted_near, atol=1e-2)
    assert all(
        each.looks.keys() == {"taught", NAME, OTHER} for each in learner.recognise(paths[:2])
    )
    assert not any(finding.is_wrong for finding in StoreCheck(store).findings())
