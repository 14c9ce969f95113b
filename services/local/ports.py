"""Free TCP ports on the loopback interface that stay ours between choice and use.

A port found free by binding to 0 and closing again may be taken before the child binds it, and a killed
server's port may be taken while it is down (a client that keeps reconnecting can even be given it as its own
source port, and then talks to itself). So on Linux the reserving socket stays open, bound and never
listening: with SO_REUSEADDR on both sides the child may bind and listen beside it, while the kernel hands the
port to nobody else. Other kernels do not allow that; there the socket is closed at once, and a start that
loses the tiny race fails with "address already in use".
"""

from __future__ import annotations

import errno
import socket
import sys

from services.chassis.wait import wait_until
from services.kernel.errors import UnavailableError

LOOPBACK = "127.0.0.1"
# The children of a stack that was killed (kill -9) end with it, but a fixed port is free only once they are gone.
BUSY_SECONDS = 3.0


class Port:
    """A reserved port of the loopback interface.

    Attributes:
        number: the port.
    """

    def __init__(self, number: int = 0) -> None:
        """Reserve the port `number`, or a free one for 0.

        Raises:
            UnavailableError: the given port is in use.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if number:
            # A fixed port has often just been used: this ignores the last run's connections in TIME_WAIT.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            wait_until(lambda: self._binds(number), timeout=BUSY_SECONDS, what=f"port {number} of {LOOPBACK}")
        except TimeoutError as error:
            self._socket.close()
            message = f"port {number} of {LOOPBACK} is in use by another program"
            raise UnavailableError("PORT_IN_USE", message, port=number) from error
        # For a free port the option is set only now: two reservations must not be given the same number.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    @property
    def address(self) -> str:
        """`127.0.0.1:port`."""
        return f"{LOOPBACK}:{self.number}"

    def release(self) -> None:
        """Give the port back; calling it twice does no harm."""
        self._socket.close()

    def _binds(self, number: int) -> bool:
        try:
            self._socket.bind((LOOPBACK, number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True
