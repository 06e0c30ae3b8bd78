"""The learner: one frozen backbone, a store of domains, and what one does with them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from addapt._errors import DomainError, OptionError
from addapt.domains import DomainInfo, Store, writing
from addapt.engines.torch.backbones import Backbone, load_backbone, weights_sha256
from addapt.engines.torch.gates import Gates
from addapt.engines.torch.methods import AdaptedModel, Method, attach, build_method, check_gate_unit
from addapt.images import Sample, scan_classes
from addapt.learning.answering import GateDecisions, evaluate_samples, recognise
from addapt.learning.budget import check_budget, keep_to_budget
from addapt.learning.description import date
from addapt.learning.gating import gates_fields
from addapt.learning.loading import DomainLoader
from addapt.learning.loop import EVALUATION_BATCH
from addapt.learning.prepare import find_images, prepare_lesson, refuse_store_inside
from addapt.learning.progress import OnProgress
from addapt.learning.reports import Evaluation, LearnReport, Prediction
from addapt.learning.run import run, training_options
from addapt.learning.run_file import is_unfinished, unfinished_micro_batch
from addapt.learning.saving import SAVE_EVERY_S, check_interval
from addapt.memory import configure_allocator, process_peak_bytes

VAL_FRACTION = 0.1
CACHE_BYTES = 1_000_000_000


class Learner:
    """Teaches domains to one frozen backbone and keeps them in a store.

    Args:
        backbone: shared by all domains, or the name of one.
        store: the folder of the domains.
    """

    def __init__(
        self, backbone: Backbone | str = "efficientnet_lite0", store: str | Path = "domains"
    ) -> None:
        self.backbone = load_backbone(backbone) if isinstance(backbone, str) else backbone
        if not self.backbone.info.weights_sha256:  # one that was not made by `load_backbone`
            sha256 = weights_sha256(self.backbone)
            self.backbone.info = replace(self.backbone.info, weights_sha256=sha256)
        self.store = Store(store)
        self._loader = DomainLoader(self.backbone)
        self._decisions = GateDecisions()

    def learn(
        self,
        name: str,
        folder: str | Path,
        *,
        method: Method | str = "da3",
        epochs: int | None = None,
        image_px: int | None = None,
        batch: int | None = None,
        micro_batch: int | None = None,
        lr: float | None = None,
        seed: int = 0,
        val_fraction: float = VAL_FRACTION,
        flip: bool = False,
        gates: Gates | None = None,
        restart: bool = False,
        cache_bytes: int = CACHE_BYTES,
        budget_bytes: int | None = None,
        save_every_s: float = SAVE_EVERY_S,
        on_progress: OnProgress = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> LearnReport:
        """Learn a domain from a folder of class folders and save it in the store.

        Args:
            name: of the domain, and of its file.
            folder: FOLDER/class/*.jpg, or FOLDER/train/class and FOLDER/val/class.
            method: how to adapt.
            epochs: passes over the images; as the method recommends unless given.
            batch: images a step, likewise.
            micro_batch: images in memory at once; their gradients add up to the batch's. Unless
                given the whole batch, or, with a budget, as the method recommends, or fewer.
            lr: peak learning rate, as the method recommends unless given.
            image_px: side of the images; by default the backbone's native one, or smaller
                when the images themselves are.
            seed: decides everything random.
            val_fraction: share held out for validation when FOLDER has no val.
            flip: mirror half of the images in training; it harms digits, letters and the like.
            gates: what predicting may leave out, to be faster; see `addapt.Gates`.
            restart: learn anew although the domain, or an unfinished learning of it, exists.
            cache_bytes: limit of the memory for decoded images.
            budget_bytes: for the whole process, which is kept to or refused before any image is
                decoded. It slows learning by what it takes to give freed memory back.
            save_every_s: seconds of work that may be lost when the power goes.
            on_progress: told how far the work is.
            should_stop: asked after every step, and between images of validation.

        Raises:
            DataError, DomainError, OptionError: what was asked for is not possible.
            LearningStopped: `should_stop` said so; the same call goes on later.
            BudgetExceeded: the process has taken over a tenth more than the budget; likewise.
            TrainingError: the loss is not finite, or the state cannot be written.
        """
        started = time.perf_counter()
        if isinstance(method, str):
            method = build_method(method)
        method = method.for_backbone(self.backbone)
        # Options are checked before any image is read.
        check_interval(save_every_s)
        check_gate_unit(method, gates)
        date()
        options_for = partial(
            training_options,
            method,
            epochs=epochs,
            batch=batch,
            lr=lr,
            seed=seed,
            flip=flip,
        )
        asked = micro_batch is not None
        if budget_bytes is not None and not asked:
            micro_batch = method.recipe.micro_batch  # without a budget the whole batch is quicker
        options = options_for(train_images=1, micro_batch=micro_batch)
        self._refuse_place(name, Path(folder), restart)
        if budget_bytes is not None:
            check_budget(budget_bytes, self.backbone, method)
            # Without a budget freed memory is kept for the next step: to get it anew from the
            # system each time costs a third of the time.
            configure_allocator()
        found = find_images(
            Path(folder),
            self.backbone,
            image_px=image_px,
            val_fraction=val_fraction,
            gates=gates,
        )
        evaluation_batch = EVALUATION_BATCH
        state_path = self.store.state_path(name)
        if budget_bytes is not None:
            allotment = keep_to_budget(
                budget_bytes,
                self.backbone,
                method,
                found,
                batch=options.batch,
                micro_batch=options.micro_batch,
                asked=asked,
                preferred=None if restart else unfinished_micro_batch(state_path),
                cache_bytes=cache_bytes,
            )
            # Evaluation keeps nothing, but takes whole maps of all blocks: one image at a time.
            micro_batch, evaluation_batch = allotment.micro_batch, 1
            cache_bytes = allotment.cache_bytes
        with writing(self.store.folder, name):
            self._refuse_place(name, Path(folder), restart)  # another program may have been quicker
            lesson = prepare_lesson(
                found,
                self.backbone,
                val_fraction=val_fraction,
                seed=seed,
                cache_bytes=cache_bytes,
                on_progress=on_progress,
            )
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                model = attach(self.backbone, method, len(lesson.classes), gates)
            options = options_for(train_images=len(lesson.train), micro_batch=micro_batch)
            state, gate_report = run(
                name,
                self.store,
                model,
                method,
                lesson,
                options,
                gates,
                restart=restart,
                evaluation_batch=evaluation_batch,
                save_every_s=save_every_s,
                budget_bytes=budget_bytes,
                on_progress=on_progress,
                should_stop=should_stop,
            )
        path = self.store.path(name)
        return LearnReport(
            name=name,
            method=method.name,
            classes=lesson.classes,
            train_images=len(lesson.train),
            val_images=len(lesson.val),
            val_accuracy=gate_report.accuracy if gate_report else state.best_accuracy,
            gates=gates_fields(gates, lesson.full_px, gate_report),
            epochs=len(state.history),
            best_epoch=state.best_epoch,
            image_px=lesson.image_px,
            flip=flip,
            file=path,
            file_bytes=path.stat().st_size,
            learn_s=time.perf_counter() - started,
            unreadable=lesson.unreadable,
            micro_batch=options.micro_batch,
            budget_bytes=budget_bytes,
            process_peak_bytes=None if budget_bytes is None else process_peak_bytes(),
        )

    def _refuse_place(self, name: str, folder: Path, restart: bool) -> None:
        """Refuse before any work a domain that could not be saved after it."""
        unfinished = is_unfinished(self.store.state_path(name))
        if self.store.exists(name) and not restart and not unfinished:
            raise DomainError(
                f"There is a domain {name!r} in {self.store.folder} already. Choose another name, "
                "or learn it anew with --restart; the old one stays until the new one is ready."
            )
        self.store.refuse_case_twin(name)
        refuse_store_inside(self.store.folder, folder)

    def load(self, domain: str) -> tuple[DomainInfo, AdaptedModel]:
        """Read a domain and make its model, ready to predict.

        Raises:
            UnknownNameError: there is no such domain.
            DomainError: it is damaged or was learned on another backbone.
        """
        return self._loader.load(self.store, domain)

    def predict(
        self,
        images: Sequence[str | Path],
        domain: str,
        *,
        top: int = 3,
        gates: bool | None = None,
        on_unreadable: Callable[[str], None] | None = None,
    ) -> list[Prediction]:
        """Recognise images with a domain's model; the most probable class first.

        Args:
            images: image files.
            domain: which of the store's.
            top: how many classes to name.
            gates: whether the domain's gates decide; by default if they make it faster here,
                which is tried once, on the first images.
            on_unreadable: told about images that cannot be read, which are then left out.

        Raises:
            DataError: an image cannot be read and there is no `on_unreadable`.
            OptionError: gates are asked for, but the domain has none.
            UnknownNameError, DomainError: as `load`.
        """
        if top < 1:
            raise OptionError(f"The top {top} classes were asked for: ask for at least 1.")
        info, model = self.load(domain)
        samples = [Sample(Path(image), 0) for image in images]
        gated = self._decisions.decide(domain, info, model, samples, gates)
        return recognise(info, model, samples, top=top, gated=gated, on_unreadable=on_unreadable)

    def evaluate(
        self,
        domain: str,
        folder: str | Path,
        *,
        gates: bool | None = None,
        cache_bytes: int = CACHE_BYTES,
        on_progress: OnProgress = lambda progress: None,
    ) -> Evaluation:
        """Measure a domain's accuracy on a folder of class folders; `gates` as in `predict`.

        Raises:
            DataError: the folder cannot be used, or has classes the domain does not know.
            OptionError: gates are asked for, but the domain has none.
            UnknownNameError, DomainError: as `load`.
        """
        info, model = self.load(domain)
        samples = scan_classes(Path(folder), info.classes)
        return evaluate_samples(
            domain,
            info,
            model,
            samples,
            gated=self._decisions.decide(domain, info, model, samples, gates),
            cache_bytes=cache_bytes,
            on_progress=on_progress,
        )
