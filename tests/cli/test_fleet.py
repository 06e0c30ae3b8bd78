"""`addapt fleet`: what is refused before anything is started, and the keys that it makes."""

import socket
import stat
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from addapt._hosts import LOOPBACK  # noqa: E402
from addapt.fleet import processes  # noqa: E402
from tests.cli.conftest import LABELS, refused, run_json  # noqa: E402
from tests.conftest import write_images  # noqa: E402


@pytest.fixture(autouse=True)
def _nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*words: object) -> None:
        raise AssertionError(f"started {words}")

    monkeypatch.setattr(processes.FlowerHome, "start", start)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", LABELS, 3, 32, 0)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rounds", "0"), "--rounds is 0: give 1 to 10000"),
        (("--min-devices", "0"), "--min-devices is 0: give at least 1"),
        (("--strategy", "median"), "--strategy is 'median': give fedavg, fedprox, fedadam"),
        (("--round-timeout", "soon"), "--round-timeout is 'soon': give a time"),
        (("--round-timeout", "0s"), "--round-timeout is 0: give a time above 0"),
        (("--clipping-norm", "1"), "--noise-multiplier is 0: differential privacy needs both"),
        (("--clipping-norm", "-1", "--noise-multiplier", "1"), "--clipping-norm is -1"),
        (("--noise-multiplier", "nan"), "--clipping-norm is 0"),
        (
            ("--clipping-norm", "1", "--noise-multiplier", "1", "--strategy", "fedadam"),
            "give fedavg or fedprox",
        ),
        (
            ("--clipping-norm", "1", "--noise-multiplier", "1", "--min-devices", "1"),
            "one device cannot hide",
        ),
        (("--image-px", "5"), "--image-px is 5: give 32 to 2048"),
        (("--method", "lora"), "no method 'lora'. It has: bias, da3, head"),
        (("--method", "da33"), "Did you mean 'da3'"),
        (("--backbone", "nope"), "Unknown backbone 'nope'"),
    ],
)
def test_what_a_server_refuses(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    assert message in refused("fleet", "serve", "colours", "--store", tmp_path / "store", *words)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        message = refused("fleet", "serve", "c", "--store", tmp_path / "store", "--port", port)
    assert f"--port is {port}, which cannot be listened on" in message


def test_a_device_without_the_backbone_does_not_wait(tmp_path: Path, images: Path) -> None:
    join = ("fleet", "join", "127.0.0.1:8000", "c", images, "--store", tmp_path / "store")
    assert "Unknown backbone 'nope'" in refused(*join, "--backbone", "nope")


def test_a_name_that_no_domain_may_have_is_refused(tmp_path: Path, images: Path) -> None:
    assert "cannot be called" in refused("fleet", "serve", "a/b", "--store", tmp_path / "store")
    join = ("fleet", "join", "127.0.0.1:8000", "a/b", images, "--store", tmp_path / "store")
    assert "cannot be called" in refused(*join)


def test_a_domain_that_is_there_is_not_replaced_by_chance(learned: Path, images: Path) -> None:
    kept = learned / "store" / "colours.safetensors"
    before = kept.read_bytes()
    where = ("--store", learned / "store")
    assert "--restart" in refused("fleet", "serve", "colours", *where)
    join = ("fleet", "join", "127.0.0.1:8000", "colours", images, "--fetch", *where)
    assert "--restart" in refused(*join)
    assert kept.read_bytes() == before


def test_a_server_for_others_needs_to_know_its_devices(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    serve = ("fleet", "serve", "colours", "--store", tmp_path / "store", "--host", "0.0.0.0")
    message = refused(*serve, "--keys", keys)
    assert "0 devices are known" in message and "addapt fleet key" in message
    assert stat.S_IMODE((keys / "server.key").stat().st_mode) == 0o600
    assert (keys / "ca.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_a_key_is_the_devices_alone(tmp_path: Path) -> None:
    made = run_json("fleet", "key", tmp_path / "board.key")
    assert Path(made["public"]).read_text().startswith("ecdsa-sha2-nistp384 ")
    assert stat.S_IMODE(Path(made["key"]).stat().st_mode) == 0o600
    assert "There is a file" in refused("fleet", "key", tmp_path / "board.key")


@pytest.mark.parametrize(
    ("address", "words", "message"),
    [
        ("server", (), "'server': give HOST:PORT"),
        ("server:0", (), "'server:0': give HOST:PORT"),
        ("server:http", (), "'server:http': give HOST:PORT"),
        ("192.0.2.1:8000", (), "Nothing proves that 192.0.2.1:8000 is your server"),
        ("127.0.0.1:8000", ("--personal",), "--personal is about what is fetched: give --fetch"),
        ("192.0.2.1:8000", ("--certificate", "none.crt"), "none.crt"),
        ("127.0.0.1:8000", ("--budget", "much"), "much"),
    ],
)
def test_what_a_device_refuses(
    address: str, words: tuple[str, ...], message: str, images: Path, tmp_path: Path
) -> None:
    join = ("fleet", "join", address, "colours", images, "--store", tmp_path / "store")
    assert message in refused(*join, *words)


def test_a_device_without_images_does_not_join(tmp_path: Path) -> None:
    join = ("fleet", "join", "127.0.0.1:8000", "colours", tmp_path / "none")
    assert "does not exist" in refused(*join, "--store", tmp_path / "store")


def test_a_store_among_the_images_is_refused(images: Path) -> None:
    join = ("fleet", "join", "127.0.0.1:8000", "colours", images, "--store", images / "store")
    assert "lies inside the folder of images" in refused(*join)


def test_without_flower_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    assert "addapt[fleet]" in refused("fleet", "serve", "colours", "--store", tmp_path / "store")
