"""The learner: one frozen backbone, a store of domains, and what one does with them."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from addapt._errors import OptionError
from addapt._paths import expanded
from addapt.domains import DomainInfo, Store, temporary_prefix, writing
from addapt.domains.info import EXTENDED
from addapt.engines import Engines
from addapt.engines.base import Engine, Recogniser
from addapt.images import Given, ScratchFile
from addapt.learning.answering import evaluate_folder, recognise_each, watch_source
from addapt.learning.budget import allot
from addapt.learning.checkpoint import largest_run_bytes
from addapt.learning.controls import Controls
from addapt.learning.description import date, score_warnings
from addapt.learning.evaluation import EVALUATION_BATCH
from addapt.learning.exporting import check_exportable, check_place, export_domain
from addapt.learning.extending import find_start
from addapt.learning.job import VAL_FRACTION, Asked, Job, asked_method, check_asked, method_for
from addapt.learning.lesson import find_images, prepare_lesson
from addapt.learning.loading import DomainLoader, asked_by
from addapt.learning.place import refuse_place
from addapt.learning.reports import Evaluation, ExportReport, LearnReport, Prediction
from addapt.learning.run import Run
from addapt.memory import lean_allocator, process_peak_bytes
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
        started = time.perf_counter()
        controls, folder = controls or Controls(), expanded(folder)
        # Options are checked before any image is read.
        start = find_start(self.store, name, restart=restart) if extend else None
        if start is not None:
            asked = start.asked(asked)
        engine = self._engines.able(asked_method(asked), asked.get("gates"))
        method = method_for(asked, engine)
        check_asked(asked, method)
        date()
        if start is not None:
            start.require_backbone(engine)
        refuse_place(self.store, name, folder, over=restart or extend)
        # Without a budget freed memory is kept for the next step, unless the engine does that: to
        # get it anew from the system each time costs a third of the time.
        budgeted = controls.budget_bytes is not None
        with lean_allocator() if budgeted or engine.keeps_memory else nullcontext():
            found = find_images(
                folder,
                engine,
                image_px=asked.get("image_px"),
                val_fraction=asked.get("val_fraction", VAL_FRACTION),
                gates=asked.get("gates"),
                start=start,
            )
            unfinished = None if restart else self.store.state_path(name)
            allotment = allot(engine, method, asked, found, controls, unfinished)
            controls = replace(controls, cache_bytes=allotment.cache_bytes)
            with writing(self.store.folder, name):
                # Another program may have been quicker.
                refuse_place(self.store, name, folder, over=restart or extend)
                if start is not None:
                    start.require_unchanged()
                aside = ScratchFile(
                    self.store.folder, temporary_prefix(name), largest_run_bytes(engine)
                )
                lesson = prepare_lesson(found, engine, asked.get("seed", 0), controls, aside)
                job = Job.of(asked, method, lesson, allotment.micro_batch)
                # Evaluation keeps nothing, but takes whole maps of all blocks.
                at_once = engine.at_once(lesson.image_px, EVALUATION_BATCH)
                evaluation_batch = 1 if budgeted else at_once
                run = Run(name, self.store, engine, job, lesson, evaluation_batch)
                state = run.learn(controls, restart=restart)
        path = self.store.path(name)
        info = self.store.info(name)
        return LearnReport(
            name=name,
            method=method.name,
            engine=engine.name,
            classes=lesson.classes,
            train_images=len(lesson.train),
            val_images=len(lesson.val),
            val_accuracy=info.val_accuracy,
            val_report=info.val_report,
            balance=job.balance,
            gates=info.gates,
            value_range=info.value_range,
            epochs=len(state.history),
            best_epoch=state.best_epoch,
            image_px=lesson.image_px,
            flip=job.augmentation.flip,
            file=path,
            file_bytes=path.stat().st_size,
            learn_s=time.perf_counter() - started,
            unreadable=lesson.unreadable,
            copies=lesson.copies,
            micro_batch=job.micro_batch,
            budget_bytes=controls.budget_bytes,
            process_peak_bytes=process_peak_bytes() if budgeted else None,
            warnings=(
                *found.contents.warnings,
                *lesson.warnings,
                *score_warnings(lesson, job.balance),
            ),
            extended=info.options[EXTENDED][-1] if extend else {},
            passed_over=dict(found.contents.passed_over.counts),
            left_alone=found.contents.left_alone,
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
        domain: str,
        *,
        gates: bool | None = None,
        watching: Watching | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Iterator[Answer]:
        """Watch a camera (its number or path), a video or a folder, and yield what is seen.

        Images from an iterator of one's own are watched likewise. `watching` says how; `on_notice`
        is told that the camera is away, and what cannot be read.

        Raises:
            DataError: there is no such source.
            OptionError, UnknownNameError, DomainError, MissingPackageError: as `predict_each`.
        """
        how, tell = watching or Watching(), on_notice or (lambda _: None)
        return watch_source(domain, self._load(domain), source, gates, how, tell)

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
        loaded = self._load(domain)
        return evaluate_folder(domain, loaded, expanded(folder), gates, controls or Controls())

    def export(self, domain: str, path: str | Path, *, overwrite: bool = False) -> ExportReport:
        """Write a domain as one model for any ONNX runtime; docs/EXPORT.md shows how to run it.

        The file holds backbone, adaptor and head. It maps `images`, bytes (n, px, px, 3) of RGB, to
        `probabilities` (n, classes); its metadata say which classes and which size. It is
        compared with the domain before it is put in place.

        Args:
            domain: which of the store's; with gates of resolution it is exported at their size.
            path: the file to write, which ends in .onnx.
            overwrite: replace a file that is there.

        Raises:
            OptionError: the file may not be written, or the engine cannot export this domain.
            DomainError: the disk refused, or the file computes something else than the domain.
            UnknownNameError, DomainError: as `load`.
        """
        path = expanded(path)
        check_place(path, overwrite=overwrite)
        check_exportable(self.engine, domain, self.store.info(domain))
        info, model = self.load(domain)
        return export_domain(domain, info, model, path, overwrite=overwrite)
