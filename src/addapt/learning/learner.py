"""The learner: one frozen backbone, a store of domains, and what one does with them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from addapt._errors import OptionError
from addapt._paths import expanded
from addapt.domains import USUAL_ACCEPTED, DomainInfo, Store
from addapt.engines import Engines
from addapt.engines.base import Engine, Recogniser
from addapt.images import Given
from addapt.learning.answering import evaluate_folder, recognise_each
from addapt.learning.controls import Controls
from addapt.learning.exporting import check_exportable, check_place, export_domain
from addapt.learning.indexing import index_domain
from addapt.learning.job import Asked
from addapt.learning.known_domains import SignatureReader
from addapt.learning.loading import DomainLoader, asked_by
from addapt.learning.recognising import Recognising, Wanted
from addapt.learning.reports import (
    Evaluation,
    ExportReport,
    IndexReport,
    LearnReport,
    Prediction,
    Recognition,
)
from addapt.learning.teaching import teach
from addapt.learning.watched import watch_source
from addapt.watching import Answer, Source, Watching


class Learner:
    """Teaches domains to one frozen backbone and keeps them in a store.

    Args:
        backbone: shared by all domains: the name of one, a network of PyTorch
            (`addapt.load_backbone`), or an engine that has one.
        store: the folder of the domains.
        weights: a file for the backbone that is named, or "random"; by default those of the
            installed package.
        engine: what computes, "onnx" or "torch"; by default the first that can do what is asked.
    """

    def __init__(
        self,
        backbone: Any = "efficientnet_lite0",
        store: str | Path = "domains",
        *,
        weights: str | Path | None = None,
        engine: str | None = None,
    ) -> None:
        self._engines = Engines(backbone, weights, engine)
        self.store = Store(expanded(store))
        self._loaders: dict[str, DomainLoader] = {}
        self._signatures = SignatureReader(self.store)

    @property
    def engine(self) -> Engine:
        """What computes unless something is asked for that it cannot do."""
        return self._engines.first

    def learn(
        self,
        name: str,
        folder: str | Path,
        *,
        restart: bool = False,
        extend: bool = False,
        controls: Controls | None = None,
        **asked: Unpack[Asked],
    ) -> LearnReport:
        """Learn a domain from a folder of class folders and save it in the store.

        Args:
            name: of the domain, and of its file.
            folder: FOLDER/class/*.jpg, or FOLDER/train/class and FOLDER/val/class.
            restart: learn anew although the domain, or an unfinished learning of it, exists.
            extend: go on with the domain, whose method, size of images and gates stay: classes
                that it does not know come behind its own.
            controls: progress, stopping, saving and limits of memory.
            asked: how to learn, such as `epochs=5`; see `Asked`.

        Raises:
            DataError, DomainError, OptionError: what was asked for is not possible.
            LearningStopped: `controls` said so; the same call goes on later.
            BudgetExceeded: the process has taken over a tenth more than the budget; likewise.
            TrainingError: the loss is not finite, or the state cannot be written.
        """
        return teach(
            self._engines,
            self.store,
            name,
            expanded(folder),
            asked,
            controls or Controls(),
            restart=restart,
            extend=extend,
        )

    def load(self, domain: str) -> tuple[DomainInfo, Recogniser]:
        """Return what is known about a domain, and its model; those used last are kept.

        Raises:
            UnknownNameError: there is no such domain.
            DomainError: it is damaged or was learned on another backbone.
            MissingPackageError: PyTorch is needed for it, and not installed.
        """
        _, info, model = self._load(domain)
        return info, model

    def _load(self, domain: str) -> tuple[Engine, DomainInfo, Recogniser]:
        with self.store.open(domain) as file:
            engine = self._engines.able(*asked_by(file.info, file.path))
        if engine.name not in self._loaders:
            self._loaders[engine.name] = DomainLoader(engine, self.store)
        return engine, *self._loaders[engine.name].load(domain)

    def predict(
        self,
        images: Given | Iterable[Given],
        domain: str,
        *,
        top: int = 3,
        gates: bool | None = None,
        on_unreadable: Callable[[str], None] | None = None,
    ) -> list[Prediction]:
        """Recognise images with a domain's model; arguments and errors as of `predict_each`."""
        return list(
            self.predict_each(images, domain, top=top, gates=gates, on_unreadable=on_unreadable)
        )

    def predict_each(
        self,
        images: Given | Iterable[Given],
        domain: str,
        *,
        top: int = 3,
        gates: bool | None = None,
        on_unreadable: Callable[[str], None] | None = None,
    ) -> Iterator[Prediction]:
        """Recognise images with a domain's model, and yield what each is as soon as it is known.

        However many there are, they take no more memory.

        Args:
            images: one or many: paths, images of Pillow, arrays of bytes, (height, width, 3) of RGB
                or (height, width) of grey. Some are taken together, but those of an iterator one
                by one: each is answered before the next is asked for.
            domain: which of the store's.
            top: how many classes to name.
            gates: whether the domain's gates decide; by default if they make it faster here,
                which is tried once, on the first images, and remembered.
            on_unreadable: told about images that cannot be read, which are then left out.

        Raises:
            DataError: an image cannot be read and there is no `on_unreadable`.
            OptionError: gates are asked for, but the domain has none.
            UnknownNameError, DomainError, MissingPackageError: as `load`.
        """
        if top < 1:
            raise OptionError(f"The top {top} classes were asked for: ask for at least 1.")
        loaded = self._load(domain)
        return recognise_each(domain, loaded, images, gates, top, on_unreadable)

    def watch(
        self,
        source: Source,
        domain: str | None = None,
        *,
        accept: float | None = USUAL_ACCEPTED,
        gates: bool | None = None,
        watching: Watching | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Iterator[Answer]:
        """Watch a camera (its number or path), a video or a folder, and yield what is seen.

        Images from an iterator of one's own are watched likewise. `domain`, `accept` and `gates`
        are as of `recognise_each`. `watching` says how; `on_notice` is told that the camera is
        away, what cannot be read, and which domains of the store are not among those to choose.

        Raises:
            DataError: there is no such source.
            OptionError, UnknownNameError, DomainError, MissingPackageError: as `recognise_each`.
        """
        how, tell = watching or Watching(), on_notice or (lambda _: None)
        wanted = Wanted(top=None, accept=accept, gates=gates)
        known = self._signatures.among(domain, self.engine, tell)
        if domain is not None:
            self._load(domain)  # what is wrong with it is told before a camera is opened
        recognising = Recognising(self.engine, known, self._load, wanted)
        return watch_source(recognising, source, how, tell)

    def recognise(
        self,
        images: Given | Iterable[Given],
        domain: str | None = None,
        *,
        on_left_out: Callable[[str], None] = lambda message: None,
        **wanted: Any,
    ) -> list[Recognition]:
        """Find out what images are; arguments and errors as of `recognise_each`."""
        return list(self.recognise_each(images, domain, on_left_out=on_left_out, **wanted))

    def recognise_each(
        self,
        images: Given | Iterable[Given],
        domain: str | None = None,
        *,
        on_left_out: Callable[[str], None] = lambda message: None,
        **wanted: Any,
    ) -> Iterator[Recognition]:
        """Find out which domain each image is of, if any, and what it shows, as soon as is known.

        Args:
            images: as of `predict_each`.
            domain: the only one that it may be of; by default any of the store's.
            on_left_out: told why a domain of the store is not among those that it may be of.
            wanted: `top`, `gates` and `on_unreadable` as of `predict_each`; and `accept`, the share
                of a domain's own images that is to be accepted, 0.95 by default, and None to
                refuse no image.

        Raises:
            DataError: an image cannot be read and there is no `on_unreadable`.
            OptionError: gates are asked for, but the domain has none, or `accept` is no such share.
            UnknownNameError, DomainError, MissingPackageError: as `load`; or there is no domain
                that can be chosen.
        """
        asked = Wanted(**wanted)
        known = self._signatures.among(domain, self.engine, on_left_out)
        return Recognising(self.engine, known, self._load, asked).recognise(images)

    def evaluate(
        self,
        domain: str,
        folder: str | Path,
        *,
        gates: bool | None = None,
        controls: Controls | None = None,
    ) -> Evaluation:
        """Measure a domain's accuracy on a folder of class folders; `gates` as in `predict`.

        Raises:
            DataError: the folder cannot be used, or has classes the domain does not know.
            OptionError: gates are asked for, but the domain has none.
            UnknownNameError, DomainError, MissingPackageError: as `load`.
        """
        loaded, known = self._load(domain), self._signatures.domain(domain)
        return evaluate_folder(known, loaded, expanded(folder), gates, controls or Controls())

    def index(
        self, domain: str, folder: str | Path, *, controls: Controls | None = None
    ) -> IndexReport:
        """Give a domain a signature, so that `recognise` finds it; nothing else of it changes.

        Domains that are learned get theirs then. This is for files of older versions.

        Args:
            domain: which of the store's.
            folder: the images that it was learned from, as `learn` takes them.
            controls: progress and limits of memory.

        Raises:
            DataError: the folder cannot be used, or has other classes than the domain.
            UnknownNameError, DomainError, MissingPackageError: as `load`, or a learning of the
                domain is unfinished.
        """
        loaded = self._load(domain)
        return index_domain(self.store, domain, loaded, expanded(folder), controls or Controls())

    def export(self, domain: str, path: str | Path, *, overwrite: bool = False) -> ExportReport:
        """Write a domain as one model for any ONNX runtime; docs/EXPORT.md shows how to run it.

        The file holds backbone, adaptor and head. It maps `images`, bytes (n, px, px, 3) of RGB, to
        `probabilities` (n, classes) and, if the domain has a signature, to `distance` (n,), above 1
        for foreign images; its metadata say which classes and which size. It is
        compared with the domain before it is put in place.

        Args:
            domain: which of the store's; with gates of resolution it is exported at their size.
            path: the file to write, which ends in .onnx.
            overwrite: replace a file that is there.

        Raises:
            OptionError: the file may not be written, or the engine cannot export this domain.
            DomainError: the disk refused, or the file computes something else than the domain.
            UnknownNameError, DomainError, MissingPackageError: as `load`; or what PyTorch needs to
                export is not installed.
        """
        path = expanded(path)
        check_place(path, overwrite=overwrite)
        check_exportable(domain, self.store.info(domain))
        _, model = self.load(domain)
        return export_domain(self._signatures.domain(domain), model, path, overwrite=overwrite)
