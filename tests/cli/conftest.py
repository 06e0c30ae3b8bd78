"""What all tests of the command line share."""

import functools

import pytest

import addapt.engines.torch.backbones
from addapt.engines.torch.backbones import Backbone, load_backbone

_load_once = functools.cache(load_backbone)


@pytest.fixture(autouse=True)
def _backbones_of_the_project_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands share what they leave as it was: making it takes longer than most of them."""

    def load(name: str, weights: str | None = None, **how: object) -> Backbone:
        own = weights in (None, "random")
        return (_load_once if own else load_backbone)(name, weights, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(addapt.engines.torch.backbones, "load_backbone", load)
