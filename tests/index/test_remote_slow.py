"""Blobs over HTTP from servers that are silent, drip, or never reach the body of an answer."""

import time

import pytest
from remote_values import CONTENT, DIGEST, IMPATIENT, Open
from served_registry import FaultyServer, Handler

from skillpm.index.remote.errors import SlowRetrievalError, UnreachableRegistryError
from skillpm.store.blobs import Store

SIZE = len(CONTENT)
BLOB = "/blobs/"


def test_a_slow_body_is_given_up(server: FaultyServer, opened: Open, store: Store) -> None:
    def drip(handler: Handler) -> None:
        handler.start(200, {"content-length": str(SIZE)})
        for _ in range(50):
            handler.send(b"\0")
            time.sleep(0.05)

    server.fault(BLOB, *[drip] * IMPATIENT.tries)
    with pytest.raises(
        SlowRetrievalError, match=r"bytes came in .* slow retrieval attack"
    ) as failed:
        store.fetch(DIGEST, SIZE, opened(server.url, policy=IMPATIENT))
    assert failed.value.exit_code == 3


@pytest.mark.parametrize("part", ["headers", "chunks", "interim"])
def test_an_answer_that_never_reaches_its_body_is_given_up(
    part: str, server: FaultyServer, opened: Open, store: Store
) -> None:
    """A read every moment keeps each of them within its time limit."""

    def drip(handler: Handler) -> None:
        start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        data = {"headers": start + b"X-Long: ", "chunks": start + b"\r\n1;", "interim": b""}[part]
        handler.wfile.write(data)
        for _ in range(60):
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" if part == "interim" else b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    server.fault(BLOB, *[drip] * IMPATIENT.tries)
    with pytest.raises(SlowRetrievalError):
        store.fetch(DIGEST, SIZE, opened(server.url, policy=IMPATIENT))


def test_endless_interim_answers_are_given_up(
    server: FaultyServer, opened: Open, store: Store
) -> None:
    def flood(handler: Handler) -> None:
        for _ in range(1 << 16):
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 64)

    server.fault(BLOB, *[flood] * IMPATIENT.tries)
    with pytest.raises(UnreachableRegistryError, match="before the answer"):
        store.fetch(DIGEST, SIZE, opened(server.url, policy=IMPATIENT))


def test_a_silent_server_is_given_up(server: FaultyServer, opened: Open, store: Store) -> None:
    server.fault(BLOB, *[lambda _handler: time.sleep(1.5)] * IMPATIENT.tries)
    with pytest.raises(UnreachableRegistryError, match="no answer in time"):
        store.fetch(DIGEST, SIZE, opened(server.url, policy=IMPATIENT))
