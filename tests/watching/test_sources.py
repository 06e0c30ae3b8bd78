"""What a word on the command line, or an object in a program, means as a source."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from addapt._errors import DataError, OptionError
from addapt.watching import Source, open_source
from addapt.watching.frames import Frame
from tests.watching.scenes import FakeClock


def opened(source: Source, *, every: bool = False) -> list[Frame]:
    return list(open_source(source, FakeClock(), print, every_frame=every))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.mp4", "The video or folder nowhere.mp4 does not exist: check the path"),
        ("/dev/video-nowhere", "The camera /dev/video-nowhere does not exist"),
        ("https://x.y/z.mp4", "is an address, and addapt downloads nothing"),
        ("x" * 300, "cannot be opened"),
    ],
)
def test_what_is_not_there(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(source)


@pytest.mark.skipif(sys.platform != "linux", reason="cameras are files there")
@pytest.mark.parametrize("source", [9999, "9999"])
def test_a_camera_that_is_not_there(source: Source) -> None:
    with pytest.raises(DataError, match=r"There is no camera number 9999 \(/dev/video9999\)"):
        opened(source)


def test_every_frame_of_a_camera_is_refused() -> None:
    with pytest.raises(OptionError, match="`every_frame` is for videos and folders"):
        opened(0, every=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a camera nor a video nor a folder"):
        opened(tmp_path / "pipe")


@pytest.mark.parametrize("source", [np.zeros((4, 4, 3), np.uint8), Image.new("L", (4, 4)), None])
def test_one_image_is_nothing_to_watch(source: Any) -> None:
    with pytest.raises(OptionError, match=r"recognise it with `Learner\.predict`"):
        opened(source)


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hold no images"):
        opened(tmp_path)


def test_images_of_a_program() -> None:
    array = np.full((6, 8, 3), 7, np.uint8)
    grey, image = array[..., 0], Image.fromarray(array)
    frames = opened([array, grey, image])
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert frames[0].image() is array
    for frame in frames:
        assert frame.small is not None
        assert (frame.small() == 7).all()
    not_compared: list[Any] = [Path("x.jpg"), np.zeros((2, 2)), np.zeros((0, 2, 3), np.uint8)]
    alone = opened(iter(not_compared))
    assert [frame.small for frame in alone] == [None] * 3
