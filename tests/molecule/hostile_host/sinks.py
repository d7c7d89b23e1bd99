"""A relay on whose way somebody has taken STARTTLS out, and offers to take a password without it."""

import socket
import threading

from hosts.lab import Lab


class StrippedRelay:
    """For the time of a ``with`` block.

    :ivar list heard: lines (bytes) that clients said
    """

    def __init__(self, host):
        self.heard = []
        self._address = (Lab.current().client("controller").address(4), 8100 + host.number)

    def __enter__(self):
        self._socket = socket.create_server(self._address)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        # Closing alone would leave the thread waiting, and the port taken.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection, connection.makefile("rwb", buffering=0) as stream:
            stream.write(b"220 relay\r\n")
            for line in stream:
                self.heard.append(line)
                stream.write(b"250-relay\r\n250 AUTH PLAIN LOGIN\r\n" if line[:4].upper() == b"EHLO" else b"502 no\r\n")
