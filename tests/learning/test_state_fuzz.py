"""States of unfinished runs that were changed: refused with a way out, or read rightly."""

import itertools
import json
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt._errors import TrainingError
from addapt.engines.torch.methods import attach, build_method
from addapt.learning import Learner, LearningStopped
from addapt.learning.run_file import STATE_FILE, load_run
from tests.conftest import build_tiny_backbone
from tests.damage import FUZZ, Damage, Original, Parts, assemble, damages
from tests.judges import LOADED, REFUSED, StateJudge
from tests.soak.lessons import CLASSES, make_images

IMAGES, BATCH = 5, 6  # of each class; two go to validation
STEPS = 3  # an epoch, and one more to be in the middle of the next


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> StateJudge:
    folder = tmp_path_factory.mktemp("state")
    learner = Learner(build_tiny_backbone(), folder / "store")
    images = make_images(folder / "images", images=IMAGES, px=32)
    asked = itertools.count(1)
    with pytest.raises(LearningStopped):
        learner.learn(
            "half",
            images,
            epochs=4,
            batch=BATCH,
            val_fraction=0.2,
            should_stop=lambda: next(asked) > STEPS + 1,
        )
    content = (learner.store.state_path("half") / STATE_FILE).read_bytes()
    model = attach(
        learner.backbone, build_method("da3").for_backbone(learner.backbone), len(CLASSES)
    )
    return StateJudge(folder / "damaged", Original(content), model, 2)


def test_the_judge_itself(judge: StateJudge) -> None:
    content = judge.original.content
    assert judge(Damage(content, sealed=False, how=())) == LOADED
    assert judge(Damage(content[:-1], sealed=False, how=())) == REFUSED
    assert judge.whole.history
    assert judge.whole.domain and judge.whole.optimiser and judge.whole.best


@FUZZ
@given(data=st.data())
def test_damaged_states_are_refused_or_read_rightly(judge: StateJudge, data: st.DataObject) -> None:
    assert judge(data.draw(damages(judge.original))) in (REFUSED, LOADED)


def numbers(**changed: object) -> Callable[[Parts], None]:
    def spoil(parts: Parts) -> None:
        parts.description["numbers"] |= changed
        parts.write_description()

    return spoil


def history(row: int, value: float) -> Callable[[Parts], None]:
    def spoil(parts: Parts) -> None:
        at = parts.header["history"]["data_offsets"][0] + 8 * row
        parts.data[at : at + 8] = struct.pack("<d", value)

    return spoil


def first_value(part: str) -> Callable[[Parts], None]:
    """Have an infinite first number in the first large tensor of a part."""

    def spoil(parts: Parts) -> None:
        name = next(
            name for name in parts.names if name.startswith(part) and parts.header[name]["shape"]
        )
        at = parts.header[name]["data_offsets"][0]
        parts.data[at : at + 4] = struct.pack("<f", float("inf"))

    return spoil


def deep(parts: Parts) -> None:
    parts.write_description("[" * 100_000 + "]" * 100_000)


def twice(parts: Parts) -> None:
    parts.write_description('{"numbers": {}, "numbers": {}}')


SPOILED: dict[str, Callable[[Parts], None]] = {
    "step before all": numbers(step=-1),
    "step after all": numbers(step=10**9),
    "step without end": numbers(step=10**400),
    "step that is a text": numbers(step="4"),
    "a half step": numbers(step=1.5),
    "best epoch to come": numbers(best_epoch=99),
    "loss that is no number": numbers(epoch_loss_sum=float("nan")),
    "a number too many": numbers(pickle="x"),
    "epoch that is infinite": history(0, float("inf")),
    "epoch that is no number": history(0, float("nan")),
    "epoch that is another": history(0, 7.0),
    "loss of an epoch": history(2, float("nan")),
    "weights": first_value("domain/"),
    "averages": first_value("optimiser/"),
    "best weights": first_value("best/"),
    "deep JSON": deep,
    "the same field twice": twice,
}


@pytest.mark.parametrize("name", SPOILED)
def test_spoiled_states_are_refused(judge: StateJudge, name: str) -> None:
    parts = Parts(judge.original)
    SPOILED[name](parts)
    parts.seal()
    assert judge(Damage(parts.content(), sealed=True, how=())) == REFUSED


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", assemble(b"[" * 10**5), struct.pack("<Q", 2**63), assemble(b"{}")],
    ids=["nothing", "short", "deep", "huge", "empty"],
)
def test_other_files_are_no_states(judge: StateJudge, content: bytes) -> None:
    assert judge(Damage(content, sealed=False, how=())) == REFUSED


def test_the_way_out_is_named(judge: StateJudge) -> None:
    judge.path.write_bytes(json.dumps({"no": "state"}).encode())
    with pytest.raises(TrainingError, match="--restart"):
        load_run(judge.path.parent, judge.fingerprint, judge.model, judge.steps_per_epoch)
