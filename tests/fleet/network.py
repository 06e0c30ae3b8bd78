"""A network between a device and its server that can be away."""

import socket
import threading
from contextlib import suppress

CHUNK_BYTES = 65_536


class Network:
    """Hands bytes on between a port of its own and a server's, while it is there.

    Args:
        server_port: on the loopback address.
    """

    def __init__(self, server_port: int) -> None:
        self._server = ("127.0.0.1", server_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._is_there = True
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def go_away(self) -> None:
        """Break all connections, and take no new ones."""
        self._is_there = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def come_back(self) -> None:
        """Take connections again."""
        self._is_there = True

    def end(self) -> None:
        """Be away for good."""
        self._listener.close()
        self.go_away()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if not self._is_there:
                    raise ConnectionRefusedError
                far = socket.create_connection(self._server)
            except OSError:
                near.close()
                continue
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._hand_on, args=(one, other), daemon=True).start()

    def _hand_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while chunk := one.recv(CHUNK_BYTES):
                other.sendall(chunk)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
