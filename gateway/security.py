"""Headers that keep an answer from being used for more than it is: on every answer, whoever writes it."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.exchange import Lines

# Half a year, as browsers' lists ask at least.
HSTS_SECONDS = 180 * 24 * 3600
# An answer is data for programs: it is no page, is embedded nowhere, and what it says of money is stored nowhere.
LINES: Lines = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


def lines_of(public_url: str) -> Lines:
    """The headers of answers; where callers use TLS, browsers are told never to use anything else."""
    if not public_url.startswith("https://"):
        return LINES
    return [*LINES, (b"strict-transport-security", b"max-age=%d" % HSTS_SECONDS)]


class Guarded:
    """An application whose answers get the headers that they do not set themselves."""

    def __init__(self, app: ASGIApp, lines: Lines) -> None:
        """Wrap an application."""
        self._app = app
        self._lines = [(name.decode(), value.decode()) for name, value in lines]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._lines:
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)
