"""The whole product on an engine that is not PyTorch, where PyTorch cannot be imported."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PROGRAM = r"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise AssertionError("somebody imports torch")

sys.meta_path.insert(0, Refuse())

from dataclasses import replace
from pathlib import Path

import numpy as np

from addapt.gates import GateConfig
from addapt.learning import Controls, Learner, LearningStopped
from addapt.learning.store_check import StoreCheck
from tests.fake_engine import FakeEngine
from tests.soak.lessons import make_images

folder = Path(sys.argv[1])
make_images(folder / "images", images=12, px=40)
asked = dict(method="head", epochs=4, batch=5, micro_batch=2, image_px=32)
learner = Learner(FakeEngine(), folder / "store")
report = learner.learn("colours", folder / "images", **asked)
assert report.val_accuracy == 1, report

# Stopped after each of ten steps, going on each time: the very same domain.
stops = iter(range(10))
stopping = Controls(should_stop=lambda: next(stops, None) is not None)
while not learner.store.exists("colours2"):
    try:
        learner.learn("colours2", folder / "images", controls=stopping, **asked)
    except LearningStopped:
        pass
assert next(stops, None) is None
first, second = learner.store.read("colours"), learner.store.read("colours2")
assert replace(first[0], date="") == replace(second[0], date="")
assert all((first[1][name] == second[1][name]).all() for name in first[1])

images = sorted((folder / "images" / "blue").iterdir())
predictions = learner.predict(images, "colours")
loaded = learner.engine.loaded
assert [p.label for p in predictions] == ["blue"] * 12
assert abs(sum(value for _, value in predictions[0].top) - 1) < 1e-6
learner.predict(images[:1], "colours")
assert learner.engine.loaded == loaded  # kept
assert [r.label for r in learner.recognise(images, "colours", accept=None)] == ["blue"] * 12
evaluation = learner.evaluate("colours", folder / "images")
assert evaluation.accuracy == 1 and evaluation.confusion.tolist() == (12 * np.eye(3)).tolist()

gated = learner.learn("gated", folder / "images", gates=GateConfig("blocks", compute=0.6), **asked)
assert gated.gates["report"]["compute"] == 0.5
learner.predict(images[:1], "gated")
static = GateConfig("resolution")
small = learner.learn("small", folder / "images", gates=static, **asked | {"image_px": 64})
assert small.image_px < 64
assert len(learner.predict(images[:1], "small", gates=False)) == 1
two_looks = GateConfig("resolution", dynamic=True)
learner.learn("two", folder / "images", gates=two_looks, **asked | {"image_px": 64})
assert learner.evaluate("two", folder / "images", gates=True).gated

budget = learner.learn(
    "budget", folder / "images", controls=Controls(budget_bytes=2_000_000_000), **asked
)
assert budget.micro_batch == 2
findings = list(StoreCheck(learner.store).findings())
assert len(findings) == 6 and not any(finding.is_wrong for finding in findings), findings
assert "torch" not in sys.modules
print("done")
"""


def test_the_learner_needs_no_torch(tmp_path: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
