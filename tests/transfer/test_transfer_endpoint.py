"""An endpoint that is busy, broken or gone: retries, errors, and where the key is sent."""

import gzip
import json
import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("httpx", reason="needs the extra `transfer`")

import httpx
from faulty_server import (
    GOOD,
    FaultyServer,
    Reply,
    chunk,
    endless,
    garbage,
    piece,
    serving,
    silence,
    status,
    stream,
    torn,
)

from skillpm.errors import RegistryError, SkillpmError, UsageError
from skillpm.spec.chat import asked
from skillpm.transfer.generated import Generated, SamplingSettings
from skillpm.transfer.sources import endpoint
from skillpm.transfer.sources.endpoint import TRIES, Endpoint

SAMPLING = SamplingSettings(0.7, 0.9, 16)


def ask(server: FaultyServer, waits: list[float], key: str | None = None) -> Generated:
    timeout = httpx.Timeout(0.3)
    with Endpoint(server.url, "m", key, timeout=timeout, pause=waits.append) as endpoint:
        return endpoint.answer(asked("6 × 7?"), SAMPLING, 2**40 + 5)


def test_answer_is_joined_from_the_stream_and_the_request_is_complete() -> None:
    with serving(GOOD) as server:
        assert ask(server, []) == Generated("42", "stop", 2)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/chat/completions")
    assert b"authorization" not in head.lower()
    assert json.loads(body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "6 × 7?"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 16,
        "seed": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_answer_that_reached_the_limit_is_cut_off() -> None:
    with serving(stream(piece("4", "length"))) as server:
        assert ask(server, []) == Generated("4", "length", None)


FAULTS: dict[str, Reply] = {
    "busy": status(429),
    "failing": status(503),
    "broken stream": torn(piece("4")),
    "stream without an end": stream(piece("4")),
    "wrong JSON": stream(b"data: {\n\n"),
    "JSON that is no object": stream(b"data: [1]\n\n"),
    "error in the stream": stream(chunk(error={"message": "out of memory"})),
    "deep JSON": stream(b"data: " + b"[" * 100_000 + b"\n\n"),
    "wrong types": stream(chunk(choices=[{"delta": 7, "finish_reason": 9}], usage=[1])),
    "silence": silence,
    "garbage": garbage,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_request_is_repeated_after_a_fault(fault: str) -> None:
    waits: list[float] = []
    with serving(FAULTS[fault], GOOD) as server:
        assert ask(server, waits).text == "42"
    assert len(waits) == 1
    assert len(server.requests) == 2


def test_waits_become_longer_and_end_with_an_error() -> None:
    waits: list[float] = []
    failed = pytest.raises(RegistryError, match=f"failed {TRIES} times: HTTP 500")
    with serving(status(500, body=b"\x1b[31mno\x00")) as server, failed as failure:
        ask(server, waits)
    assert failure.value.exit_code == 5
    assert "\x1b" not in failure.value.message
    assert len(waits) == TRIES - 1
    assert waits[-1] > 5 * waits[0]


def test_server_says_how_long_to_wait_up_to_a_minute() -> None:
    waits: list[float] = []
    late = status(429, "retry-after: 100000")
    with serving(
        status(429, "retry-after: 7"), late, status(429, "retry-after: x"), GOOD
    ) as server:
        ask(server, waits)
    assert 5 < waits[0] < 9
    assert waits[1] <= 75


def test_endpoint_that_is_gone_is_an_error_with_exit_code_5() -> None:
    with serving(GOOD) as server:
        pass
    with pytest.raises(RegistryError, match="failed 6 times") as failure:
        ask(server, [])
    assert failure.value.exit_code == 5
    assert "recorded answers are kept" in str(failure.value.hint)


def test_answer_that_never_ends_is_cut() -> None:
    with serving(endless) as server, pytest.raises(RegistryError, match="more than"):
        ask(server, [])


def test_refused_key_is_a_usage_error_and_is_not_shown() -> None:
    refused = pytest.raises(UsageError, match="refused the key: HTTP 401: bad key")
    with serving(status(401, body=b"bad key")) as server, refused as failure:
        ask(server, [], key="SECRET")
    assert "SECRET" not in failure.value.message
    assert b"authorization: bearer secret" in server.requests[0].lower()


def test_redirect_is_not_followed_so_that_the_key_stays_with_its_origin() -> None:
    refused = pytest.raises(RegistryError, match="HTTP 307")
    with serving(GOOD) as other, serving(status(307, f"location: {other.url}")) as server, refused:
        ask(server, [], key="SECRET")
    assert not other.requests


def test_key_is_in_no_representation() -> None:
    assert "SECRET" not in repr(Endpoint("http://127.0.0.1:9/v1", "m", "SECRET"))


def test_message_that_repeats_the_key_or_the_prompt_is_not_shown() -> None:
    echoed = [
        status(400, body=b"bad request: authorization=Bearer sk-MARKER-KEY-7731"),
        stream(chunk(error={"message": "no answer to: What is the MARKER of 7731?"})),
        status(401, body=b'{"detail": "What is the MARKER of 7731?"}'),
    ]
    for reply in echoed:
        with (
            serving(reply) as server,
            Endpoint(server.url, "m", "sk-MARKER-KEY-7731", pause=lambda _: None) as endpoint,
            pytest.raises(SkillpmError) as failure,
        ):
            endpoint.answer(asked("What is the MARKER of 7731?"), SAMPLING, 0)
        assert "MARKER" not in f"{failure.value.message} {failure.value.hint}"
        assert "is not shown" in failure.value.message


def test_compressed_answer_is_refused_because_it_could_be_a_bomb() -> None:
    bomb = gzip.compress(b"data: " + b"x" * 10_000_000)
    refused = pytest.raises(RegistryError, match="the encoding 'gzip', which was not asked for")
    with serving(status(200, "content-encoding: gzip", body=bomb)) as server, refused:
        ask(server, [])
    assert b"accept-encoding: identity" in server.requests[0].lower()


def test_answer_that_drips_for_too_long_is_an_error() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            connection.sendall(b":")
            time.sleep(0.02)

    slow = pytest.raises(RegistryError, match=r"took more than 0\.2 seconds")
    with serving(drip) as server, slow, Endpoint(server.url, "m", seconds=0.2) as endpoint:
        endpoint.answer(asked("6 × 7?"), SAMPLING, 0)


def test_refusal_that_drips_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_MESSAGE_SECONDS", 0.1)
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 X\r\ncontent-length: 100\r\n\r\n")
        try:
            while True:
                connection.sendall(b"n")
                time.sleep(0.02)
        except OSError:
            ended.set()
            raise

    refused = pytest.raises(RegistryError, match=r"refused the request: HTTP 400: n+$")
    with serving(drip) as server, refused:
        ask(server, [])
    assert ended.wait(60)


def test_last_event_may_have_no_piece() -> None:
    end = chunk(choices=[{"delta": None, "finish_reason": "stop"}])
    with serving(stream(piece("42"), end)) as server:
        assert ask(server, []) == Generated("42", "stop", None)


def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(status(502)) as proxy, serving(GOOD) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert ask(server, [], key="SECRET").text == "42"
    assert not proxy.requests


def test_absurd_number_of_tokens_is_cut() -> None:
    huge = stream(piece("4", "stop"), chunk(choices=[], usage={"completion_tokens": 10**400}))
    with serving(huge) as server:
        assert ask(server, []).tokens == 1 << 31


_TEXTS = st.sampled_from(["", "4", "\ud800", "stop", "length", "\x00", "x" * 300])
_NAMES = st.sampled_from([
    "choices", "delta", "content", "finish_reason", "usage", "completion_tokens", "error",
])  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=5))
def test_stream_of_any_json_is_an_answer_or_a_fault(values: list[Any]) -> None:
    lines = [f"data: {json.dumps(value)}" for value in values]
    try:
        answer = endpoint._read(endpoint._events(iter(lines), str))
    except endpoint._RetryableError:
        return
    assert isinstance(answer.text, str)
    assert answer.finish in ("stop", "length")
    assert answer.tokens is None or answer.tokens <= 1 << 31
