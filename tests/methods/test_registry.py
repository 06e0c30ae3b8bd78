"""What every method says of itself, and which hyper-parameters are refused; nothing is computed."""

import dataclasses
import math
import subprocess
import sys
from typing import Any

import pytest

from addapt._errors import AddaptError, OptionError, UnknownNameError
from addapt.methods import (
    DA3,
    METHODS,
    Head,
    Method,
    Recipe,
    build_method,
    register_method,
    require_registered,
)


def test_no_torch_is_needed() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from typer.testing import CliRunner; from addapt.cli.main import app\n"
        "import addapt; addapt.DA3().for_backbone(9); addapt.register_method\n"
        "result = CliRunner().invoke(app, ['methods'])\n"
        "assert 'tinytl' in result.stdout, result.output\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_method_says_what_it_is() -> None:
    for name, method in METHODS.items():
        assert method.name == name and method.summary
        assert method.recipe.lr > 0 and method.recipe.epochs > 0
        require_registered(build_method(name))


def test_unknown_method_and_hyperparameter() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"'da33'.*Did you mean 'da3'.*finetune.*, head.*addapt\.register_method",
    ):
        build_method("da33")
    with pytest.raises(OptionError, match=r"no hyper-parameter 'breadth'.*kernel"):
        build_method("da3", {"breadth": 3})
    assert issubclass(UnknownNameError, AddaptError)


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [
        *(("kernel", wrong, "5") for wrong in (True, 5.0, None)),
        ("biases", 1, "True"),
        *(("first_block", wrong, "None") for wrong in (False, "2")),
    ],
)
def test_a_hyperparameter_of_a_wrong_type(name: str, value: Any, default: str) -> None:
    with pytest.raises(OptionError, match=f"not of the type of its default {default}"):
        build_method("da3", {name: value})
    with pytest.raises(OptionError, match=r"'kernel' of method 'da3' is 5\.0, which is not"):
        require_registered(DA3(kernel=5.0))  # type: ignore[arg-type]


def test_whole_numbers_serve_as_others() -> None:
    assert build_method("lora", {"alpha": 4}) == build_method("lora", {"alpha": 4.0})
    assert build_method("da3", {"first_block": None}) == build_method("da3", {})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("da3", {"kernel": 4}, "kernel is 4"),
        ("da3", {"reduction": 0}, "reduction is 0"),
        ("da3", {"grid": 0}, "grid is 0"),
        ("da3", dict.fromkeys(("spatial", "channel", "shortcut"), False), "leave at least one"),
        ("lora", {"rank": 0}, "rank is 0"),
        ("lora", {"alpha": 0.0}, "alpha is 0"),
        ("piggyback", {"start": 5e-3, "threshold": 5e-3}, "give a start above the threshold"),
        ("piggyback", {"start": math.inf}, "give a start above the threshold"),
        ("repnet", {"modules": 0}, "modules is 0"),
        ("repnet", {"kernel": 2}, "kernel is 2"),
        ("repnet", {"expand": -1.0}, "expand is -1.0"),
        ("tinytl", {"groups": 0}, "groups is 0"),
        ("tinytl", {"width": -1}, "width is -1"),
        ("tinytl", {"expand": math.nan}, "expand is nan"),
    ],
)
def test_impossible_hyperparameters(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_method(name, values)


def test_first_block_is_one_of_the_backbones() -> None:
    assert DA3().for_backbone(16) == DA3(first_block=5)
    assert DA3(first_block=2).for_backbone(3) == DA3(first_block=2)
    for wrong in (-1, 3):
        with pytest.raises(OptionError, match=f"first_block is {wrong}.*blocks 0 to 2"):
            DA3(first_block=wrong).for_backbone(3)


def own(*fields: tuple[Any, ...], **changes: Any) -> type:
    """Make a method that could be registered but for these; None leaves something out."""
    said = {"name": "own", "summary": "s", "why_kept": "w", "recipe": Head.recipe} | changes
    said = {name: value for name, value in said.items() if value is not None}
    return dataclasses.make_dataclass("Own", fields, bases=(Method,), namespace=said, frozen=True)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (type("Plain", (Method,), {}), r"Plain is not a frozen dataclass: put @dataclass\(frozen"),
        (Recipe, "Recipe.* is not a method: derive a class from addapt.Method"),
        (own(name=None), "Own has no 'name': give it"),
        (own(recipe={"lr": 1.0}), "Own has no 'recipe': give it"),
        (own(name="head"), "'head' of the method Own is taken by Head: give it another"),
        # What JSON cannot hold, what it would make a list of, and nothing.
        (own(("start", float, math.nan)), "'start' of the method Own has no default that"),
        (own(("sizes", tuple, (1, 2))), "'sizes' of the method Own has no default that"),
        (own(("start", float)), "'start' of the method Own has no default that"),
    ],
)
def test_what_cannot_be_registered(method: Any, message: str) -> None:
    before = dict(METHODS)
    with pytest.raises(OptionError, match=message):
        register_method(method, attach=lambda method, backbone, classes: None)
    assert before == METHODS


def test_a_subclass_may_change_the_recipe_and_nothing_else() -> None:
    changed = type("Head", (Head,), {"recipe": Recipe(lr=1.0, epochs=1)})
    require_registered(changed())

    @dataclasses.dataclass(frozen=True)
    class Wider(Head):
        width: int = 3

    with pytest.raises(OptionError, match="'head' has no hyper-parameter 'width'"):
        require_registered(Wider())
