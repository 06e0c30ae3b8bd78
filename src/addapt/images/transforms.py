"""What happens to a batch of images between memory and backbone: varied, then normalised."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Num
from torch import Tensor

from addapt._errors import OptionError

DRAWS = 7  # random numbers an image: zoom, angle, shift x, shift y, flip, brightness, contrast


def normalise(
    x: Num[Tensor, "n 3 h w"], mean: Sequence[float], std: Sequence[float]
) -> Float32[Tensor, "n 3 h w"]:
    """Map pixel values 0..255 to (x / 255 - mean) / std, channels last in memory.

    Args:
        x: images, uint8 or floating point; left as they are.
        mean: per channel, for values in 0..1.
        std: per channel, for values in 0..1.
    """
    channel_mean = torch.tensor(mean, dtype=torch.float32, device=x.device).view(1, -1, 1, 1)
    channel_std = torch.tensor(std, dtype=torch.float32, device=x.device).view(1, -1, 1, 1)
    y = x.to(torch.float32, copy=True, memory_format=torch.channels_last)
    return y.div_(255).sub_(channel_mean).div_(channel_std)


@dataclass(frozen=True)
class Augmentation:
    """Random changes that leave the class as it is, drawn anew for every image.

    One affine map about the centre, then brightness, then contrast about the image's mean.
    Outside the image its border is repeated.

    Args:
        flip: mirror left and right in half of the cases. Off, since letters, road signs and
            the like change their meaning when mirrored.
        zoom: size changes by a factor in 1 - zoom ... 1 + zoom.
        shift: moves by up to this share of the side, either way.
        rotate_degrees: turns by up to this angle, either way.
        brightness: values are multiplied by 1 - brightness ... 1 + brightness.
        contrast: distances from the mean are multiplied by 1 - contrast ... 1 + contrast.

    Raises:
        OptionError: a value is out of range.
    """

    flip: bool = False
    zoom: float = 0.15
    shift: float = 0.08
    rotate_degrees: float = 8.0
    brightness: float = 0.15
    contrast: float = 0.15

    @classmethod
    def of_strength(cls, strength: float, *, flip: bool) -> "Augmentation":
        """Scale all default ranges by `strength`."""
        ranges = {name: strength * value for name, value in vars(cls()).items() if name != "flip"}
        return cls(flip=flip, **ranges)

    def __post_init__(self) -> None:
        limits = {"zoom": 0.9, "shift": 1, "rotate_degrees": 180, "brightness": 1, "contrast": 1}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise OptionError(
                    f"The augmentation's {name} is {value}; it must lie between 0 and {limit}."
                )

    def __call__(
        self, x: Num[Tensor, "n 3 h w"], generator: torch.Generator
    ) -> Float32[Tensor, "n 3 h w"]:
        """Change the images at random; values stay in 0..255 but are no longer whole.

        Args:
            x: images with values 0..255; left as they are.
            generator: on the CPU; all randomness comes from it. What is drawn does not depend
                on the settings, so that switching one off leaves the others as they were.
        """
        return self.apply(x, self.draw(len(x), generator))

    def draw(self, images: int, generator: torch.Generator) -> Float32[Tensor, "n draws"]:
        """Draw the random numbers of so many images, on the CPU."""
        return torch.rand((images, DRAWS), generator=generator)

    def apply(
        self, x: Num[Tensor, "n 3 h w"], draws: Float32[Tensor, "n draws"]
    ) -> Float32[Tensor, "n 3 h w"]:
        """Change each image as its row of random numbers says; as calling this object does."""
        draws = draws.to(x.device)
        signed = draws * 2 - 1
        height, width = x.shape[-2:]
        theta = self._affine(draws, signed, width / height)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        y = F.grid_sample(
            x.to(torch.float32), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        y.mul_((1 + self.brightness * signed[:, 5]).view(-1, 1, 1, 1))
        mean = y.mean(dim=(1, 2, 3), keepdim=True)
        y.sub_(mean).mul_((1 + self.contrast * signed[:, 6]).view(-1, 1, 1, 1)).add_(mean)
        return y.clamp_(0, 255)

    def _affine(self, draws: Tensor, signed: Tensor, aspect: float) -> Float32[Tensor, "n 2 3"]:
        # Maps places in the new image to places in the old one, both in -1..1: hence divided
        # by the zoom. The aspect (width / height) keeps a rotation a rotation in pixels.
        factor = 1 / (1 + self.zoom * signed[:, 0])
        angle = math.radians(self.rotate_degrees) * signed[:, 1]
        mirror = torch.where(draws[:, 4] < 0.5, -1.0, 1.0) if self.flip else 1.0
        cos, sin = factor * angle.cos(), factor * angle.sin()
        shift_x, shift_y = 2 * self.shift * signed[:, 2], 2 * self.shift * signed[:, 3]
        row_x = torch.stack((cos * mirror, -sin / aspect, shift_x), dim=1)
        row_y = torch.stack((sin * mirror * aspect, cos, shift_y), dim=1)
        return torch.stack((row_x, row_y), dim=1)
