"""From a domain's name to a learner with the backbone that it needs."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from addapt.domains import DomainInfo
    from addapt.learning import Learner


def open_learner(
    store: Path, domain: str, weights: Path | None, device: str
) -> "tuple[DomainInfo, Learner]":
    """Return what is known about a domain, and a learner with its backbone.

    Raises:
        UnknownNameError: there is no such domain, which is told before torch is loaded.
        WeightsError: the weights are not to be had.
    """
    from addapt.domains import Store

    info = Store(store).info(domain)
    from addapt.engines.torch.backbones import load_backbone
    from addapt.learning import Learner

    return info, Learner(load_backbone(info.backbone, weights, device=device), store)
