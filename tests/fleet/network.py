"""A network between a device and its server that can be away."""

import socket
import threading
from contextlib import suppress

CHUNK_BYTES = 65_536
HOST = "127.0.0.1"


class Network:
    """Hands bytes on between a port of its own and a server's, while it is there.

    Args:
        server_port: on the loopback address.
    """

    def __init__(self, server_port: int) -> None:
        self._server, self.port = (HOST, server_port), 0
        self._ends: list[socket.socket] = []
        self.come_back()

    def go_away(self) -> None:
        """Break all connections, and take no new ones."""
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def come_back(self) -> None:
        """Take connections again, at the same port."""
        self._listener = socket.create_server((HOST, self.port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
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
