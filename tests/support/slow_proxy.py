"""A way to a server that can be narrowed and cut: TCP on loopback, as fast as it is told to be."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

_PIECE, _WHOLE = 16 * 1024, 1024 * 1024


class SlowProxy:
    """Hands on what goes to and comes from `target` ("HOST:PORT"). `rate` is bytes a second of all answers
    together, `upload_rate` of all requests; 0 is as fast as it goes."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.rate = self.upload_rate = 0
        self._open: set[socket.socket] = set()
        self._mutex = threading.Lock()
        self._pace = threading.Lock()
        self._listener: socket.socket | None = None
        self._port = 0
        self.open()

    @property
    def address(self) -> str:
        """HOST:PORT where it listens."""
        return f"127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen, at the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen()
        self._port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """Gone, as a server that was killed: nothing listens, and every connection is broken off."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
            self._listener.close()
            self._listener = None
        with self._mutex:
            connections, self._open = self._open, set()
        for one in connections:
            _shut(one)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._mutex:
                dead = self._listener is not listener
                if not dead:
                    self._open |= {client, server}
            if dead:
                _shut(client)
                _shut(server)
                return
            threading.Thread(
                target=self._pump, args=(client, server, lambda: self.upload_rate), daemon=True
            ).start()
            threading.Thread(target=self._pump, args=(server, client, lambda: self.rate), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, rate: Callable[[], int]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE if rate() else _WHOLE):
                if pace := rate():
                    with self._pace:  # one piece at a time, so that the rate is that of all together
                        time.sleep(len(data) / pace)
                sink.sendall(data)
        for one in (source, sink):
            _shut(one)
        with self._mutex:
            self._open -= {source, sink}


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextlib.contextmanager
def slow_proxy(target: str) -> Iterator[SlowProxy]:
    """A proxy for the length of a `with`."""
    proxy = SlowProxy(target)
    try:
        yield proxy
    finally:
        proxy.cut()
