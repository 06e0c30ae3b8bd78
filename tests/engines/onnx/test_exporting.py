"""Exported files: they compute what the domain does, in other runtimes too, and hold all of it."""

import dataclasses
import json
import re
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from PIL import Image

from addapt._errors import DomainError
from addapt.domains import Plane, Signature
from addapt.domains.plane import Spread
from addapt.engines import open_engine
from addapt.engines.base import Images, Probabilities
from addapt.learning import Learner
from addapt.learning.evaluation import softmax
from addapt.methods import DA3, Bias, Head, Method
from tests.domains.domain_cases import INFO, contents

PAGE = Path(__file__).parents[3] / "docs" / "EXPORT.md"
# ResNets add two shifted layers up, and have an activation behind; 33 px leave smaller squares.
CASES = {
    "da3": ("efficientnet_lite0", DA3(), 64),
    "bias": ("efficientnet_lite0", Bias(), 64),
    "head": ("efficientnet_lite0", Head(), 64),
    "resnet": ("resnet18", DA3(), 33),
}
every_case = pytest.mark.parametrize("case", CASES)


@dataclass(frozen=True)
class Exported:
    """A domain of random values, and its file."""

    learner: Learner
    file: Path
    image_px: int

    def expected(self, images: Images) -> Probabilities:
        return softmax(self.learner.load("x")[1].logits(images))

    def initializers(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.graph().initializer}

    def graph(self) -> onnx.GraphProto:
        return onnx.load(self.file, load_external_data=False).graph


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Return a function that exports the domain of a case, once."""
    made: dict[str, Exported] = {}

    def export_once(case: str) -> Exported:
        if case not in made:
            folder = tmp_path_factory.mktemp(case)
            backbone, method, image_px = CASES[case]
            learner = learn_nothing(folder / "store", backbone, method, image_px)
            (folder / "alone").mkdir()
            file = folder / "alone" / "x.onnx"
            learner.export("x", file)
            made[case] = Exported(learner, file, image_px)
        return made[case]

    return export_once


def learn_nothing(store: Path, backbone: str, method: Method, image_px: int) -> Learner:
    """Keep a domain whose values are random, and whose probabilities are far from 0 and 1."""
    weights = "random" if backbone == "resnet18" else None
    engine = open_engine(backbone, weights, engine="onnx")
    learner = Learner(engine, store)
    rng = np.random.default_rng(1)
    forms = engine.forms(method, len(INFO.classes))
    arrays = {name: rng.normal(0, 0.05, shape).astype("f4") for name, (_, shape) in forms.items()}
    info = replace(
        INFO,
        backbone=backbone,
        weights_sha256=engine.backbone.weights_sha256,
        method=method.name,
        hyperparameters=dataclasses.asdict(method),
        image_px=image_px,
    )
    learner.store.save("x", info, arrays)
    largest = np.abs(learner.load("x")[1].logits(some_images(4, image_px))).max()
    arrays["head.weight"] *= np.float32(1 / largest)
    learner.store.save("x", info, arrays)
    return learner


def some_images(n: int, px: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(n).integers(0, 256, (n, px, px, 3), np.uint8)


@pytest.mark.parametrize("axes", [0, 5])
def test_the_distance_is_that_of_the_signature(
    export: Callable[[str], Exported], tmp_path: Path, axes: int
) -> None:
    exported = export("head")
    learner, px = Learner(exported.learner.engine, tmp_path / "store"), exported.image_px
    info, tensors = exported.learner.store.read("x")
    model = exported.learner.load("x")[1]
    plane = Plane.fit(model.answers(some_images(4 * axes or 1, px)).features)
    signature = Signature(64, plane, plane, Spread(-1.5, 0.2, 30))
    signed = replace(info, signature=signature.fields())
    learner.store.save("x", signed, {**tensors, **signature.tensors()})
    learner.export("x", tmp_path / "x.onnx")
    images = some_images(3, px)
    (distances,) = onnxruntime.InferenceSession(tmp_path / "x.onnx").run(
        ["distance"], {"images": images}
    )
    expected = signature.relative(model.answers(images).features)
    np.testing.assert_allclose(distances, expected, atol=1e-3)
    (again,) = ReferenceEvaluator(str(tmp_path / "x.onnx")).run(["distance"], {"images": images})
    np.testing.assert_allclose(np.asarray(again, float), expected, atol=1e-3)
    about = onnx.load(tmp_path / "x.onnx")
    limits = {p.key: p.value for p in about.metadata_props}["distance_limits"]
    assert json.loads(limits)["0.95"] == 1 < json.loads(limits)["0.99"]
    assert "`distance` (n,) is above 1" in about.doc_string


@every_case
def test_it_computes_what_the_domain_does(export: Callable[[str], Exported], case: str) -> None:
    exported = export(case)
    session = onnxruntime.InferenceSession(exported.file)
    for n in (1, 2, 5):
        images = some_images(n, exported.image_px)
        expected = exported.expected(images)
        assert expected.max() < 0.95  # else other logits would look the same
        (found,) = session.run(None, {"images": images})
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@every_case
def test_it_is_standard_and_whole(export: Callable[[str], Exported], case: str) -> None:
    exported = export(case)
    model = onnx.load(exported.file, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 21)]
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    assert contents(exported.file.parent).keys() == {"x.onnx"}
    taken = {name for node in model.graph.node for name in node.input}
    assert exported.initializers().keys() <= taken  # runtimes warn of others
    images = some_images(2, exported.image_px)
    found: Any = ReferenceEvaluator(model).run(None, {"images": images})
    np.testing.assert_allclose(found[0], exported.expected(images), rtol=0, atol=1e-5)


def test_what_it_takes_gives_and_says(export: Callable[[str], Exported]) -> None:
    session = onnxruntime.InferenceSession(export("da3").file)
    (images,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["n", 64, 64, 3])
    assert (probabilities.name, probabilities.type, probabilities.shape) == (
        "probabilities",
        "tensor(float)",
        ["n", 3],
    )
    said = session.get_modelmeta()
    assert said.producer_name == "addapt"
    assert "resized to 64 x 64 pixels by bicubic interpolation" in said.description
    texts = said.custom_metadata_map
    assert tuple(json.loads(texts["classes"])) == INFO.classes
    assert tuple(json.loads(texts["value_range"])) == INFO.value_range
    assert (texts["method"], texts["backbone"]) == ("da3", "efficientnet_lite0")


def test_shifts_cost_nothing(export: Callable[[str], Exported]) -> None:
    bias, head = export("bias"), export("head")
    assert len(bias.graph().node) == len(head.graph().node)
    assert bias.initializers().keys() == head.initializers().keys()
    assert [name for name in export("da3").initializers() if "shifts" in name] == []


def test_the_code_of_the_page(
    export: Callable[[str], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exported = export("da3")
    monkeypatch.chdir(tmp_path)
    Path("flowers.onnx").write_bytes(exported.file.read_bytes())
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    Image.fromarray(pixels).resize((90, 110)).save("rose.jpg", exif=exif)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 10
    exec(compile(code, str(PAGE), "exec"), {})
    label, probability = capsys.readouterr().out.rsplit(maxsplit=1)
    (expected,) = exported.learner.predict(["rose.jpg"], "x")
    assert label == expected.label
    assert float(probability) == pytest.approx(expected.probability, abs=1e-5)


def test_a_disk_that_is_full_where_the_file_is_made(
    export: Callable[[str], Exported], tmp_path: Path
) -> None:
    exported = export("da3")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, hard))
    try:
        with pytest.raises(DomainError, match=r"y\.onnx could not be written because files cannot"):
            exported.learner.export("x", tmp_path / "y.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
