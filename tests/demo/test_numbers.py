"""The demo as it is shipped reaches the numbers that are published. Takes minutes."""

import importlib.metadata
import json
from pathlib import Path

import pytest
import torch

from addapt.demo.images import SOURCES
from addapt.demo.run import run_demo
from addapt.engines import open_engine

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "results" / "demo.json"
NOISE = 0.02  # other thread counts and machines round otherwise, which moves accuracies


@pytest.mark.slow
def test_demo_reaches_its_numbers(tmp_path: Path) -> None:
    for source in SOURCES:
        try:
            importlib.metadata.distribution(source.package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{source.package} is not installed; make demo installs it")
    torch.set_num_threads(2)
    engine = open_engine("efficientnet_lite0")
    domains = run_demo(engine, tmp_path, tmp_path / "domains")
    published = {row["name"]: row for row in json.loads(PUBLISHED.read_text())["domains"]}
    assert [domain.source.name for domain in domains] == list(published)
    for domain in domains:
        wanted = published[domain.source.name]
        assert domain.changed_logits == 0
        assert domain.da3_accuracy == pytest.approx(wanted["da3_accuracy"], abs=NOISE)
        assert domain.head_accuracy == pytest.approx(wanted["head_accuracy"], abs=NOISE)
        assert domain.report.file_bytes == pytest.approx(wanted["file_bytes"], rel=0.01)
