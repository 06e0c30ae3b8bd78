"""What messages of a fleet hold, by name."""

import math
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import SType
from numpy.lib import format as npy

from addapt._text import printable
from addapt.engines.base import State

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
PLAN, OFFER, ROUND, REFUSAL, DEVICE = "plan", "offer", "round", "refusal", "device"
IMAGES, JUDGED, CORRECT = "images", "judged", "correct"
PULL = "proximal-mu"  # as Flower's FedProx calls it
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
LONGEST_REFUSAL, LONGEST_NAME = 500, 60  # characters


def record_of(state: Mapping[str, npt.NDArray[Any]]) -> ArrayRecord:
    """Pack arrays."""
    return ArrayRecord({name: Array(array) for name, array in state.items()})


def arrays_of(record: ArrayRecord) -> State:
    """Unpack arrays, after a look at whether they are as large as they say.

    Raises:
        ValueError: they are not, or no arrays of numbers.
    """
    return {name: _unpacked(array) for name, array in record.items()}


def _unpacked(array: Array) -> npt.NDArray[Any]:
    if array.stype != SType.NUMPY:
        raise ValueError(f"an array of the kind {array.stype!r:.40}")
    stream = BytesIO(array.data)
    read_header = HEADERS.get(npy.read_magic(stream))
    if read_header is None:
        raise ValueError("an array of an unknown version")
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(array.data) - stream.tell():
        raise ValueError("an array that is not as large as it says")
    return array.numpy()


def refusal(why: str) -> RecordDict:
    """Say in a reply why a device does not do what it is asked."""
    return RecordDict({REFUSAL: ConfigRecord({REFUSAL: why[:LONGEST_REFUSAL]})})


def refusal_of(content: RecordDict) -> str:
    """Return why a device does not do what it was asked; "" if it does."""
    said = content.config_records.get(REFUSAL)
    if said is None:
        return ""
    return printable(str(said.get(REFUSAL, "it does not say why"))[:LONGEST_REFUSAL])


def put_name(content: RecordDict, name: str) -> None:
    """Put a device's name under what it says."""
    content[DEVICE] = ConfigRecord({DEVICE: name})


def name_of(reply: Message) -> str:
    """Return what the device of a reply calls itself; "" if it does not say."""
    if reply.has_error():
        return ""
    said = reply.content.config_records.get(DEVICE) or ConfigRecord()
    return printable(str(said.get(DEVICE, ""))[:LONGEST_NAME])


def judged_of(content: RecordDict, most: int) -> tuple[int, int]:
    """Return how many images a device held out, and how many it recognised; 0 if it talks nonsense.

    `most` images are believed.
    """
    said = content.metric_records.get(METRICS) or MetricRecord()
    images, correct = said.get(JUDGED), said.get(CORRECT)
    if type(images) is int and type(correct) is int and 0 <= correct <= images <= most:
        return images, correct
    return 0, 0
