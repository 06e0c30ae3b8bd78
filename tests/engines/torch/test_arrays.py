"""Tensors become arrays and tensors again without losing a bit; images what a backbone takes."""

import numpy as np
import pytest
import torch

from addapt.engines.torch.arrays import to_arrays, to_input, to_tensors

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DTYPES = [torch.float16, torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool]


def test_both_ways_share_the_memory() -> None:
    for dtype in DTYPES:
        tensor = torch.tensor([[0, 1], [2, 3]]).to(dtype).t()
        again = to_tensors(to_arrays({"x": tensor}))["x"]
        assert again.dtype == dtype
        assert torch.equal(again, tensor)
        assert again.data_ptr() == tensor.data_ptr()


def test_trained_and_single() -> None:
    arrays = to_arrays({"w": torch.ones(3, requires_grad=True), "step": torch.tensor(7.0)})
    assert arrays["w"].tolist() == [1, 1, 1]
    assert to_tensors(arrays)["step"].shape == ()


def test_bfloat16_becomes_float32() -> None:
    tensor = torch.randn(100).bfloat16()
    array = to_arrays({"x": tensor})["x"]
    assert array.dtype == np.float32
    assert torch.equal(to_tensors({"x": array})["x"].bfloat16(), tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values(dtype: torch.dtype) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 24, 17, 3), dtype=np.uint8)
    images.flags.writeable = False
    before = images.copy()
    x = to_input(images, MEAN, STD, dtype=dtype)
    assert x.shape == (4, 3, 24, 17)
    assert x.dtype == dtype
    assert x.is_contiguous(memory_format=torch.channels_last)
    expected = torch.from_numpy((before / 255 - MEAN) / STD).permute(0, 3, 1, 2)
    tolerance = 0.01 if dtype == torch.bfloat16 else 1e-6
    torch.testing.assert_close(x.double(), expected, rtol=tolerance, atol=tolerance)
    assert np.array_equal(images, before)


def test_images_that_are_not_contiguous() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    turned = images[:, ::-1, ::-1]
    assert torch.equal(to_input(turned, MEAN, STD), to_input(turned.copy(), MEAN, STD))


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    images = np.full((2, 8, 8, 3), 200, dtype=np.uint8)
    x = to_input(images, MEAN, STD, "cuda", torch.float16)
    assert (x.device.type, x.dtype) == ("cuda", torch.float16)
    torch.testing.assert_close(x.cpu().float(), to_input(images, MEAN, STD), rtol=1e-3, atol=1e-3)
