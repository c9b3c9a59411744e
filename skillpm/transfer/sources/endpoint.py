"""A source behind an OpenAI-compatible endpoint (`POST …/chat/completions`, streamed).

The key is sent to the endpoint's origin only: redirects are not followed. Answers are bounded in
bytes and in time. A busy or failing server is asked again, later each time.
"""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

from skillpm.errors import RegistryError, UsageError
from skillpm.spec.chat import ChatMessage, to_plain
from skillpm.transfer.generated import Generated, Sampling

ANSWER_LIMIT = 1 << 22
"""The most bytes of a response: 4 MiB."""
TRIES = 6
"""How often a request is sent before the endpoint counts as gone."""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_TIMEOUT = httpx.Timeout(connect=10.0, read=120.0, write=30.0, pool=10.0)
"""Seconds; `read` is the longest pause between two pieces of a streamed answer."""
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_DENIED = frozenset({401, 403})
_DATA, _END = "data:", "[DONE]"
_SHOWN = 200
"""The most characters of a server's message that an error shows."""


class EndpointError(RegistryError):
    """An endpoint cannot be reached, or does not answer as expected."""


class _RetryableError(Exception):
    """A request that may succeed later, after `wait` seconds if the server said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Endpoint:
    """A served model. `url` ends before `/chat/completions`; `key` may be None."""

    url: str
    served: str
    key: str | None = field(default=None, repr=False)
    timeout: httpx.Timeout = field(default_factory=lambda: _TIMEOUT)
    pause: Callable[[float], None] = time.sleep
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        self._client = httpx.Client(
            headers=headers, timeout=self.timeout, follow_redirects=False, trust_env=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def host(self) -> str:
        """The host and port, for messages and provenance."""
        return str(httpx.URL(self.url).netloc.decode("ascii"))

    def answer(self, messages: list[ChatMessage], sampling: Sampling, seed: int) -> Generated:
        """Ask for one answer. Raises `EndpointError` after `TRIES` tries, or if it is refused."""
        wait = _FIRST_WAIT
        for number in range(1, TRIES + 1):
            try:
                return self._once(messages, sampling, seed)
            except _RetryableError as problem:
                if number == TRIES:
                    raise EndpointError(
                        f"the endpoint {self.host} failed {TRIES} times: {problem}",
                        hint="run the command again when it is back; recorded answers are kept",
                    ) from problem
                asked = wait if problem.wait is None else problem.wait
                self.pause(min(_LONGEST_WAIT, asked) * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
                wait = min(_LONGEST_WAIT, 2 * wait)
        raise AssertionError

    def _once(self, messages: list[ChatMessage], sampling: Sampling, seed: int) -> Generated:
        body = {
            "model": self.served,
            "messages": to_plain(messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": seed % (1 << 31),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        url = f"{self.url.rstrip('/')}/chat/completions"
        try:
            with self._client.stream("POST", url, json=body) as response:
                self._check(response)
                return _read(_events(_bounded_lines(response)))
        except httpx.TransportError as problem:
            raise _RetryableError(f"{type(problem).__name__}: {problem}") from problem

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == httpx.codes.OK:
            return
        shown = _message_of(response)
        if status in _BUSY:
            raise _RetryableError(f"HTTP {status}{shown}", _retry_after(response))
        if status in _DENIED:
            raise UsageError(
                f"the endpoint {self.host} refused the key: HTTP {status}{shown}",
                hint="set `key_env` of the source to the variable with a valid key, and allow it "
                "by `--allow-key VARIABLE@ORIGIN`",
            )
        raise EndpointError(f"the endpoint {self.host} refused the request: HTTP {status}{shown}")


def _bounded_lines(response: httpx.Response) -> Iterator[str]:
    """The lines of a response. Raises `_RetryableError` for more than `ANSWER_LIMIT` bytes."""
    size, pending = 0, b""
    for piece in response.iter_bytes():
        size += len(piece)
        if size > ANSWER_LIMIT:
            raise EndpointError(f"an answer has more than {ANSWER_LIMIT} bytes")
        *lines, pending = (pending + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in lines)
    yield pending.decode("utf-8", "replace")


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of server-sent events, until `[DONE]`."""
    for line in lines:
        if not line.startswith(_DATA):
            continue
        data = line.removeprefix(_DATA).strip()
        if data == _END:
            return
        try:
            event = json.loads(data)
        except (ValueError, RecursionError) as problem:
            raise _RetryableError("the server sent broken JSON") from problem
        if not isinstance(event, dict):
            raise _RetryableError("the server sent JSON that is not an object")
        if "error" in event:
            raise _RetryableError(f"the server reported {_clipped(str(event['error']))}")
        yield event


def _read(events: Iterator[dict[str, Any]]) -> Generated:
    """Join the pieces of a streamed answer. An answer that ends without a reason was cut off."""
    pieces: list[str] = []
    finish, tokens = None, None
    for event in events:
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
            choice = event["choices"][0]
            pieces.append(str(choice.get("delta", {}).get("content") or ""))
            finish = choice.get("finish_reason") or finish
        usage = event.get("usage")
        if isinstance(usage, dict) and type(usage.get("completion_tokens")) is int:
            tokens = usage["completion_tokens"]
    if not isinstance(finish, str):
        raise _RetryableError("the answer ended before its end")
    return Generated("".join(pieces), "length" if finish == "length" else "stop", tokens)


def _message_of(response: httpx.Response) -> str:
    """The start of a refusal's text, as `: text`."""
    with contextlib.suppress(httpx.HTTPError):
        data = b""
        for piece in response.iter_bytes():
            data += piece
            if len(data) > _SHOWN:
                break
        text = _clipped(data.decode("utf-8", "replace").strip())
        return f": {text}" if text else ""
    return ""


def _clipped(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds to wait that the server named, as a number or a date; None if it did not."""
    value = response.headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
