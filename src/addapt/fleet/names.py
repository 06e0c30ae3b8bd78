"""How devices of a fleet are called, for the people who watch its server."""

from flwr.app import Message

from addapt.fleet.messages import name_of


class DeviceNames:
    """What devices call themselves, told apart by numbers where several say the same."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def hear(self, reply: Message) -> str:
        """Take the name from a device's reply, and return how the device is called."""
        device = reply.metadata.src_node_id
        if device not in self._names and (said := name_of(reply)):
            others, name, number = set(self._names.values()), said, 1
            while name in others:
                number += 1
                name = f"{said} {number}"
            self._names[device] = name
        return self.of(device)

    def of(self, device: int) -> str:
        """Return how a device is called: its number as long as it has said nothing."""
        return self._names.get(device, f"device {device}")
