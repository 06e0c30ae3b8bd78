"""Images of video files and cameras, decoded by PyAV, which the extra `video` brings."""

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from addapt._errors import DataError, MissingPackageError, OptionError
from addapt.images.decode import MAX_PIXELS
from addapt.watching.frames import SMALL_PX, Frame, Small, in_planes

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

USUAL_RATE = 25.0  # frames a second, where a file does not say
# What a file names inside itself, such as parts of a playlist, is never fetched from a network.
FILES_ONLY = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
CAMERAS = {"linux": "v4l2", "darwin": "avfoundation"}


def require_av() -> None:
    """Refuse to go on without PyAV.

    Raises:
        MissingPackageError: it is not installed.
    """
    if find_spec("av") is None:
        raise MissingPackageError(
            "Videos and cameras are read by PyAV, which is not installed: "
            "pip install 'addapt[video]' (here: pip install '.[video]')."
        )


class Maker:
    """Makes images of the frames of one video; what it needs for their size is kept."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._whole, self._shrink, self._colour = (VideoReformatter() for _ in range(3))

    # One thread each: to start more takes longer than most frames.
    def pixels(self, frame: "VideoFrame") -> npt.NDArray[np.uint8]:
        """Return the image, (h, w, 3) of RGB, upright as phones note it."""
        found = self._whole.reformat(frame, format="rgb24", threads=1).to_ndarray()
        upright = np.rot90(found, round(frame.rotation / 90))
        return np.ascontiguousarray(upright, np.uint8)

    def small(self, frame: "VideoFrame") -> Small:
        """Return the small copy; to shrink and to change the colours at once would blur these."""
        shrunk = self._shrink.reformat(
            frame, SMALL_PX, SMALL_PX, "yuv444p", interpolation="AREA", threads=1
        )
        cells = self._colour.reformat(shrunk, format="rgb24", threads=1).to_ndarray()
        return in_planes(cells.astype(np.uint8, copy=False))


class Shot(NamedTuple):
    """A decoded frame, and what makes images of it."""

    frame: "VideoFrame"
    maker: Maker

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the image, (h, w, 3) of RGB."""
        return self.maker.pixels(self.frame)

    def small(self) -> Small:
        """Return the small copy."""
        return self.maker.small(self.frame)


def video_frames(path: Path) -> Generator[Frame, None, None]:
    """Yield the frames of a video file; damaged ones are passed over.

    Raises:
        MissingPackageError: PyAV is not installed.
        DataError: it is no video, or nothing of it can be decoded.
    """
    problem = f"{path} cannot be read as a video", "Is it one, and copied whole?"
    with _opened(f"file:{path.absolute()}", problem) as video:
        first_s, number = 0.0, -1
        rate = float(video.streams.video[0].average_rate or USUAL_RATE)
        for number, shot in enumerate(_shots(video)):
            time_s = shot.frame.time
            at_s = number / rate if time_s is None else time_s
            first_s = first_s if number else at_s
            yield Frame(number, at_s - first_s, shot.pixels, shot.small)
    if number < 0:
        raise DataError(f"{path} holds no frame that can be decoded. Copy it again.")


def camera_shots(device: str) -> Iterator[Shot]:
    """Yield what a camera takes, as it takes it, until it is unplugged.

    Args:
        device: as the system calls it, such as /dev/video0.

    Raises:
        MissingPackageError: PyAV is not installed.
        OptionError: cameras of this system are not supported.
        DataError: it is no camera, is used by another program, or was unplugged.
    """
    if sys.platform not in CAMERAS:
        raise OptionError(
            "Cameras are read on Linux and macOS only. Give a video file or a folder; a program of "
            "yours can give frames to `Learner.watch`."
        )
    problem = f"{device} cannot be read as a camera", "Is it one, and used by no other program?"
    with _opened(device, problem, CAMERAS[sys.platform]) as camera:
        yield from _shots(camera)


@contextmanager
def _opened(
    name: str, problem: tuple[str, str], input_format: str | None = None
) -> "Iterator[InputContainer]":
    """Open what has moving pictures; a `problem` is what cannot be done, and what to look at."""
    require_av()
    import av

    options = FILES_ONLY if input_format is None else {}
    what, remedy = problem
    try:
        with av.open(name, format=input_format, options=options) as opened:
            if not opened.streams.video:
                raise DataError(f"{what}, as it holds no pictures. {remedy}")
            yield opened
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{what} ({reason}). {remedy}") from error


def _shots(opened: "InputContainer") -> Iterator[Shot]:
    import av

    maker, stream = Maker(), opened.streams.video[0]
    for packet in opened.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue
        for frame in frames:
            yield Shot(frame, maker)
