"""Exported files of PyTorch's exporter: networks of one's own, and methods that only it has."""

import dataclasses
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from addapt import Backbone, Learner
from addapt._errors import MissingPackageError, OptionError
from addapt.domains import Plane, Signature
from addapt.domains.plane import Spread
from addapt.learning.evaluation import softmax
from addapt.methods import DA3, LoRA, Method
from tests.domains.domain_cases import INFO, contents
from tests.engines.onnx.test_exporting import some_images
from tests.engines.torch.backbones.test_backbone_of import MobileNet, build

PX = 32
needs_exporter = pytest.mark.skipif(
    find_spec("onnxscript") is None, reason="needs the extra `export`"
)


class Unwritable(MobileNet):
    """Computes with what ONNX does not have."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(torch.special.bessel_j0(x))
        return y


def with_random_domain(
    store: Path, network: nn.Module, method: Method
) -> tuple[Learner, Signature]:
    """Keep a domain "x" of random values on a network, with a signature."""
    learner = Learner(Backbone.of(network), store)
    engine, rng = learner.engine, np.random.default_rng(1)
    forms = engine.forms(method, len(INFO.classes))
    arrays = {name: rng.normal(0, 0.1, shape).astype("f4") for name, (_, shape) in forms.items()}
    # Far from the features of noise, which hardly differ: distances close to 0 are but rounding.
    plane = Plane.fit(rng.random((20, engine.backbone.features), np.float32))
    signature = Signature(64, plane, plane, Spread(-1.5, 0.2, 30))
    info = replace(
        INFO,
        backbone=engine.backbone.name,
        weights_sha256=engine.backbone.weights_sha256,
        method=method.name,
        hyperparameters=dataclasses.asdict(method),
        image_px=PX,
        signature=signature.fields(),
    )
    learner.store.save("x", info, {**arrays, **signature.tensors()})
    return learner, signature


@needs_exporter
@pytest.mark.parametrize("method", [DA3(), LoRA()], ids=lambda method: method.name)
def test_it_computes_what_the_domain_does(tmp_path: Path, method: Method) -> None:
    learner, signature = with_random_domain(tmp_path / "store", build(MobileNet), method)
    (tmp_path / "out").mkdir()
    file = tmp_path / "out" / "x.onnx"
    report = learner.export("x", file)
    assert contents(file.parent).keys() == {"x.onnx"}
    assert report.difference <= 1e-5 and report.file_bytes == file.stat().st_size
    session = onnxruntime.InferenceSession(file)
    for n in (1, 2, 5):
        images = some_images(n, PX)
        logits, features = learner.load("x")[1].answers(images)
        probabilities, distances = session.run(["probabilities", "distance"], {"images": images})
        np.testing.assert_allclose(np.log(probabilities), np.log(softmax(logits)), atol=1e-4)
        np.testing.assert_allclose(distances, signature.relative(features), atol=1e-3)


@needs_exporter
def test_what_the_file_says_and_does_not_say(tmp_path: Path) -> None:
    learner, _ = with_random_domain(tmp_path / "store", build(MobileNet), DA3())
    file = tmp_path / "x.onnx"
    learner.export("x", file)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 21)]
    assert model.producer_name == "addapt" and "`distance` (n,)" in model.doc_string
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert texts["backbone"] == "MobileNet" and texts["image_px"] == "32"
    assert str(Path(torch.__file__).parent).encode() not in file.read_bytes()
    (images,) = onnxruntime.InferenceSession(file).get_inputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["n", 32, 32, 3])


@needs_exporter
def test_a_network_that_cannot_be_written(tmp_path: Path) -> None:
    learner, _ = with_random_domain(tmp_path / "store", build(Unwritable), DA3())
    (tmp_path / "out").mkdir()
    with pytest.raises(OptionError, match="on Unwritable cannot be exported: .*bessel_j0"):
        learner.export("x", tmp_path / "out" / "x.onnx")
    assert contents(tmp_path / "out") == {}


def test_without_what_the_exporter_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, _ = with_random_domain(tmp_path / "store", build(MobileNet), DA3())
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingPackageError, match=r"onnxscript.*pip install 'addapt\[export\]'"):
        learner.export("x", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
