"""A fleet in one process: Flower's messages go from the server's app straight to the devices'.

Nothing but the way of the messages differs from real processes: both apps, the strategy and its
averages are the same.
"""

from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from addapt.fleet.client_app import app as client_app
from addapt.fleet.server_app import app as server_app

RUN = 1
Settings = dict[str, Any]
OnMessage = Callable[[Message, Message], None]


class InProcessGrid(Grid):
    """Answers each message at once, by the app of the device that it is for.

    Args:
        devices: what each of them is told, as by `--node-config`.
        on_message: sees each message and its answer.
    """

    def __init__(self, devices: Iterable[Settings], on_message: OnMessage) -> None:
        self._contexts = {
            number: Context(RUN, number, settings, RecordDict(), {})
            for number, settings in enumerate(devices, 1)
        }
        self._on_message = on_message
        self._answers: dict[str, Message] = {}

    def set_run(self, run: Run) -> None:
        """Do nothing."""

    @property
    def run(self) -> Run:
        """There is none."""
        raise NotImplementedError

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return all devices."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Answer messages, and return under which names the answers are kept."""
        names = []
        for message in messages:
            answer = client_app(message, self._contexts[message.metadata.dst_node_id])
            self._on_message(message, answer)
            names.append(str(len(self._answers)))
            self._answers[names[-1]] = answer
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return answers."""
        return [self._answers.pop(name) for name in list(message_ids)]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Do both."""
        return self.pull_messages(self.push_messages(messages))


def lead(grid: Grid, settings: Settings) -> None:
    """Run the server's app to its end."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = RUN, 0, 0
    server_app(grid, Context(RUN, 0, {}, RecordDict(), settings))
