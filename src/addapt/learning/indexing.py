"""A signature for a domain whose file has none, from the images that it was learned from."""

from dataclasses import replace
from pathlib import Path

from addapt._errors import DataError, DomainError
from addapt.domains import SCHEMA, Store, open_domain, temporary_prefix, writing
from addapt.gates import ungated_px
from addapt.images import ScratchFile
from addapt.learning.answering import Loaded
from addapt.learning.checkpoint import is_unfinished, largest_run_bytes
from addapt.learning.controls import Controls
from addapt.learning.extending import Start
from addapt.learning.job import VAL_FRACTION
from addapt.learning.lesson import find_images, prepare_lesson
from addapt.learning.loading import asked_by
from addapt.learning.reports import IndexReport
from addapt.learning.signing import sign, some_held_out


def index_domain(
    store: Store, name: str, loaded: Loaded, folder: Path, controls: Controls
) -> IndexReport:
    """Make a domain's signature and put it into its file; see `Learner.index`.

    The images that were held out are held out again, as those that were learned from lie nearer.
    """
    engine, info, model = loaded
    start = Start.of(name, store.require(name))
    if is_unfinished(store.state_path(name)):
        raise DomainError(
            f"A learning of the domain {name!r} is unfinished, and would replace its file: finish "
            "it first."
        )
    _, gates = asked_by(info, start.path)
    found = find_images(
        folder,
        engine,
        image_px=ungated_px(info),
        val_fraction=VAL_FRACTION,
        gates=gates,
        start=start,
    )
    new = found.contents.classes[len(info.classes) :]
    if new:
        raise DataError(
            f"The folder {folder} has the class {new[0]!r}, which the domain {name!r} has not "
            "learned: give the images that it was learned from."
        )
    with writing(store.folder, name):
        aside = ScratchFile(store.folder, temporary_prefix(name), largest_run_bytes(engine))
        lesson = prepare_lesson(found, engine, info.seed, controls, aside)
        held_out = some_held_out(lesson.val)
        signature, _ = sign(engine, model, lesson.train, held_out)
        start.require_unchanged()
        with open_domain(start.path) as file:
            tensors = file.read()
        signed = replace(info, schema=SCHEMA, signature=signature.fields())
        store.save(name, signed, {**tensors, **signature.tensors()})
    return IndexReport(
        domain=name,
        file=start.path,
        file_bytes=start.path.stat().st_size,
        images=len(held_out),
        warnings=lesson.warnings,
        unreadable=lesson.unreadable,
    )
