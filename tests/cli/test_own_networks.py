"""Commands on networks of timm, and on domains learned with a network made in Python."""

from pathlib import Path

import pytest

from addapt import Backbone, Learner
from addapt.domains import Store
from tests.cli.conftest import QUICK_HEAD, refused, run, run_json, said
from tests.conftest import MakeFolder
from tests.engines.torch.backbones.library_timm import NAME, PX, stand_in
from tests.engines.torch.backbones.test_backbone_of import IMAGE, MobileNet, build


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


@pytest.fixture
def own(tmp_path: Path, make_folder: MakeFolder) -> tuple[Path, Path]:
    """Return a store with a domain that was learned with a network made in Python, and images."""
    learner = Learner(Backbone.of(build(MobileNet), IMAGE), tmp_path / "store")
    images = make_folder()
    learner.learn("mine", images, method="head", image_px=PX, epochs=1)
    return tmp_path / "store", images


def test_a_network_made_in_python_is_told(own: tuple[Path, Path], tmp_path: Path) -> None:
    store, images = own
    image, place = images / "red" / "0.png", ("--store", store)
    for words in (
        ("predict", image, "--domain", "mine"),
        ("predict", image),
        ("eval", "mine", images),
        ("index", "mine", images),
        ("export", "mine", tmp_path / "mine.onnx"),
        ("learn", "mine", images, "--extend"),
    ):
        message = refused(*words, *place)
        assert "'mine' was learned on 'MobileNet', a network made in Python" in message, words
        assert "addapt.Backbone.of(network, name='MobileNet')" in message
    found = run_json("check", "--load", *place)["findings"]
    assert [row["verdict"] for row in found] == ["good"]


def test_others_of_its_store_are_still_asked(
    own: tuple[Path, Path], learned: Path, tmp_path: Path
) -> None:
    store, images = own
    for name in ("mine2", "mine3"):
        Store(store).path(name).write_bytes(Store(store).path("mine").read_bytes())
    Store(store).path("colours").write_bytes(Store(learned / "store").path("colours").read_bytes())
    result = run("predict", images / "red" / "0.png", "--store", store, "--threads", "1")
    assert result.exit_code == 0, result.stderr
    assert "'mine' was learned on MobileNet, not on efficientnet_lite0" in result.stderr


@pytest.mark.usefixtures("timm")
def test_domains_of_timm_are_made_by_check(tmp_path: Path, make_folder: MakeFolder) -> None:
    place = ("--store", tmp_path / "store")
    said("learn", "colours", make_folder(), "--backbone", NAME, *QUICK_HEAD, *place)
    (looked,) = run_json("check", *place)["findings"]
    assert "whether it fits that one was not checked (it is with --load)" in looked["remark"]
    (loaded,) = run_json("check", "--load", *place)["findings"]
    assert loaded["verdict"] == "good"
    assert loaded["remark"].startswith(f"It was learned on weights of {NAME} (")


@pytest.mark.usefixtures("timm")
def test_audit_takes_images_as_the_network_does() -> None:
    assert run_json("audit", "--backbone", NAME)["image_px"] == PX
