"""The demo as it is shipped reaches the numbers that the README promises. Takes minutes."""

import importlib.metadata
from pathlib import Path

import pytest
import torch

from addapt.demo.images import SOURCES
from addapt.demo.run import run_demo
from addapt.engines.torch.backbones import load_backbone

WANTED = {"digits": 0.96, "silhouettes": 0.95, "faces": 0.97, "solar-cells": 0.85}


@pytest.mark.slow
def test_demo_reaches_its_numbers(tmp_path: Path) -> None:
    for source in SOURCES:
        try:
            importlib.metadata.distribution(source.package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{source.package} is not installed; make demo installs it")
    torch.set_num_threads(2)
    domains = run_demo(load_backbone("efficientnet_lite0"), tmp_path, tmp_path / "domains")
    backbone_bytes = 4 * 3_371_008
    gains = []
    for domain in domains:
        assert domain.changed_logits == 0
        assert domain.da3_accuracy >= WANTED[domain.source.name]
        assert domain.report.file_bytes <= 0.12 * backbone_bytes
        if domain.head_accuracy < 0.98:
            assert domain.da3_accuracy > domain.head_accuracy
        gains.append(domain.da3_accuracy - domain.head_accuracy)
    assert sum(gains) / len(gains) >= 0.04
