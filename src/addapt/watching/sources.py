"""What can be watched: a camera, a video, a folder, or images that a program gives."""

import os
import re
import stat
import sys
from collections.abc import Callable, Generator, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from addapt._errors import DataError, OptionError
from addapt._paths import absent, expanded
from addapt.images import Given
from addapt.images.kinds import HEAD_BYTES, kind_of
from addapt.watching.camera import camera_frames
from addapt.watching.folder import folder_frames
from addapt.watching.frames import Frame, Small, small_copy
from addapt.watching.newest import NewestOnly
from addapt.watching.pace import Clock, as_live
from addapt.watching.video import camera_shots, require_av, video_frames

# The number or path of a camera, the path of a video or a folder, or images as they come.
Source: TypeAlias = int | str | os.PathLike[str] | Iterable[Given]
# To be closed when no more of them are needed.
Frames: TypeAlias = Generator[Frame, None, None] | NewestOnly


def open_source(
    source: Source, clock: Clock, tell: Callable[[str], None], *, every_frame: bool
) -> Frames:
    """Return the frames of a source, which begin when the first one is asked for.

    Raises:
        DataError: there is no such source, or it is none.
        OptionError: every frame of a camera is asked for.
        MissingPackageError: PyAV is needed for it, and not installed.
    """
    if not isinstance(source, int | str | os.PathLike):
        if not isinstance(source, Iterable) or getattr(source, "ndim", 4) < 4:
            raise OptionError("One image is nothing to watch: recognise it with `Learner.predict`.")
        return _given_frames(source, clock)
    if isinstance(source, int) or re.fullmatch("[0-9]+", str(source)):
        return _open_camera(_device(int(str(source))), f"number {source}", clock, tell, every_frame)
    path = expanded(Path(source))
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return folder_frames(path, clock, every=every_frame)
        if stat.S_ISCHR(mode):
            return _open_camera(str(path), str(path), clock, tell, every_frame)
        if not stat.S_ISREG(mode):
            raise DataError(f"{path} is neither a camera nor a video nor a folder.")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "camera" if path.is_relative_to("/dev") else "video or folder"
        raise DataError(absent(path, what)) from error
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened ({error.strerror}). Give yourself permission to read it."
        ) from error
    if not head:
        raise DataError(f"The video {path} is empty (0 bytes). Copy it again.")
    kind = kind_of(head, path.name)
    if kind not in (None, "GIF"):
        raise DataError(
            f"{path} is an image of the kind {kind}: recognise it with `addapt predict`."
        )
    require_av()
    frames = video_frames(path)
    return frames if every_frame else as_live(frames, clock)


def _device(number: int) -> str:
    return str(number) if sys.platform == "darwin" else f"/dev/video{number}"


def _open_camera(
    device: str, name: str, clock: Clock, tell: Callable[[str], None], every_frame: bool
) -> NewestOnly:
    if every_frame:
        raise OptionError(
            "`every_frame` is for videos and folders: what a camera takes meanwhile is dropped."
        )
    if sys.platform == "linux" and not Path(device).exists():
        cameras = sorted(map(str, Path("/dev").glob("video*")))
        there = f"Cameras here: {', '.join(cameras)}." if cameras else "No camera is connected."
        raise DataError(f"There is no camera {name} ({device}). {there}")
    require_av()
    return NewestOnly(camera_frames(partial(camera_shots, device), name, clock, tell))


def _given_frames(images: Iterable[Given], clock: Clock) -> Generator[Frame, None, None]:
    for number, image in enumerate(images):
        yield Frame(number, clock.now(), partial(_same, image), _small_of(image))


def _small_of(image: Given) -> Callable[[], Small] | None:
    """Return what makes a small copy; None of a file, and of what recognising it will refuse."""
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.size == 0:
        return None
    if image.ndim != 2 and image.shape[2:] != (3,):
        return None
    return partial(small_copy, image)


def _same(image: Given) -> Given:
    return image
