"""Whole fleets in one process, on the smallest engine: the apps that real processes run, too."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from safetensors.numpy import load_file

pytest.importorskip("flwr")

from fleet_in_process import InProcessGrid, lead  # noqa: E402
from flwr.app import (  # noqa: E402
    ArrayRecord,
    ConfigRecord,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)

from addapt._errors import FleetError  # noqa: E402
from addapt.domains import Store  # noqa: E402
from addapt.fleet import client_app, server_app  # noqa: E402
from addapt.fleet.keeping import load_progress  # noqa: E402
from addapt.fleet.messages import (  # noqa: E402
    ARRAYS,
    IMAGES,
    JUDGED,
    METRICS,
    REFUSAL,
    record_of,
)
from addapt.fleet.optimiser import OPTIMISER_FILE  # noqa: E402
from addapt.methods import build_method  # noqa: E402
from tests.fake_engine import FakeEngine  # noqa: E402

COLOURS = {"blue": (40, 40, 190), "green": (40, 190, 40), "red": (190, 40, 40)}
Change = Callable[[Message], None]


@pytest.fixture(autouse=True)
def _smallest_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for app in (client_app, server_app):
        monkeypatch.setattr(app, "open_engine", lambda *_, **__: FakeEngine())
    monkeypatch.setattr(server_app, "LOOK_EVERY_S", 0.0)


class Fleet:
    """Devices with images of some colours each, and a server, all below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.devices = folder, list[dict[str, Any]]()
        self.answers: list[Message] = []
        self.store = Store(folder / "server")

    def add(self, *classes: str, images: int = 12, **settings: Any) -> None:
        """Add a device."""
        number = len(self.devices) + 1
        place = self.folder / f"device{number}"
        chance = np.random.default_rng(number)
        for label in classes:
            (place / "images" / label).mkdir(parents=True)
            for image in range(images):
                noise = chance.integers(-40, 40, (32, 32, 3))
                pixels = (noise + np.array(COLOURS[label])).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / "images" / label / f"{image}.png")
        self.devices.append(
            {
                "images": str(place / "images"),
                "name": "colours",
                "store": str(place / "store"),
                "news": str(place / "news.jsonl"),
                **settings,
            }
        )

    def learn(self, change: Change = lambda answer: None, **settings: Any) -> list[dict[str, Any]]:
        """Lead the fleet to its end; return what the server told.

        `change` may do something to the answers of devices on their way.
        """

        def note(message: Message, answer: Message) -> None:
            if message.metadata.message_type == MessageType.TRAIN:
                self.answers.append(answer)
                change(answer)

        news = self.folder / "news.jsonl"
        news.unlink(missing_ok=True)
        asked = {
            "name": "colours",
            "rounds": 6,
            "min-devices": len(self.devices),
            "strategy": "fedavg",
            "store": str(self.store.folder),
            "restart": False,
            "backbone": "fake",
            "weights": "",
            "method": "head",
            "image-px": 32,
            "seed": 0,
            "clipping-norm": 0.0,
            "noise-multiplier": 0.0,
            "round-timeout": 60.0,
            "news": str(news),
        }
        changed = {name.replace("_", "-"): value for name, value in settings.items()}
        lead(InProcessGrid(self.devices, note), asked | changed)
        return self.told("news.jsonl")

    def told(self, file: str) -> list[dict[str, Any]]:
        """Return the news in a file."""
        return [json.loads(line) for line in (self.folder / file).read_text().splitlines()]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    yield Fleet(tmp_path)


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "fedadam"])
def test_devices_that_lack_classes_learn_all_of_them(fleet: Fleet, strategy: str) -> None:
    fleet.add("red", "green")
    fleet.add("green", "blue")
    fleet.add("red", "blue")
    end = fleet.learn(strategy=strategy, rounds=10)[-1]
    info = fleet.store.info("colours")
    assert info.classes == ("blue", "green", "red")
    assert end["accuracy"] == info.val_accuracy > 0.9


def test_a_device_may_have_one_class_alone(fleet: Fleet) -> None:
    fleet.add("red")
    fleet.add("blue")
    news = fleet.learn(rounds=4)
    assert not [fact for fact in news if "left_out" in fact]
    assert fleet.store.info("colours").classes == ("blue", "red")
    assert news[-1]["accuracy"] > 0.9


def test_one_class_is_too_few_for_all_together(fleet: Fleet) -> None:
    fleet.add("red")
    fleet.add("red")
    with pytest.raises(FleetError, match=r"have 1 class \(red\).*`min_devices`"):
        fleet.learn(rounds=1)


def test_it_is_said_who_lacks_what(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("green", "blue", images=8)
    begun = next(line for line in fleet.learn(rounds=1) if "image_px" in line)
    assert [(d["images"], d["lacking"]) for d in begun["devices"]] == [
        (24, ["blue"]),
        (16, ["red"]),
    ]


def test_devices_that_call_themselves_the_same_are_told_apart(fleet: Fleet) -> None:
    for name in ("board", "board", "b\n" + "o" * 100):
        fleet.add("red", "green", device=name)
    news = fleet.learn(_of_device(2, _infinite), rounds=1)
    begun = next(line for line in news if "image_px" in line)
    assert [device["name"] for device in begun["devices"][:2]] == ["board", "board 2"]
    strange = begun["devices"][2]["name"]
    assert strange.isprintable() and len(strange) < 80
    assert [line["left_out"] for line in news if "left_out" in line] == ["board 2"]


def test_nothing_but_named_arrays_and_counts_leaves_a_device(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.learn(rounds=1)
    (answer,) = fleet.answers
    assert set(answer.content.array_records[ARRAYS]) == {"head.weight", "head.bias"}
    assert all(
        isinstance(value, int | float) for value in answer.content.metric_records[METRICS].values()
    )


def _infinite(answer: Message) -> None:
    _set(answer, lambda array: np.full_like(array, np.inf))


def _of_another_shape(answer: Message) -> None:
    _set(answer, lambda array: np.zeros((1000, 3), np.float32))


def _of_another_type(answer: Message) -> None:
    _set(answer, lambda array: array.astype(np.float64))


def _without_arrays(answer: Message) -> None:
    del answer.content[ARRAYS]


def _without_counts(answer: Message) -> None:
    del answer.content[METRICS]


def _with_more_arrays(answer: Message) -> None:
    answer.content[ARRAYS] = ArrayRecord(
        {
            **answer.content.array_records[ARRAYS],
            "more": next(iter(answer.content.array_records[ARRAYS].values())),
        }
    )


def _with_cut_arrays(answer: Message) -> None:
    for array in answer.content.array_records[ARRAYS].values():
        array.data = array.data[:-4]


def _with_negative_images(answer: Message) -> None:
    answer.content.metric_records[METRICS][IMAGES] = -5


def _with_arrays_that_are_none(answer: Message) -> None:
    answer.content[ARRAYS] = MetricRecord({"head.weight": 1.0})


def _without_a_reason(answer: Message) -> None:
    answer.content = RecordDict({REFUSAL: ConfigRecord({})})


def _with_other_images(answer: Message) -> None:
    answer.content.metric_records[METRICS][IMAGES] = 10**9


def _set(answer: Message, change: Callable[[Any], Any]) -> None:
    arrays = {
        name: change(array.numpy()) for name, array in answer.content.array_records[ARRAYS].items()
    }
    answer.content[ARRAYS] = record_of(arrays)


@pytest.mark.parametrize(
    "harm",
    [
        _infinite,
        _of_another_shape,
        _of_another_type,
        _without_arrays,
        _without_counts,
        _with_more_arrays,
        _with_cut_arrays,
        _with_negative_images,
        _with_other_images,
        _with_arrays_that_are_none,
        _without_a_reason,
    ],
)
def test_what_is_no_update_is_left_out_and_named(fleet: Fleet, harm: Change) -> None:
    for _ in range(3):
        fleet.add("red", "green")
    news = fleet.learn(_of_device(2, harm), rounds=4)
    left_out = [line for line in news if "left_out" in line]
    assert len(left_out) == 4 and all(line["why"] for line in left_out)
    assert [line["devices"] for line in news if "round" in line] == [2] * 4
    assert news[-1]["accuracy"] > 0.9


def test_what_else_a_device_says_is_not_heard(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.add("red", "green")

    def say_more(answer: Message) -> None:
        answer.content.metric_records[METRICS]["more"] = [1.0, 2.0]
        answer.content.metric_records[METRICS][JUDGED] = 10**15
        answer.content["more"] = ConfigRecord({"more": "x" * 1000})

    news = fleet.learn(_of_device(2, say_more), rounds=2)
    assert [line["devices"] for line in news if "round" in line] == [3, 3]
    assert news[-1]["accuracy"] is not None


def test_an_update_much_longer_than_others_does_not_decide(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.add("red", "green")

    def enlarge(answer: Message) -> None:
        _set(answer, lambda array: -(array + 1) * np.float32(1e6))

    news = fleet.learn(_of_device(2, enlarge), rounds=2)
    _, tensors = fleet.store.read("colours")
    assert max(abs(tensor).max() for tensor in tensors.values()) < 100
    assert news[-1]["classes"] == ["green", "red"]


def _moved_by_a_round(
    fleet: Fleet, change: Change = lambda answer: None, **privacy: Any
) -> npt.NDArray[np.float64]:
    """Return by how much each number of the domain has changed."""
    for _ in range(3):
        fleet.add("red", "green")
    fleet.learn(change, rounds=1, **privacy)
    start = FakeEngine().new_model(build_method("head"), 2, seed=0)
    tensors, first = fleet.store.read("colours")[1], start.stored(start.state())
    return np.concatenate([(tensors[name] - first[name]).ravel() for name in first])


def test_with_privacy_nobody_moves_all_further_than_agreed(fleet: Fleet) -> None:
    moved = _moved_by_a_round(fleet, clipping_norm=0.01, noise_multiplier=1e-9)
    assert 0.005 < np.linalg.norm(moved) < 0.0101


def test_with_privacy_no_device_decides_how_far_another_moves_all(fleet: Fleet) -> None:
    start = FakeEngine().new_model(build_method("head"), 2, seed=0).state()

    def hardly_move(answer: Message) -> None:
        if answer.metadata.src_node_id != 3:
            arrays = {name: array + np.float32(1e-6) for name, array in start.items()}
            answer.content[ARRAYS] = record_of(arrays)

    moved = _moved_by_a_round(fleet, hardly_move, clipping_norm=0.03, noise_multiplier=1e-9)
    assert np.linalg.norm(moved) == pytest.approx(0.01, rel=0.01)


def test_the_noise_of_privacy_is_as_large_as_asked_for(fleet: Fleet) -> None:
    np.random.seed(0)  # noqa: NPY002  # Flower draws from this one; 26 numbers vary by a seventh
    moved = _moved_by_a_round(fleet, clipping_norm=1e-6, noise_multiplier=1e6)
    assert moved.std() == pytest.approx(1 / 3, rel=0.3)


def test_with_privacy_a_device_that_learns_nothing_is_left_out(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.add("red", "green")
    start = FakeEngine().new_model(build_method("head"), 2, seed=0).state()

    def stand_still(answer: Message) -> None:
        answer.content[ARRAYS] = record_of(start)

    harm = _of_device(2, stand_still)
    news = fleet.learn(harm, rounds=1, min_devices=2, clipping_norm=1.0, noise_multiplier=1e-9)
    assert [line["why"] for line in news if "left_out" in line] == ["it has learned nothing"]
    assert news[-1]["accuracy"] is not None


def test_with_privacy_nothing_is_taken_of_too_few(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.add("red", "green", device="board")
    with pytest.raises(FleetError, match="nothing was learned"):
        fleet.learn(_of_device(2, _infinite), clipping_norm=1.0, noise_multiplier=1e-3)
    news = fleet.told("news.jsonl")
    left_out = [line["left_out"] for line in news if "too few" in line.get("why", "")]
    assert sorted(left_out) == ["board"] * 6 + ["board 3"] * 6


def test_rounds_without_a_usable_answer_do_not_count(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "green")
    with pytest.raises(FleetError, match="nothing was learned"):
        fleet.learn(_infinite)
    assert [line["devices"] for line in fleet.told("news.jsonl") if "round" in line] == [0] * 6
    assert not fleet.store.names() and load_progress(fleet.store, "colours") is None
    assert fleet.learn()[-1]["accuracy"] > 0.9


def test_a_last_round_without_a_usable_answer_takes_nothing_away(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "green")
    news = fleet.learn(_after(10, _infinite))
    assert [line["devices"] for line in news if "round" in line] == [2] * 5 + [0]
    assert news[-1]["accuracy"] > 0.9 and fleet.store.info("colours").train_images


def _of_device(number: int, harm: Change) -> Change:
    def change(answer: Message) -> None:
        if answer.metadata.src_node_id == number:
            harm(answer)

    return change


def test_a_server_that_was_killed_goes_on_from_its_last_round(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "green")
    trained = 0

    def kill(answer: Message) -> None:
        nonlocal trained
        trained += 1
        if trained == 7:  # in the fourth round
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet.learn(kill)
    progress = load_progress(fleet.store, "colours")
    assert progress is not None and progress.done == 3
    news = fleet.learn()
    assert [line["round"] for line in news if "round" in line] == [4, 5, 6]
    assert fleet.store.info("colours").epochs == 6
    assert load_progress(fleet.store, "colours") is None


def test_going_on_learns_only_the_rounds_that_are_left(fleet: Fleet) -> None:
    fleet.add("red", "green")

    def kill(answer: Message) -> None:
        if len(fleet.answers) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet.learn(kill)
    fleet.answers.clear()
    assert fleet.learn()[-1]["accuracy"] > 0.8
    assert len(fleet.answers) == 3


def optimiser_files(fleet: Fleet) -> list[Path]:
    return sorted(fleet.folder.glob(f"device*/store/**/{OPTIMISER_FILE}"))


def test_an_optimiser_goes_on_from_round_to_round_and_stays_on_its_device(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "blue")

    def stop(answer: Message) -> None:
        if len(fleet.answers) == 2 * 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fleet.learn(stop)
    for file in optimiser_files(fleet):
        kept = load_file(file)
        steps = [array for name, array in kept.items() if name.endswith("step")]
        assert steps and all(array == 4 * 2 for array in steps)  # rounds, and batches of a round
        assert kept.keys().isdisjoint(
            name for answer in fleet.answers for name in answer.content.array_records[ARRAYS]
        )
    assert len(optimiser_files(fleet)) == 2
    fleet.learn()
    assert not optimiser_files(fleet)
    assert not [*fleet.folder.glob("device*/store/.learning/*")]


@pytest.mark.parametrize("harm", [b"", b"nonsense", None])
def test_a_device_goes_on_without_its_optimiser(fleet: Fleet, harm: bytes | None) -> None:
    fleet.add("red", "green")

    def lose(answer: Message) -> None:
        (file,) = optimiser_files(fleet)
        if harm is None:
            file.unlink()
        else:
            file.write_bytes(harm)

    assert fleet.learn(lose, rounds=10)[-1]["accuracy"] > 0.8


def test_a_device_that_cannot_write_its_optimiser_is_named_with_the_reason(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "green")
    store = fleet.folder / "device2" / "store"
    store.mkdir()
    (store / ".learning").touch()
    why = [line["why"] for line in fleet.learn(min_devices=1) if "left_out" in line]
    assert len(why) == 6
    assert all("What this device goes on with was not written to" in each for each in why)
    assert fleet.store.exists("colours")


def test_a_fleet_that_begins_anew_goes_on_with_no_optimiser_of_before(fleet: Fleet) -> None:
    fleet.add("red", "green")
    left: dict[str, bytes] = {}

    def keep(answer: Message) -> None:
        left["file"] = optimiser_files(fleet)[0].read_bytes()

    fleet.learn(keep)
    first = fleet.store.read("colours")[1]
    path = fleet.folder / "device1" / "store" / ".learning" / "colours" / OPTIMISER_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(left["file"])
    fleet.learn(restart=True)
    again = fleet.store.read("colours")[1]
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_device_with_a_new_class_comes_too_late(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "green")

    def kill(answer: Message) -> None:
        raise KeyboardInterrupt

    fleet.learn(rounds=1)
    fleet.store.remove("colours")
    with pytest.raises(KeyboardInterrupt):
        fleet.learn(_after(2, kill))
    fleet.add("red", "blue", device="late")
    news = fleet.learn(min_devices=2)
    assert any(line.get("left_out") == "late" and "blue" in line["why"] for line in news)
    assert fleet.store.info("colours").classes == ("green", "red")


def _after(answers: int, change: Change) -> Change:
    seen = 0

    def changed(answer: Message) -> None:
        nonlocal seen
        seen += 1
        if seen > answers:
            change(answer)

    return changed


def test_a_device_keeps_what_all_have_learned_if_it_asks_for_it(fleet: Fleet) -> None:
    fleet.add("red", "green", fetch=True)
    fleet.add("green", "blue")
    fleet.learn(rounds=10)
    kept, other = (Store(Path(device["store"])) for device in fleet.devices)
    info = kept.info("colours")
    assert info.classes == ("blue", "green", "red") and info.signature
    assert other.names() == ()


def test_a_personal_version_is_not_worse_on_the_own_images(fleet: Fleet) -> None:
    fleet.add("red", "green", fetch=True, personal=True)
    fleet.add("green", "blue")
    fleet.learn(rounds=1)
    end = fleet.told("device1/news.jsonl")[-1]
    assert end["accuracy"] >= fleet.told("device1/news.jsonl")[0]["accuracy"]


def test_a_device_without_images_is_left_out(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "green")
    fleet.add()
    news = fleet.learn(rounds=1, min_devices=2)
    assert any("left_out" in line for line in news)
    assert news[-1]["classes"] == ["green", "red"]


def test_a_device_that_joined_for_another_domain_says_so(fleet: Fleet) -> None:
    fleet.add("red", "green")
    fleet.add("red", "green")
    fleet.add("red", "green", name="faces")
    news = fleet.learn(rounds=1, min_devices=2)
    assert any("left_out" in line and "colours" in line["why"] for line in news)
