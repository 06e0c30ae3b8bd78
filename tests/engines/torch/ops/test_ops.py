"""What must hold for every operation of the table in op_cases.py."""

import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.engines.torch.ops.kept import run_and_weigh
from tests.engines.torch.ops.op_cases import CASES, LAYOUTS, NON_FINITE, Layout, OpCase, laid_out

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
DENSE_LAYOUTS: tuple[Layout, ...] = ("contiguous", "channels_last")
LAYOUT_PAIRS: tuple[tuple[Layout, Layout], ...] = (
    ("contiguous", "contiguous"),
    ("channels_last", "channels_last"),
    ("channels_last", "contiguous"),
    ("contiguous", "channels_last"),
    ("sliced", "sliced"),
)
ROUNDING = {torch.float32: 2e-5, torch.float64: 1e-12, torch.bfloat16: 4e-2}


def random_like(y: Tensor, layout: Layout = "contiguous") -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return laid_out(torch.randn(y.shape, generator=generator).to(y.dtype), layout)


def spoilt(x: Tensor, spoilers: Sequence[float], every: int) -> Tensor:
    """Return `x` with the spoilers in turn at each `every`-th place."""
    row = x.detach().flatten().clone()
    places = len(row[::every])
    row[::every] = torch.tensor([*spoilers] * places)[:places]
    return row.view(x.shape)


def gradients(y: Tensor, inputs: Sequence[Tensor], cotangent: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(y, [x for x in inputs if x.requires_grad], cotangent))


def assert_same(case: OpCase, inputs: Sequence[Tensor], cotangent: Tensor | None = None) -> None:
    """Assert that the operation and its reference agree forward and backward."""
    versions = [x._version for x in inputs]
    y, expected = case.op(*inputs), case.reference(*inputs)
    rounding = ROUNDING[y.dtype]
    close = dict(rtol=rounding, atol=rounding, equal_nan=True)
    torch.testing.assert_close(y, expected, **close)  # type: ignore[arg-type]
    cotangent = random_like(y) if cotangent is None else cotangent
    version = cotangent._version
    if case.derivative_error and y.numel():
        close["atol"] += case.derivative_error * cotangent.nan_to_num().abs().amax().item() * 1.001
    of_op, of_reference = (gradients(z, inputs, cotangent) for z in (y, expected))
    for ours, theirs in zip(of_op, of_reference, strict=True):
        torch.testing.assert_close(ours, theirs, **close)  # type: ignore[arg-type]
    # Nothing that others may still need was used as working memory.
    assert ([x._version for x in inputs], cotangent._version) == (versions, version)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@every_case
def test_equals_its_reference(case: OpCase, dtype: torch.dtype) -> None:
    for layout, of_cotangent in LAYOUT_PAIRS:
        inputs = case.inputs(dtype=dtype, layout=layout)
        assert_same(case, inputs, random_like(case.reference(*inputs), of_cotangent))


@every_case
def test_any_shape(case: OpCase) -> None:
    @settings(max_examples=8, deadline=None, database=None, derandomize=True)
    @given(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17), st.sampled_from(LAYOUTS))
    @example(0, 7, 5, "contiguous")
    def check(n: int, h: int, w: int, layout: Layout) -> None:
        assert_same(case, case.inputs(n, h, w, layout=layout))

    check()


@every_case
def test_ties_and_kinks(case: OpCase) -> None:
    for layout in LAYOUTS:
        inputs = case.inputs(integers=True, layout=layout)
        assert_same(case, inputs)
        one_number_for_all = torch.ones(()).expand_as(case.reference(*inputs))
        assert_same(case, inputs, one_number_for_all)


@every_case
def test_infinities_and_nan(case: OpCase) -> None:
    if not case.spoilers:
        pytest.skip("its own test says what should be")
    for layout, every in zip(LAYOUTS, (1, 7, 1), strict=True):
        inputs = case.inputs(layout=layout)
        for position in set(range(len(inputs))) - case.frozen:
            x = laid_out(spoilt(inputs[position], case.spoilers, every), layout)
            others = case.inputs(layout=layout)
            assert_same(case, [*others[:position], x.requires_grad_(), *others[position + 1 :]])
        lowest = (inputs[0].detach() - math.inf).requires_grad_()
        assert_same(case, [lowest, *inputs[1:]])


@every_case
def test_cotangent_with_infinities_and_nan(case: OpCase) -> None:
    if case.derivative_error or not case.spoilers:
        pytest.skip("infinity times zero: of a derivative rounded, or of no neighbour's weight")
    for layout in LAYOUTS:
        inputs = case.inputs(integers=True, layout=layout)
        assert_same(case, inputs, spoilt(random_like(case.reference(*inputs)), NON_FINITE, 5))


@every_case
def test_gradcheck(case: OpCase) -> None:
    if case.derivative_error:
        pytest.skip("its derivative is rounded on purpose")
    inputs = case.inputs(n=1, h=3, w=3, dtype=torch.float64, layout="channels_last")
    for position in case.straight_through:
        inputs[position].requires_grad_(False)
    assert torch.autograd.gradcheck(case.op, inputs, fast_mode=True)


@every_case
def test_each_gradient_alone(case: OpCase) -> None:
    for alone in set(range(len(case.inputs()))) - case.frozen:
        inputs = [x.detach().requires_grad_(i == alone) for i, x in enumerate(case.inputs())]
        assert_same(case, inputs)


@every_case
def test_keeps_what_it_says(case: OpCase) -> None:
    shapes = [(2, 7, 5), (3, 1, 1), (0, 7, 5)]
    for shape, layout in itertools.product(shapes, LAYOUTS):
        inputs = case.inputs(*shape, layout=layout)
        y, kept = run_and_weigh(case.op, inputs, case.frozen)
        assert kept == case.kept_bytes(y.numel())


def test_the_scales_weigh() -> None:
    x, w = torch.ones(3, 4, requires_grad=True), torch.ones(3, 4)
    assert run_and_weigh(torch.relu, [x], frozenset())[1] == 48
    assert run_and_weigh(torch.mul, [x, w], frozenset({1}))[1] == 0
    assert run_and_weigh(torch.mul, [x, w], frozenset())[1] == 48


@every_case
def test_differentiating_twice_is_refused(case: OpCase) -> None:
    inputs = case.inputs()
    y = case.op(*inputs)
    asking = [x for x in inputs if x.requires_grad]
    for cotangent in (random_like(y), random_like(y).requires_grad_()):
        with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
            torch.autograd.grad(y, asking, cotangent, retain_graph=True, create_graph=True)


@every_case
def test_keeps_nothing_where_no_gradient_is_asked_for(
    case: OpCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = case.inputs()
    expected = case.reference(*inputs).detach()
    # Nor does it work for backward: packing what is then dropped would cost time.
    monkeypatch.setattr(torch.autograd.Function, "apply", None)
    with torch.no_grad():
        without_grad, kept = run_and_weigh(case.op, inputs, frozenset())
    frozen, kept_of_frozen = run_and_weigh(case.op, [x.detach() for x in inputs], frozenset())
    assert kept == kept_of_frozen == 0
    for y in (without_grad, frozen):
        assert not y.requires_grad
        torch.testing.assert_close(y, expected)


@pytest.mark.parametrize("inside", [False, True])
@every_case
def test_autocast(case: OpCase, inside: bool) -> None:
    # As PyTorch documents it, backward is outside; inside must do as well.
    inputs = case.inputs()
    cotangent = random_like(case.reference(*inputs))

    def run(op: Callable[..., Tensor]) -> tuple[Tensor, list[Tensor]]:
        with torch.autocast("cpu", torch.bfloat16):
            y = op(*inputs)
            if inside:
                return y, gradients(y, inputs, cotangent.to(y.dtype))
        return y, gradients(y, inputs, cotangent.to(y.dtype))

    (y, of_op), (expected, of_reference) = run(case.op), run(case.reference)
    assert [grad.dtype for grad in of_op] == [grad.dtype for grad in of_reference]
    for ours, theirs in zip((y, *of_op), (expected, *of_reference), strict=True):
        error = (ours.double() - theirs.double()).norm() / theirs.double().norm().clamp(min=1)
        assert error <= 0.05


@every_case
def test_memory_layout_stays(case: OpCase) -> None:
    for layout in DENSE_LAYOUTS:
        inputs = case.inputs(h=18, w=20, layout=layout)
        y, expected = case.op(*inputs), case.reference(*inputs)
        assert y.stride() == expected.stride()
        x_grad, *_ = gradients(y, inputs, torch.randn_like(y))
        assert x_grad.stride() == inputs[0].stride() or 0 in x_grad.stride()


@every_case
def test_runs_without_data(case: OpCase) -> None:
    for layout in DENSE_LAYOUTS:
        real = case.inputs(layout=layout)
        inputs = [x.detach().to("meta").requires_grad_(x.requires_grad) for x in real]
        y, expected = case.op(*inputs), case.op(*real)
        assert (y.device.type, y.shape) == ("meta", expected.shape)
        assert y.stride() == expected.stride() or not case.meta_strides
        of_meta = gradients(y, inputs, torch.empty_like(y))
        of_real = gradients(expected, real, random_like(expected))
        for ours, theirs in zip(of_meta, of_real, strict=True):
            assert ours.is_meta and (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)


@pytest.mark.gpu
@every_case
def test_equals_its_reference_on_a_gpu(case: OpCase) -> None:
    for layout, integers in itertools.product(LAYOUTS, (False, True)):
        real = case.inputs(layout=layout, integers=integers)
        inputs = [x.detach().cuda().requires_grad_(x.requires_grad) for x in real]
        assert_same(case, inputs, random_like(case.reference(*real)).cuda())
