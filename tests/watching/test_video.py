"""Real videos, encoded and decoded: frames, times, damage, and what is no video."""

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from addapt._errors import DataError, MissingPackageError
from addapt.watching import open_source, video
from addapt.watching.camera import camera_frames
from addapt.watching.frames import Frame, small_copy
from addapt.watching.newest import NewestOnly
from tests.watching.clips import encode
from tests.watching.scenes import Camera, FakeClock, Pixels, drawn

av = pytest.importorskip("av")

SCENES = [drawn(seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of ten frames each."""
    camera = Camera(2)
    images = [camera.takes(scene) for scene in SCENES for _ in range(10)]
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", images)


def opened(path: Path, *, every: bool = True) -> list[Frame]:
    return list(open_source(path, FakeClock(), print, every_frame=every))


def pixels(frame: Frame) -> Pixels:
    image = frame.image()
    assert isinstance(image, np.ndarray)
    return image


def test_frames_are_images_with_times_and_small_copies(clip: Path) -> None:
    frames = opened(clip)
    assert [frame.number for frame in frames] == list(range(30))
    assert [frame.at_s for frame in frames] == pytest.approx([i / 10 for i in range(30)])
    for frame, scene in zip(frames[5::10], SCENES, strict=True):
        image = pixels(frame)
        assert image.shape == scene.shape
        assert image.dtype == np.uint8
        assert np.abs(image - scene).mean() < 8
        assert frame.small is not None
        assert np.abs(frame.small() - small_copy(image)).mean() < 3


def test_a_video_plays_at_its_own_speed_or_as_fast_as_can_be(clip: Path) -> None:
    clock = FakeClock()
    assert len(list(open_source(clip, clock, print, every_frame=True))) == 30
    assert clock.now() == 1000
    assert len(list(open_source(clip, clock, print, every_frame=False))) == 30
    assert clock.now() == pytest.approx(1002.9)


class Whole:
    """Stands for what makes the image of a frame that cannot be made to say that it is turned."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def reformat(self, *_: object, **how: Any) -> Any:
        return self._frame.reformat(**how)


def test_a_phone_held_upright(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))

    class Turned:
        rotation = -90

    turned: Any = Turned()
    maker = video.Maker()
    plain = maker.pixels(frame)
    monkeypatch.setattr(maker, "_whole", Whole(frame))
    assert (maker.pixels(turned) == np.rot90(plain, -1)).all()


def test_damage_in_the_middle_is_passed_over_and_a_rest_is_used(clip: Path, tmp_path: Path) -> None:
    camera = Camera(2)
    images = [camera.takes(scene) for scene in SCENES for _ in range(10)]
    whole = encode(tmp_path / "whole.mkv", images).read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 400] = bytes(400)
    (tmp_path / "damaged.mkv").write_bytes(damaged)
    assert len(opened(tmp_path / "damaged.mkv")) >= 15
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    assert 10 <= len(opened(tmp_path / "cut.mkv")) < 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", r"cannot be read as a video \(Invalid data.*\)\. Is it one, and copied whole\?"),
        (b"", r"is empty \(0 bytes\)"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "is an image of the kind JPEG: .*addapt predict"),
        (b"ffconcat version 1.0\nfile 'https://x.y/z.mp4'\n", "cannot be read as a video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/z.ts\n", "cannot be read as a video"),
    ],
)
def test_what_is_no_video(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        opened(path)


def test_a_video_without_pictures_and_one_without_frames(tmp_path: Path, clip: Path) -> None:
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(DataError, match="as it holds no pictures"):
        opened(sound)


def test_a_camera_by_the_library_that_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # The library draws what this "camera" takes; then it is away, and back.
    monkeypatch.setitem(video.CAMERAS, sys.platform, "lavfi")
    device, told, clock = "testsrc=size=64x48:rate=50:duration=0.2", list[str](), FakeClock()
    frames = camera_frames(lambda: video.camera_shots(device), "x", clock, told.append)
    some = list(islice(frames, 15))
    assert pixels(some[12]).shape == (48, 64, 3)
    assert len(told) == 2
    assert [frame.number for frame in some] == list(range(15))
    newest = NewestOnly(camera_frames(lambda: video.camera_shots(device), "x", clock, print))
    assert next(newest).small is not None
    newest.close()


def test_what_is_no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "linux":
        with pytest.raises(DataError, match="/dev/null cannot be read as a camera"):
            next(open_source("/dev/null", FakeClock(), print, every_frame=False))
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(Exception, match="on Linux and macOS only"):
        next(video.camera_shots("x"))


def test_without_the_package(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(video, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=r"pip install '\.\[video\]'"):
        open_source(clip, FakeClock(), print, every_frame=True)
