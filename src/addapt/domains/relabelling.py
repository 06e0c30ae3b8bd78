"""Another name for a class, in all that a domain's file says."""

from dataclasses import replace

from addapt._errors import DomainError, UnknownNameError
from addapt.domains.info import DomainInfo, check_classes


def with_class_renamed(info: DomainInfo, old: str, new: str) -> DomainInfo:
    """Return `info` with the class `old` called `new`.

    Raises:
        UnknownNameError: there is no class `old`.
        DomainError: `new` is another class, or no folder of images could be called so.
    """
    if old not in info.classes:
        raise UnknownNameError("class", old, info.classes)
    if old == new:
        return info
    if new in info.classes:
        raise DomainError(
            f"There is a class {new!r} already, and two classes cannot become one without "
            "learning: put their images into one folder and learn the domain anew."
        )
    if not new.strip() or new.startswith(".") or {"/", "\0"} & set(new):
        raise DomainError(
            f"A class cannot be called {new!r}: a folder of images must be able to have its name, "
            "so give one that is not empty, does not begin with '.', and has no '/' in it."
        )
    classes = tuple(new if label == old else label for label in info.classes)
    check_classes(classes)
    report = dict(info.val_report)
    if report and report["weakest"]["label"] == old:
        report["weakest"] = {**report["weakest"], "label": new}
    if isinstance(words := report.get("meaning"), str):
        report["meaning"] = words.replace(repr(old), repr(new))
    return replace(info, classes=classes, val_report=report)
