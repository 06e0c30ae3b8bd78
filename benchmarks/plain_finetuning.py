"""Fine-tune a whole network as one would write it in PyTorch, without addapt's learning.

    python benchmarks/plain_finetuning.py FOLDER [--batch 8] [--threads 2]

One pass over class folders: each batch is read, its loss goes backward through the whole network,
AdamW makes a step. What costs memory beside that is left out, in its favour: images are read batch
by batch, nothing is validated or saved, and the optimiser is addapt's, since making PyTorch's
imports its compiler (72 MB). Prints one JSON object, with the peak of this very process.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from trial import BACKBONE

from addapt.engines.torch.adamw import AdamW, ParameterGroup
from addapt.engines.torch.arrays import backbone_input
from addapt.engines.torch.backbones import load_backbone
from addapt.engines.torch.bench.eager import attach_eager
from addapt.memory import process_peak_bytes

LR = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--image-px", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    steps = finetune(options.folder, options.backbone, options.batch, options.image_px)
    told = {"process_bytes": process_peak_bytes(), "step_s": round(statistics.median(steps), 4)}
    print(json.dumps(told))


def finetune(folder: Path, name: str, batch: int, px: int) -> list[float]:
    """Make a pass over the images in `folder`; return the seconds of each step."""
    torch.manual_seed(0)
    paths = sorted(folder.glob("*/*"))
    classes = sorted({path.parent for path in paths})
    random.Random(0).shuffle(paths)
    model = attach_eager(load_backbone(name, plain=True), "finetune", len(classes))
    optimiser = AdamW([ParameterGroup(list(model.domain_parameters()), LR)])
    model.train()
    seconds = []
    for start in range(0, len(paths) - batch + 1, batch):
        started = time.perf_counter()
        part = paths[start : start + batch]
        images = np.stack([read(path, px) for path in part])
        labels = torch.tensor([classes.index(path.parent) for path in part])
        optimiser.zero_grad()
        loss = F.cross_entropy(model(backbone_input(model.backbone, images)), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seconds.append(time.perf_counter() - started)
    return seconds


def read(path: Path, px: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((px, px)))


if __name__ == "__main__":
    main()
