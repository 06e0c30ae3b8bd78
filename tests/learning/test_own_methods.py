"""A method of the user's own: learned, saved, and loaded again by whoever registers it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import addapt
from addapt import AdaptedModel, Backbone, Learner
from addapt._errors import DomainError, OptionError
from addapt.engines.torch.methods import Adaptor
from addapt.methods import Recipe, registry
from tests.conftest import MakeFolder


@dataclass(frozen=True)
class Scaled(addapt.Method):
    """A trained scale of the frozen features."""

    name: ClassVar[str] = "scaled"
    summary: ClassVar[str] = "a trained scale of the frozen features"
    why_kept: ClassVar[str] = "The gradient of a scale needs the features."
    recipe: ClassVar[Recipe] = Recipe(lr=1e-2, epochs=3, min_steps=1)

    start: float = 1.0
    kind: str = "channel"


class Scale(Adaptor):
    def __init__(self, start: float, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((features,), start))

    def forward(self, backbone: Backbone, x: Tensor) -> Tensor:
        features: Tensor = backbone(x) * self.scale
        return features


def attach_scaled(method: Scaled, backbone: Backbone, classes: int) -> AdaptedModel:
    features = backbone.info.features if method.kind == "channel" else 1
    return AdaptedModel(backbone, Scale(method.start, features), classes)


@pytest.fixture(autouse=True)
def _forget_own_methods() -> Iterator[None]:
    yield
    _forget()


def _forget() -> None:
    registry.METHODS.pop("scaled", None)
    registry._registered.pop("scaled", None)


def test_learned_saved_and_loaded_again(
    tiny_backbone: Backbone, make_folder: MakeFolder, tmp_path: Path
) -> None:
    store, folder = tmp_path / "store", make_folder()
    addapt.register_method(Scaled, attach=attach_scaled)
    learner = Learner(tiny_backbone, store)
    learner.learn("colours", folder, method=Scaled(start=2.0, kind="all"), image_px=32)
    image = folder / "red/0.png"
    expected = learner.predict([image], "colours")

    _forget()  # as in another process
    with pytest.raises(DomainError, match=r"method 'scaled'.*addapt\.register_method before load"):
        Learner(tiny_backbone, store).predict([image], "colours")

    addapt.register_method(Scaled, attach=attach_scaled)
    again = Learner(tiny_backbone, store)
    assert again.predict([image], "colours") == expected
    scale = again.load("colours")[1].state()["adaptor.scale"]
    assert scale.shape == (1,)
    assert scale.item() not in (1.0, 2.0)  # the trained one
    again.learn("by-name", folder, method="scaled", image_px=32)
    assert again.load("by-name")[0].hyperparameters == {"start": 1.0, "kind": "channel"}


def test_refused_before_training_unless_registered(tiny_backbone: Backbone, tmp_path: Path) -> None:
    message = r"Scaled \('scaled'\) is not registered.*call addapt\.register_method\(Scaled, attach"
    with pytest.raises(OptionError, match=message):
        addapt.attach(tiny_backbone, Scaled(), classes=2)
    with pytest.raises(OptionError, match=message):
        Learner(tiny_backbone, tmp_path / "s").learn("x", tmp_path / "none", method=Scaled())
    addapt.register_method(Scaled, attach=attach_scaled)
    strange: Any = torch.tensor(1.0)
    with pytest.raises(OptionError, match=r"'start' of method 'scaled' is tensor\(1\.\), which is"):
        Learner(tiny_backbone, tmp_path / "s").learn("x", tmp_path, method=Scaled(start=strange))


def test_what_is_registered_must_make_a_model(tiny_backbone: Backbone) -> None:
    addapt.register_method(Scaled, attach=lambda method, backbone, classes: nn.Identity())
    with pytest.raises(OptionError, match="'scaled' made Identity.*addapt.AdaptedModel"):
        addapt.attach(tiny_backbone, Scaled(), classes=2)


def test_a_class_defined_once_more_takes_the_place_of_the_first(tiny_backbone: Backbone) -> None:
    """As by a notebook's cell that runs again; another class of that name is refused."""
    addapt.register_method(Scaled, attach=attach_scaled)
    again: type[Scaled] = dataclass(frozen=True)(
        type("Scaled", (Scaled,), {"__module__": __name__})
    )
    addapt.register_method(again, attach=attach_scaled)
    assert addapt.attach(tiny_backbone, again(), classes=2).head.out_features == 2
    other: type[Scaled] = dataclass(frozen=True)(type("Other", (Scaled,), {"__module__": __name__}))
    with pytest.raises(OptionError, match="'scaled' of the method Other is taken by Scaled"):
        addapt.register_method(other, attach=attach_scaled)
