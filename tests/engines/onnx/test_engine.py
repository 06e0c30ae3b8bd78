"""The engine beside the one on PyTorch: the same backbones, the same domains, clear refusals."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from addapt._errors import AddaptError, DomainError, OptionError, UnknownNameError, WeightsError
from addapt.backbones import BACKBONES
from addapt.domains import Store
from addapt.domains.signature import PREFIX as SIGNATURE
from addapt.engines import open_engine
from addapt.engines.abilities import ABILITIES
from addapt.engines.base import Engine
from addapt.engines.onnx.engine import OnnxEngine
from addapt.engines.onnx.making import FrozenOrder
from addapt.engines.torch.engine import TorchEngine
from addapt.gates import BLOCKS, RESOLUTION, GateConfig
from addapt.learning import Learner
from addapt.learning.loading import DomainLoader
from addapt.learning.two_looks import ALWAYS, TwoLooks
from addapt.methods import DA3, Bias, Head, LoRA, Method, build_method
from tests.conftest import MakeFolder
from tests.damage import Original, Parts
from tests.domains.domain_cases import INFO
from tests.engines.onnx.conftest import LATE
from tests.engines.onnx.pair import relative, some_images
from tests.families import EVERY
from tests.learning.test_loading import GOLDEN

PX = 40
IMAGES = some_images(3, PX)


def unread(name: str) -> OnnxEngine:
    """Return an engine that knows a backbone's shape and was never asked for its weights."""
    return OnnxEngine(FrozenOrder(name, "random", 0), "0" * 64, "not read")


def save(store: Store, engine: Engine, name: str, method: Method, dtype: Any = np.float32) -> None:
    """Save a domain of random values that nobody learned."""
    own = engine.backbone
    info = replace(
        INFO,
        backbone=own.name,
        weights_sha256=own.weights_sha256,
        method=method.name,
        hyperparameters=asdict(method),
    )
    model = engine.new_model(method, len(info.classes), seed=0)
    rng = np.random.default_rng(2)
    state = {key: rng.normal(0, 0.1, v.shape) for key, v in model.state().items()}
    store.save(name, info, {key: value.astype(dtype) for key, value in state.items()})


def test_the_default_backbone_is_the_same_one(
    engine: OnnxEngine, torch_engine: TorchEngine
) -> None:
    assert engine.backbone == torch_engine.backbone
    assert engine.weights_bytes == torch_engine.weights_bytes
    assert relative(engine.features(IMAGES), torch_engine.features(IMAGES)) <= 1e-4


def test_weights_that_are_no_packages(tmp_path: Path) -> None:
    """Random ones, and the same ones from a file, from which one has changed."""
    name, path = "mobilenet_v2", tmp_path / "own.safetensors"
    twin = open_engine(name, "random", engine="torch", seed=3)
    engine = open_engine(name, "random", engine="onnx", seed=3)
    assert engine.backbone == twin.backbone
    assert relative(engine.features(IMAGES), twin.features(IMAGES)) <= 1e-4
    again = open_engine(**json.loads(json.dumps(engine.order)))
    assert isinstance(again, OnnxEngine)
    assert again.backbone == engine.backbone
    assert np.array_equal(again.features(IMAGES), engine.features(IMAGES))

    plain = open_engine(name, "random", engine="torch", seed=5).network.load_plain()  # type: ignore[attr-defined]
    save_file({key: tensor.numpy() for key, tensor in plain.state_dict().items()}, path)
    first = open_engine(name, path, engine="onnx")
    twin = open_engine(name, path, engine="torch")
    assert first.backbone == twin.backbone
    assert first.backbone.weights_sha256 != engine.backbone.weights_sha256
    assert relative(first.features(IMAGES), twin.features(IMAGES)) <= 1e-4


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pth"):
        open_engine("resnet18", tmp_path / "gone.pth", engine="onnx")
    (tmp_path / "bad.pth").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match=r"bad\.pth"):
        open_engine("resnet18", tmp_path / "bad.pth", engine="onnx")


@pytest.mark.parametrize("name", EVERY)
def test_shapes_and_compute_are_pytorchs(name: str) -> None:
    twin, engine = open_engine(name, "random", engine="torch"), unread(name)
    known = twin.backbone
    found = replace(engine.backbone, weights=known.weights, weights_sha256=known.weights_sha256)
    assert found == known
    assert engine.weights_bytes == twin.weights_bytes
    for px in (33, 64):
        assert engine.multiply_adds(px) == twin.multiply_adds(px)
    bare = DA3(first_block=0, inner=False, spatial=False, channel=False, biases=False)
    for method in (DA3(), bare, Bias(), Head()):
        forms = engine.forms(method, 4)
        assert forms == twin.forms(method, 4)
        assert list(forms) == list(twin.forms(method, 4))


@pytest.mark.parametrize("method", [LATE, Bias(), Head()], ids=lambda method: method.name)
def test_what_one_engine_learned_the_other_recognises(
    engine: OnnxEngine,
    torch_engine: TorchEngine,
    make_folder: MakeFolder,
    tmp_path: Path,
    method: Method,
) -> None:
    folder = make_folder(images=3)
    images = sorted(folder.glob("*/*.png"))
    learners = {each.name: Learner(each, tmp_path / "s") for each in (engine, torch_engine)}
    asked: Any = {"method": method, "epochs": 1, "batch": 4, "image_px": PX, "lr": 1e-2}
    for name, learner in learners.items():
        learner.learn(name, folder, **asked)
    for domain in learners:
        found = [learner.predict(images, domain) for learner in learners.values()]
        for one, other in zip(*found, strict=True):
            assert one.label == other.label
            assert dict(one.top) == pytest.approx(dict(other.top), abs=1e-4)
    infos = [learners["onnx"].store.info(domain) for domain in learners]
    assert infos[0].weights_sha256 == infos[1].weights_sha256
    assert infos[0].hyperparameters == infos[1].hyperparameters
    assert infos[0].versions.keys() >= {"onnxruntime"}


@pytest.mark.parametrize("part", ["spatial", "channel"])
def test_a_domain_without_a_part_comes_back_on_both_engines(
    engine: OnnxEngine, torch_engine: TorchEngine, tmp_path: Path, part: str
) -> None:
    store, method = Store(tmp_path), replace(LATE, **{part: False})
    save(store, engine, "a", method)
    info = store.info("a")
    assert build_method(info.method, info.hyperparameters) == method
    models = [DomainLoader(each, store).load("a")[1] for each in (engine, torch_engine)]
    assert not any(f".{part}." in name for name in models[0].state())
    assert relative(*(model.logits(IMAGES) for model in models)) <= 1e-4


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_domains_of_another_precision(
    engine: OnnxEngine, torch_engine: TorchEngine, tmp_path: Path, dtype: Any
) -> None:
    store = Store(tmp_path)
    save(store, engine, "a", LATE, dtype)
    logits = [
        DomainLoader(each, store).load("a")[1].logits(IMAGES) for each in (engine, torch_engine)
    ]
    assert relative(*logits) <= 1e-4


def test_a_domain_of_schema_1_still_works(engine: OnnxEngine, tmp_path: Path) -> None:
    parts = Parts(Original(GOLDEN.read_bytes()))
    own = engine.backbone
    parts.description |= {"backbone": own.name, "weights_sha256": own.weights_sha256}
    weight = np.linspace(-1, 1, 2 * own.features, dtype=np.float32).reshape(2, -1)
    bias = np.array([-0.5, 0.25], np.float32)
    place = 0
    for name, array in (("head.weight", weight), ("head.bias", bias)):
        end = place + array.nbytes
        parts.header[name] |= {"shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    parts.data = bytearray(weight.tobytes() + bias.tobytes())
    parts.write_description()
    parts.seal()
    (tmp_path / "old.safetensors").write_bytes(parts.content())
    info, model = DomainLoader(engine, Store(tmp_path)).load("old")
    assert (info.schema, info.classes) == (1, ("cat", "dog"))
    assert relative(model.logits(IMAGES), engine.features(IMAGES) @ weight.T + bias) <= 1e-5


def test_a_domain_of_another_engines_method(
    engine: OnnxEngine, torch_engine: TorchEngine, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    save(store, torch_engine, "a", LoRA())
    with pytest.raises(DomainError, match="'onnx' has no method 'lora'. It has: bias, da3, head"):
        DomainLoader(engine, store).load("a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("groups", 0),
        ("groups", 7),
        ("groups", 2**31 - 1),
        ("kernel", 2**31 - 1),
        ("width", 1),
        ("reduction", 2**31 - 1),
        ("grid", -1),
        ("first_block", -1),
        ("first_block", 16),
        ("first_block", 13),
        ("inner", False),
        ("spatial", False),
        ("channel", False),
    ],
)
def test_a_file_that_lies_about_its_hyperparameters(
    engine: OnnxEngine, tmp_path: Path, name: str, value: Any
) -> None:
    store = Store(tmp_path)
    save(store, engine, "a", LATE)
    parts = Parts(Original(store.path("a").read_bytes()))
    parts.description["hyperparameters"][name] = value
    parts.write_description()
    parts.seal()
    store.path("a").write_bytes(parts.content())
    with pytest.raises(DomainError, match="cannot be used"):
        DomainLoader(engine, store).load("a")


@pytest.mark.parametrize(
    ("method", "gates", "message"),
    [
        (LoRA(), None, "'onnx' has no method 'lora'. It has: bias, da3, head"),
        (DA3(), GateConfig(BLOCKS), "has no static gates of blocks. It has: static gates of res"),
    ],
)
def test_what_this_engine_lacks(
    method: Method,
    gates: GateConfig | None,
    message: str,
    engine: OnnxEngine,
    make_folder: MakeFolder,
    tmp_path: Path,
) -> None:
    with pytest.raises(OptionError, match=message):
        engine.require(method, gates)
    learner = Learner(engine, tmp_path / "store")
    with pytest.raises(OptionError, match=message):
        learner.learn("a", make_folder(images=2), method=method, gates=gates)


def test_what_it_can_do_is_what_it_says() -> None:
    engine = unread("resnet18")
    abilities = engine.abilities
    assert abilities == ABILITIES["onnx"]
    assert set(abilities.backbones) == set(BACKBONES)
    for name in abilities.methods:
        method = build_method(name)
        engine.require(method, GateConfig(RESOLUTION))
        assert engine.forms(method, 2)
    assert abilities.devices == (engine.device,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "cuda"}, OptionError, "'onnx' has no device 'cuda'. It has: cpu"),
        ({"backbone": "resnet5"}, UnknownNameError, "Did you mean 'resnet50'"),
        ({"engine": "onxx"}, UnknownNameError, "Did you mean 'onnx'"),
    ],
)
def test_mistakes(options: Any, error: type[AddaptError], message: str) -> None:
    with pytest.raises(error, match=message):
        open_engine(**{"engine": "onnx", **options})


@pytest.mark.parametrize("classes", [0, -1])
def test_no_head_without_classes(engine: OnnxEngine, classes: int) -> None:
    with pytest.raises(OptionError, match="give at least 1"):
        engine.new_model(Head(), classes, seed=0)
    with pytest.raises(OptionError, match="give at least 1"):
        engine.forms(Head(), classes)


def test_a_small_static_gate(engine: OnnxEngine, make_folder: MakeFolder, tmp_path: Path) -> None:
    learner = Learner(engine, tmp_path / "s")
    asked: Any = {"method": "head", "epochs": 1, "batch": 8, "image_px": 64}
    report = learner.learn("a", make_folder(images=3), gates=GateConfig(RESOLUTION), **asked)
    assert report.image_px == 32
    compute = report.gates["report"]["compute"]
    assert compute == engine.multiply_adds(32) / engine.multiply_adds(64) <= 0.4


def test_two_looks_all_open_are_the_ungated_domain(
    engine: OnnxEngine, make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder, learner = make_folder(images=3), Learner(engine, tmp_path / "s")
    asked: Any = {"method": LATE, "epochs": 1, "batch": 8, "image_px": 64}
    gates = GateConfig(RESOLUTION, dynamic=True)
    report = learner.learn("two", folder, gates=gates, **asked)
    learner.learn("one", folder, **asked)
    two, one = (
        {n: t for n, t in learner.store.read(name)[1].items() if not n.startswith(SIGNATURE)}
        for name in ("two", "one")
    )
    assert len(two) == 2 * len(one)
    assert all(np.array_equal(two[name], values) for name, values in one.items())
    images = sorted((folder / "red").iterdir())
    expected = [p.top for p in learner.predict(images, "one")]
    assert [p.top for p in learner.predict(images, "two", gates=False)] == expected
    _, looks = learner.load("two")
    assert isinstance(looks, TwoLooks)
    always = TwoLooks(looks.full, looks.first, replace(looks.looks, threshold=ALWAYS), "bicubic")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert np.array_equal(always.logits(pixels), looks.full.logits(pixels))
    assert report.gates["looks"]["first_px"] == 32


def test_the_same_seed_makes_the_same_model(engine: OnnxEngine) -> None:
    numpy_before = str(np.random.get_state())
    first, same, other = (engine.new_model(LATE, 3, seed=seed).state() for seed in (5, 5, 6))
    assert all(np.array_equal(same[name], first[name]) for name in first)
    assert any(not np.array_equal(other[name], first[name]) for name in first)
    assert str(np.random.get_state()) == numpy_before  # the caller's random numbers
