"""A worker's side: takes orders from standard input and answers, a JSON line each.

Nothing is computed between two orders, and the process ends with its input.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from addapt._errors import AddaptError

Order = dict[str, Any]
Answer = dict[str, Any]


def serve(start: Callable[[Order], tuple[Answer, Callable[[Order], Answer]]]) -> None:
    """Answer orders until there are no more, or until something fails.

    `start` takes the first order, and returns the answer to it and what answers all others.
    """
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(answer: Answer) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        loaded, answer = start(json.loads(sys.stdin.readline()))
        tell(loaded)
        while line := sys.stdin.readline():
            tell(answer(json.loads(line)))
    except AddaptError as error:
        tell({"refused": str(error)})
    except Exception as error:  # whatever it is, the others go on
        tell({"error": f"{type(error).__name__}: {error}".split("\n", 1)[0]})
        raise
