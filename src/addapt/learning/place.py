"""Whether a domain that is to be learned can be saved where it should be: asked before the work."""

import os
from pathlib import Path

from addapt._errors import DomainError, OptionError
from addapt.domains import Store
from addapt.learning.checkpoint import is_unfinished


def refuse_place(store: Store, name: str, folder: Path, *, over: bool) -> None:
    """Refuse a domain that could not be saved; unless `over`, one of that name is in the way.

    Raises:
        DomainError: there is a domain of that name, or of almost the same.
        OptionError: the store lies in `folder`, which holds the images.
    """
    if store.exists(name) and not over and not is_unfinished(store.state_path(name)):
        raise DomainError(
            f"There is a domain {name!r} in {store.folder} already. Choose another name, go on "
            "with it with `extend=True`, or learn it anew with `restart=True`; the old one stays "
            "until the new one is ready."
        )
    store.refuse_case_twin(name)
    refuse_store_inside(store.folder, folder)


def refuse_store_inside(store: Path, folder: Path) -> None:
    """Raise an OptionError if a store lies inside a folder of images."""
    # Not Path.resolve: it fails on links in circles, of which scanning has better words to say.
    place, images = (Path(os.path.realpath(path)) for path in (store, folder))
    if place.is_relative_to(images):
        raise OptionError(
            f"The store {store} lies inside the folder of images {folder}, where it would be "
            "taken for a class. Give another one with `store`."
        )
