"""A camera that may be unplugged, and comes back."""

from collections.abc import Callable, Iterator

from addapt._errors import DataError
from addapt.watching.frames import Frame
from addapt.watching.pace import Clock
from addapt.watching.video import Shot

RETRY_S = 1.0


def camera_frames(
    shots: Callable[[], Iterator[Shot]], name: str, clock: Clock, tell: Callable[[str], None]
) -> Iterator[Frame]:
    """Yield a camera's frames for ever: while it is away, try to open it again.

    Args:
        shots: opens the camera and yields what it takes until it is away.
        name: what people call it.
        clock: the time.
        tell: is told that it is away, and that it is back.

    Raises:
        DataError: the camera is not there to begin with.
    """
    number, away = 0, False
    while True:
        try:
            for shot in shots():
                if away:
                    tell(f"The camera {name} is back.")
                    away = False
                yield Frame(number, clock.now(), shot.pixels, shot.small)
                number += 1
        except DataError:
            if number == 0:
                raise
        if number == 0:
            raise DataError(f"The camera {name} gives no image. Is another program using it?")
        if not away:
            tell(f"The camera {name} is away: waiting for it.")
            away = True
        clock.sleep(RETRY_S)
