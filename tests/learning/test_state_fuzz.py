"""States of unfinished runs that were changed: refused with a way out, or read rightly."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addapt.learning import Controls, Learner, LearningStopped
from addapt.learning.checkpoint import STATE_FILE
from addapt.methods import DA3
from tests.conftest import build_tiny_backbone
from tests.damage import FUZZ, Damage, Original, damages
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
            controls=Controls(should_stop=lambda: next(asked) > STEPS + 1),
        )
    content = (learner.store.state_path("half") / STATE_FILE).read_bytes()
    model = learner.engine.new_model(DA3(), len(CLASSES), seed=0)
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
