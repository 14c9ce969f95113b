"""Plain HTTP to the gateway, for tests and examples; a retry repeats the same request with the same Idempotency-Key."""

from __future__ import annotations

import time
import uuid
from typing import Any, Self

import httpx

# Closing a month waits for four services; everything else answers in milliseconds.
TIMEOUT_SECONDS = 120.0
# With the pauses below this is about twenty seconds, longer than a killed service needs to come back.
MAX_ATTEMPTS = 40
PAUSE_SECONDS = 0.5


class Rest:
    """The REST interface with one key, e.g. `rest.post("/plans", {"plan": {…}})`."""

    def __init__(self, base_url: str, secret_key: str) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            base_url: where the gateway answers.
            secret_key: whose requests these are.
        """
        headers = {"Authorization": f"Bearer {secret_key}"}
        # Without the environment's proxies: the system is on this machine, and pytest changes the environment.
        self._client = httpx.Client(
            base_url=f"{base_url}/api/v1", headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, **query: str) -> Any:
        """The JSON of a GET.

        Raises:
            RuntimeError: the answer was an error, which the message shows.
            TimeoutError: no attempt succeeded for about twenty seconds.
        """
        return self._send("GET", path, params=query)

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST; every attempt has the same Idempotency-Key. Raises like `get`."""
        return self._send("POST", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def put(self, path: str, body: Any) -> Any:
        """The JSON of a PUT; every attempt has the same Idempotency-Key. Raises like `get`."""
        return self._send("PUT", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def patch(self, path: str, body: Any) -> Any:
        """The JSON of a PATCH; every attempt has the same Idempotency-Key. Raises like `get`."""
        return self._send("PATCH", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def delete(self, path: str, **query: str) -> Any:
        """The JSON of a DELETE; every attempt has the same Idempotency-Key. Raises like `get`."""
        return self._send("DELETE", path, params=query, headers={"Idempotency-Key": str(uuid.uuid4())})

    def post_text(self, path: str, text: str) -> Any:
        """The JSON of a POST whose body is sent exactly as given. Raises like `get`."""
        return self._send("POST", path, content=text, headers={"Content-Type": "application/json"})

    def _send(self, method: str, path: str, **options: Any) -> Any:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            response = self._attempt(method, path, **options)
            if response is not None and response.status_code not in (429, 503):
                break
            if attempt == MAX_ATTEMPTS:
                raise TimeoutError(f"{method} {path} was refused {MAX_ATTEMPTS} times")
            time.sleep(PAUSE_SECONDS)
        if response is None or response.is_error:
            text = response.text if response is not None else ""
            raise RuntimeError(f"{method} {path} answered {response and response.status_code}: {text}")
        return response.json()

    def _attempt(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """One attempt; None if no answer came, as when the gateway was just killed."""
        try:
            return self._client.request(method, path, **options)
        except httpx.TransportError:
            return None
