"""The page's engine computes what the shell does; its tests run under Node.js."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from addapt.domains import Store
from addapt.domains.file import read_domain
from addapt.learning import Learner
from addapt.learning.store_check import StoreCheck
from tests.web.conftest import RunTests
from tests.web.lessons import NAME, OTHER, PX, open_quick


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


def test_exported_models_are_those_of_the_shell(run_tests: RunTests, lesson: Path) -> None:
    run_tests("export")

    learner = Learner(open_quick()[0], lesson / "store")
    learner.export(NAME, lesson / "shell.onnx", overwrite=True)
    images = np.random.default_rng(0).integers(0, 256, (2, PX, PX, 3), np.uint8)
    sessions = [
        onnxruntime.InferenceSession(lesson / f"{name}.onnx")
        for name in ("shell", "signed", "unsigned")
    ]
    said, ours, unsigned = (session.run(None, {"images": images}) for session in sessions)
    np.testing.assert_allclose(ours[0], said[0], atol=1e-5)
    np.testing.assert_allclose(ours[1], said[1], atol=1e-3)
    np.testing.assert_array_equal(ours[0], unsigned[0])

    shell, page = ([*session.get_inputs(), *session.get_outputs()] for session in sessions[:2])
    assert [(each.name, each.type) for each in page] == [(each.name, each.type) for each in shell]
    assert page[0].shape == shell[0].shape
    assert [output.name for output in sessions[2].get_outputs()] == ["probabilities"]

    wanted, found = (session.get_modelmeta() for session in sessions[:2])
    assert found.description == wanted.description
    shell_texts, page_texts = wanted.custom_metadata_map, found.custom_metadata_map
    assert page_texts.keys() == shell_texts.keys()
    for key in page_texts.keys() - {"created", "classes", "distance_limits", "val_accuracy"}:
        assert page_texts[key] == shell_texts[key]
    for key in ("classes", "val_accuracy"):
        assert json.loads(page_texts[key]) == json.loads(shell_texts[key])
    limits, wanted_limits = (
        json.loads(them["distance_limits"]) for them in (page_texts, shell_texts)
    )
    assert limits == pytest.approx(wanted_limits, abs=1e-4)
