"""Going on with a domain: what it decides for the new one, and where that starts.

The file that learning starts from lies beside the unfinished run until that is over, so that a run
which was killed goes on with the same one, whatever has become of the domain.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from addapt._disk import disk_reason, file_sha256, make_folder, write_atomically
from addapt._errors import DataError, DomainError, OptionError, TrainingError
from addapt.domains import DomainInfo, Store, check_backbone, open_domain, read_info
from addapt.domains.info import EXTENDED, TEMPERATURES
from addapt.engines.base import Engine, Model, State
from addapt.gates import GateConfig, ungated_px
from addapt.images import ImageFolder
from addapt.learning.balance import HEAD_BIAS
from addapt.learning.calibration import with_temperature
from addapt.learning.checkpoint import is_unfinished
from addapt.learning.held_out import held_out_before
from addapt.learning.loading import asked_by, read_models
from addapt.methods import Method, build_method

if TYPE_CHECKING:
    from addapt.learning.job import Asked

START_FILE = "start.safetensors"
SHARE_OF_PASSES = 1 / 2
KEPT = np.float32(0.6)  # of the way from a new model to the one that was learned
NAMED_CLASSES = 5  # in a message


@dataclass(frozen=True)
class Start:
    """A learned domain from which another version of it is to be learned.

    `path` is its file, as it was when that began.
    """

    name: str
    path: Path
    sha256: str
    info: DomainInfo

    @classmethod
    def of(cls, name: str, path: Path) -> "Start":
        """Take note of the file as it is now.

        Raises:
            DomainError: it cannot be read.
        """
        return cls(name, path, _sha256(path), read_info(path))

    def asked(self, asked: "Asked") -> "Asked":
        """Return what is asked, with all that the domain decides or was learned with.

        Raises:
            OptionError: the user asks for something else.
            DomainError: the file says what makes no sense.
        """
        method, gates = asked_by(self.info, self.path)
        px = ungated_px(self.info)
        self._compare("image_px", asked.get("image_px"), px)
        self._compare("gates", asked.get("gates"), gates)
        options = self.info.options
        varied = options.get("augmentation")
        was_flipped = isinstance(varied, dict) and varied.get("flip") is True
        return {
            **asked,
            "method": self._method(asked.get("method") or method),
            "image_px": px,
            "gates": gates,
            "batch": asked.get("batch") or _recalled(options.get("batch"), int),
            "lr": asked.get("lr") or _recalled(options.get("lr"), float),
            "flip": asked.get("flip", False) or was_flipped,
        }

    def _method(self, wanted: Method | str) -> Method:
        """Return the domain's method; what is wanted of it must be the same."""
        name, own = self.info.method, self.info.hyperparameters
        if isinstance(wanted, str):
            self._compare("method", wanted, name)
            return build_method(name, own)
        self._compare("method", wanted.name, name)
        for key, value in dataclasses.asdict(wanted).items():
            if value is not None:  # else it depends on the backbone
                self._compare(key, value, own.get(key, value))
        return replace(wanted, **own)  # with the recipe of the one that is given

    def _compare(self, what: str, wanted: object, own: object) -> None:
        if wanted is not None and wanted != own:
            raise OptionError(
                f"`{what}` is {_words(wanted)}, but the domain {self.name!r}, which is to be "
                f"extended, was learned with {_words(own)}: leave `{what}` out, or learn the "
                "domain anew with `restart=True` and without `extend`."
            )

    def require_backbone(self, engine: Engine) -> None:
        """Raise a DomainError if the domain was learned on another backbone."""
        own = engine.backbone
        check_backbone(self.info, own.name, own.weights_sha256, Path(self.name))

    def require_unchanged(self) -> None:
        """Raise a DomainError if the file has been replaced meanwhile."""
        if _sha256(self.path) != self.sha256:
            raise DomainError(
                f"The domain {self.name!r} was replaced by another program just now: give the same "
                "command again to extend the new one."
            )

    def label(self, contents: ImageFolder) -> ImageFolder:
        """Label a folder's images by the domain's classes, behind which new ones come.

        So the numbers of the old ones, which programs may know, stay.

        Raises:
            DataError: there is no image of a class that it knows.
        """
        known, found = self.info.classes, set(contents.classes)
        if lost := [label for label in known if label not in found]:
            named = ", ".join(map(repr, lost[:NAMED_CLASSES]))
            more = f" and {len(lost) - NAMED_CLASSES} more" if lost[NAMED_CLASSES:] else ""
            raise DataError(
                f"The folder {contents.root} has no image of {named}{more}, which the domain "
                f"{self.name!r} knows and would forget. Put some images of each class into it, or "
                "learn what is there as a domain of another name."
            )
        new = [label for label in contents.classes if label not in set(known)]
        classes = (*known, *new)
        place_of = {label: place for place, label in enumerate(classes)}
        places = np.array([place_of[label] for label in contents.classes], np.int64)
        return replace(contents, classes=classes, samples=contents.samples.relabelled(places))

    def warnings(self, *, own_val: bool) -> tuple[str, ...]:
        """Say what the accuracy will not tell."""
        if own_val or held_out_before(self.info) is not None:
            return ()
        return (
            f"It is not known which images were held out when {self.name!r} was learned: some of "
            "those held out now may have been learned from, and then the accuracy is too good. "
            "Give the folder a val of other images.",
        )

    def state(self, engine: Engine, model: Model, look: int = 0) -> State:
        """Return the state in which `model`, new and of as many classes as are there now, starts.

        Of a domain with two looks, 0 is that in full, 1 the first one.

        It lies between what was learned and the new model: who starts from what fits old images
        perfectly never learns from new ones as well as who starts anew.

        *Source:* Ash and Adams, "On Warm-Starting Neural Network Training", NeurIPS 2020 (shrink,
        perturb), here towards first values, and without the head's bias.

        Raises:
            DomainError: the file is damaged, or its method makes more than the head depend on the
                number of classes.
        """
        with open_domain(self.path) as file:
            learned = read_models(file, engine)[look].state()
        # As it was learned, before its probabilities were calibrated.
        temperature = self.info.val_report.get(TEMPERATURES[look], 1)
        learned = with_temperature(learned, 1 / temperature)
        new = model.state()
        state = grown(learned, new, len(self.info.classes))
        for name in model.trained:
            state[name] = (new[name] + KEPT * (state[name] - new[name])).astype(new[name].dtype)
        # What rare classes were lifted by is in it, and they may be frequent now.
        state[HEAD_BIAS] = new[HEAD_BIAS]
        return state

    def keep(self, folder: Path) -> None:
        """Put a copy of the file beside the state of the run in `folder`.

        Raises:
            TrainingError: the disk refused.
        """
        kept = folder / START_FILE
        if kept == self.path:
            return
        try:
            make_folder(folder)
            write_atomically(kept, self.path.read_bytes())
        except OSError as error:
            raise TrainingError(
                f"The domain to start from could not be kept in {kept} because {disk_reason(error)}"
            ) from error

    def described(self) -> list[dict[str, Any]]:
        """Return what a domain's file says about those that it went on from, the last one last."""
        before = self.info.options.get(EXTENDED)
        return [
            *(before if isinstance(before, list) else []),
            {
                "sha256": self.sha256,
                "date": self.info.date,
                "classes": len(self.info.classes),
                "train_images": self.info.train_images,
                "val_images": self.info.val_images,
                "val_accuracy": self.info.val_accuracy,
                "epochs": self.info.epochs,
            },
        ]


def find_start(store: Store, name: str, *, restart: bool) -> Start:
    """Return the domain to go on with, or that from which an unfinished extension has started.

    Args:
        store: the domains.
        name: which of them.
        restart: give an unfinished learning up.

    Raises:
        UnknownNameError: there is no such domain.
        OptionError: there is nothing to give up.
        DomainError: it cannot be read, or is another one than that which was begun with.
    """
    folder = store.state_path(name)
    unfinished = is_unfinished(folder)
    if restart and not unfinished:
        raise OptionError(
            f"`extend` goes on with the domain {name!r}, and `restart` learns it anew: give one of "
            "them."
        )
    kept = folder / START_FILE
    if not unfinished or restart or not kept.exists():
        path = store.require(name)
        return Start.of(name, path)
    start = Start.of(name, kept)
    if store.exists(name):
        # It may be the outcome already, where the program was killed just before the run's end.
        is_outcome = _started_from(store.info(name)) == start.sha256
        if not is_outcome and _sha256(store.path(name)) != start.sha256:
            raise DomainError(
                f"The domain {name!r} has been replaced since its extension began. Give "
                "`restart=True`, too, to extend the one that is there now."
            )
    return start


def grown(
    learned: Mapping[str, npt.NDArray[Any]], new: Mapping[str, npt.NDArray[Any]], classes: int
) -> State:
    """Return a state of the form of `new` with the values that were learned, of so many classes.

    New rows are as in a new domain, zero: that is the mean of the others, as the gradients of a
    softmax add up to zero.

    Raises:
        DomainError: an array differs in more than its rows.
    """
    state: State = {}
    for name, array in new.items():
        rows = learned.get(name)
        if rows is not None and rows.shape == array.shape:
            state[name] = rows
        elif rows is not None and rows.shape == (classes, *array.shape[1:]):
            state[name] = np.concatenate((rows, array[classes:]))
        else:
            raise DomainError(
                f"The domain cannot be extended: its method makes the tensor {name!r} depend on "
                "the number of classes otherwise than by its rows. Learn a domain anew."
            )
    return state


def _started_from(info: DomainInfo) -> object:
    before = info.options.get(EXTENDED)
    last = before[-1] if isinstance(before, list) and before else None
    return last.get("sha256") if isinstance(last, dict) else None


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise DomainError(f"{path} could not be read because {disk_reason(error)}") from error


def _recalled(value: object, kind: type) -> Any:
    """Return an option as a file has it, if it is of its type and above zero."""
    return value if type(value) is kind and cast(float, value) > 0 else None


def _words(value: object) -> str:
    if isinstance(value, GateConfig):
        words = f"{value.words} and {value.compute:.0%} of the compute"
        return words if value.lose is None else f"{words}, {value.lose:g} points to lose"
    return "none" if value is None else repr(value)
