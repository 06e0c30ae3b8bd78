"""What the loop is told in tests of it."""

from addapt.images import Augmentation
from addapt.learning.loop import TrainingOptions

OPTIONS = TrainingOptions(
    epochs=3,
    batch=5,
    micro_batch=5,
    lr=1e-2,
    backbone_lr=0.0,
    weight_decay=0.0,
    label_smoothing=0.0,
    patience=3,
    seed=0,
    augmentation=Augmentation(),
)
