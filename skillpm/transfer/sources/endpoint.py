"""A source behind an OpenAI-compatible endpoint (`POST …/chat/completions`, streamed).

The key is sent to the endpoint's origin only: redirects are not followed, and this machine is asked
without a proxy. Answers are bounded in bytes and in time, and never compressed, because a few bytes
could become gigabytes. A busy or failing server is asked again, later each time.
"""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Self

import httpx

from skillpm.errors import RegistryError, UsageError
from skillpm.spec.chat import ChatMessage, to_plain
from skillpm.transfer.config import LOCAL_HOSTS
from skillpm.transfer.generated import Generated, SamplingSettings

ANSWER_LIMIT = 1 << 22
"""The most bytes of a response: 4 MiB."""
TRIES = 6
"""How often a request is sent before the endpoint counts as gone."""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_TIMEOUT = httpx.Timeout(connect=10.0, read=120.0, write=30.0, pool=10.0)
"""Seconds; `read` is the longest pause between two pieces of a streamed answer."""
ANSWER_SECONDS = 3600.0
"""The most seconds of one answer, however steadily it arrives."""
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_DENIED = frozenset({401, 403})
_DATA, _END = "data:", "[DONE]"
_MESSAGE_SECONDS = 10.0
"""The time after which no more of a refusal's text is read."""
_SHOWN = 200
"""The most characters of a server's message that an error shows."""
_REPEATED, _REPEATED_KEY = 16, 6
"""Characters of a prompt and of a key; a message with as many of them in a row is not shown."""
_WORD = 4
_TOKENS_LIMIT = 1 << 31
Show = Callable[[str], str]


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
    seconds: float = ANSWER_SECONDS
    pause: Callable[[float], None] = time.sleep
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        headers = {"accept-encoding": "identity"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        direct = {
            f"all://[{host}]" if ":" in host else f"all://{host}": None for host in LOCAL_HOSTS
        }
        self._client = httpx.Client(
            headers=headers, timeout=self.timeout, follow_redirects=False, mounts=direct
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

    def answer(
        self, messages: list[ChatMessage], sampling: SamplingSettings, seed: int
    ) -> Generated:
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

    def _once(
        self, messages: list[ChatMessage], sampling: SamplingSettings, seed: int
    ) -> Generated:
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
        show = partial(_shown, key=self.key or "", texts=[each.content for each in messages])
        try:
            with self._client.stream("POST", url, json=body) as response:
                self._check(response, show)
                return _read(_events(_bounded_lines(response, self.seconds), show))
        except httpx.TransportError as problem:
            raise _RetryableError(show(f"{type(problem).__name__}: {problem}")) from problem

    def _check(self, response: httpx.Response, show: Show) -> None:
        """Raise an error for a status that is not 200, or an encoding that was not asked for."""
        status = response.status_code
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise EndpointError(
                f"the endpoint {self.host} answers in the encoding {show(encoding)!r}, which was "
                "not asked for"
            )
        if status == httpx.codes.OK:
            return
        shown = _message_of(response, show)
        if status in _BUSY:
            raise _RetryableError(f"HTTP {status}{shown}", _retry_after(response))
        if status in _DENIED:
            raise UsageError(
                f"the endpoint {self.host} refused the key: HTTP {status}{shown}",
                hint="set `key_env` of the source to the variable with a valid key, and allow it "
                "by `--allow-key VARIABLE@ORIGIN`",
            )
        raise EndpointError(f"the endpoint {self.host} refused the request: HTTP {status}{shown}")


def _bounded_lines(response: httpx.Response, seconds: float) -> Iterator[str]:
    """The lines of a response, in time linear in its bytes.

    Raises `EndpointError` for more than `ANSWER_LIMIT` bytes, and after this number of seconds.
    """
    end = time.monotonic() + seconds
    size, pending = 0, list[bytes]()
    for piece in response.iter_raw():
        size += len(piece)
        if size > ANSWER_LIMIT:
            raise EndpointError(f"an answer has more than {ANSWER_LIMIT} bytes")
        if time.monotonic() > end:
            raise EndpointError(f"an answer took more than {seconds:g} seconds")
        first, *others = piece.split(b"\n")
        pending.append(first)
        for part in others:
            yield b"".join(pending).decode("utf-8", "replace").rstrip("\r")
            pending = [part]
    yield b"".join(pending).decode("utf-8", "replace")


def _events(lines: Iterator[str], show: Show) -> Iterator[dict[str, Any]]:
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
            raise _RetryableError(f"the server reported {show(str(event['error']))}")
        yield event


def _read(events: Iterator[dict[str, Any]]) -> Generated:
    """Join the pieces of a streamed answer. An answer that ends without a reason was cut off."""
    pieces: list[str] = []
    finish, tokens = None, None
    for event in events:
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
            choice = event["choices"][0]
            pieces.append(str((choice.get("delta") or {}).get("content") or ""))
            finish = choice.get("finish_reason") or finish
        usage = event.get("usage")
        if isinstance(usage, dict) and type(usage.get("completion_tokens")) is int:
            tokens = min(usage["completion_tokens"], _TOKENS_LIMIT)
    if not isinstance(finish, str):
        raise _RetryableError("the answer ended before its end")
    return Generated("".join(pieces), "length" if finish == "length" else "stop", tokens)


def _message_of(response: httpx.Response, show: Show) -> str:
    """The start of a refusal's text, as `: text`; nothing of a text that arrives too slowly."""
    with contextlib.suppress(httpx.HTTPError):
        data, end = b"", time.monotonic() + _MESSAGE_SECONDS
        for piece in response.iter_raw():
            data += piece
            if len(data) > _SHOWN or time.monotonic() > end:
                break
        text = show(data.decode("utf-8", "replace").strip())
        return f": {text}" if text else ""
    return ""


def _shown(text: str, *, key: str, texts: Sequence[str]) -> str:
    """The start of a server's message, in one line. One that repeats the request is not shown."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: _SHOWN + 1])
    if _repeats(shown, key, _REPEATED_KEY) or any(
        _repeats(shown, text, _REPEATED) for text in texts
    ):
        return "(a message that repeats the key or the prompt is not shown)"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _repeats(message: str, private: str, least: int) -> bool:
    """Whether a message has `least` characters in a row of a private text, or all of a shorter one.

    A text of fewer than `_WORD` characters is part of many messages by chance.
    """
    least = min(least, len(private.strip()))
    starts = range(len(message) - least + 1) if least >= _WORD else ()
    return any(message[start : start + least] in private for start in starts)


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds to wait that the server named, as a number or a date; None if it did not."""
    value = response.headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
