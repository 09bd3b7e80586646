"""The addresses of a host's name, within a time that the system's own look-up does not promise."""

from __future__ import annotations

import socket
import threading
from typing import Any, Final

LOOKUP_S: Final = 5.0
"""How long a name may take to be looked up."""


class Addresses:
    """The addresses of one host and port. For one thread.

    A look-up that takes too long is left to a thread of its own, since nothing can end it. As long as it is under way no other is begun: the next
    question waits for the same one.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._under_way: _LookUp | None = None

    def found(self, seconds: float) -> list[Any]:
        """What ``socket.getaddrinfo`` says, after at most so many seconds.

        Raises:
            OSError: the name has no address; a ``TimeoutError`` where nobody has said so yet.
        """
        look_up = self._under_way or _LookUp(self._host, self._port)
        self._under_way = look_up
        patience = max(0.0, min(LOOKUP_S, seconds))
        if not look_up.is_done.wait(patience):
            raise TimeoutError(f"the name {self._host} was not looked up within {patience:.0f} s: see whether this host's DNS answers")
        self._under_way = None
        if look_up.error is not None:
            raise look_up.error
        return look_up.addresses


class _LookUp:
    def __init__(self, host: str, port: int) -> None:
        self.is_done = threading.Event()
        self.addresses: list[Any] = []
        self.error: OSError | None = None
        threading.Thread(target=self._run, args=(host, port), name="indelible-addresses", daemon=True).start()

    def _run(self, host: str, port: int) -> None:
        try:
            self.addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            self.error = error
        except UnicodeError as error:
            self.error = OSError(f"{host!r} is no name of a host: {error}")
        finally:
            self.is_done.set()
