"""Which images a domain was checked on, noted in its file: nothing else it may not have seen.

Who goes on with the domain, with the same images and more, holds those out again.
"""

import binascii
from base64 import b64decode, b64encode

import numpy as np
import numpy.typing as npt

from addapt.domains import DomainInfo
from addapt.domains.info import HELD_OUT
from addapt.images import ImageSet

LIMIT = 5_000  # images; a file's header has room for their checksums

Checksums = npt.NDArray[np.uint32]


def held_out_text(checksums: Checksums, before: Checksums | None) -> str:
    """Write the checksums of images held out now, and of those before, for a domain's file."""
    known = checksums if before is None else np.union1d(checksums, before)
    chosen = np.unique(known)[:LIMIT]  # the smallest are as good as any
    return b64encode(chosen.astype("<u4").tobytes()).decode()


def held_out_before(info: DomainInfo) -> Checksums | None:
    """Return the checksums in a domain's file; None where it does not know them."""
    text = info.options.get(HELD_OUT)
    try:
        return np.frombuffer(b64decode(text, validate=True), "<u4") if text else None
    except (TypeError, ValueError, binascii.Error):
        return None


def hold_out_again(
    images: ImageSet, in_val: npt.NDArray[np.bool_], before: Checksums
) -> npt.NDArray[np.bool_]:
    """Choose the images to check on of a domain that has learned from others before.

    A class with images that were held out before has these and no others: it cannot be known
    which of the others are new. The other classes stay as they are in `in_val`.
    """
    again = np.isin(images.checksums, before)
    chosen = in_val.copy()
    for label in np.unique(images.labels[again]):
        of_class = images.labels == label
        if not again[of_class].all():  # something has to be left to learn from
            chosen[of_class] = again[of_class]
    return chosen
