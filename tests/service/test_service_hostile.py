"""Bodies and requests that are huge, slow, endless, compressed, lying or malformed."""

import gzip
import json
import secrets
import socket
import time
from urllib.parse import urlsplit

import pytest
from live_server import Api, Server

from skillpm.spec.digests import Digest
from skillpm.spec.registry_api import IMAGE_LIMIT


def raw(server: Server, data: bytes, *, timeout: float = 30) -> bytes:
    """Send bytes to the server as they are; return what it answers until it closes."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as connection:
        connection.sendall(data)
        answer = b""
        while True:
            try:
                chunk = connection.recv(65536)
            except TimeoutError:
                return answer
            except ConnectionResetError:
                return answer
            if not chunk:
                return answer
            answer += chunk


def request(server: Server, method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    token = server.environment["ADMIN"]
    lines = [
        f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}",
        "Connection: close", *headers, "", "",
    ]  # fmt: skip
    return raw(server, "\r\n".join(lines).encode() + body)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def is_alive(server: Server) -> bool:
    return server.client().http.get("/healthz").status_code == 200


def test_an_announced_size_beyond_the_limit_is_refused_before_the_body(server: Server) -> None:
    for size in (IMAGE_LIMIT + 1, 10**18, 10**40):
        answer = request(server, "POST", "/v1/releases", f"Content-Length: {size}")
        assert status(answer) in (400, 413)
    assert is_alive(server)


def test_an_endless_chunked_body_is_cut_at_the_limit(server: Server) -> None:
    parts = urlsplit(server.url)
    token = server.environment["ADMIN"]
    head = (
        "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(head.encode())
        sent, answer = 0, b""
        connection.setblocking(False)
        deadline = time.monotonic() + 30
        while not answer and time.monotonic() < deadline:
            try:
                connection.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
            except BlockingIOError:
                time.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):
                break
            try:
                answer = connection.recv(4096)
            except (BlockingIOError, ConnectionResetError):
                continue
    assert status(answer) in (0, 413)
    assert sent < 50_000_000
    assert is_alive(server)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_compressed_bodies_are_refused(admin: Api, encoding: str) -> None:
    body = gzip.compress(json.dumps({"actions": ["read"], "patterns": ["*"]}).encode())
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    admin.ask("POST", "/v1/tokens", 415, content=body, headers=headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tokens", b""),
        ("/v1/tokens", b"null"),
        ("/v1/tokens", b"[]"),
        ("/v1/tokens", b"{"),
        ("/v1/tokens", b"\xff\xfe"),
        ("/v1/tokens", b'{"actions":["read"],"actions":["admin"],"patterns":["*"]}'),
        ("/v1/tokens", b'{"actions":["read"],"patterns":["*"],"expires_in":1e999}'),
        ("/v1/tokens", b'{"actions":["read"],"patterns":["*"],"expires_in":NaN}'),
        ("/v1/tokens", b'{"actions":["read"],"patterns":["*"],"note":"\\ud800"}'),
        ("/v1/tokens", b"[" * 60_000),
        ("/v1/uploads", b'{"digest":"sha256:../../etc","size":1,"namespace":"acme"}'),
        ("/v1/uploads", b'{"digest":"","size":true,"namespace":"../x"}'),
        ("/v1/uploads", b'{"digest":"sha256:' + b"a" * 64 + b'","size":-1,"namespace":"a"}'),
        ("/v1/uploads", b'{"digest":"sha256:' + b"a" * 64 + b'","size":1e30,"namespace":"a"}'),
        ("/v1/advisories", b"[[[[[["),
        ("/v1/oidc/exchange", b'{"token":""}'),
    ],
)
def test_malformed_documents_are_a_400_with_the_reason(admin: Api, path: str, body: bytes) -> None:
    problem = admin.ask(
        "POST", path, 400, content=body, headers={"content-type": "application/json"}
    )
    assert problem["detail"]


def test_a_body_of_another_type_is_refused(admin: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        admin.ask("POST", "/v1/tokens", 415, content=b"{}", headers={"content-type": kind})


def test_a_body_where_none_is_expected_is_refused(admin: Api) -> None:
    admin.ask("POST", "/v1/sweep", 413, content=b"x" * 1000)


@pytest.mark.parametrize(
    "path",
    [
        "/index/../../registry.db", "/index/%2e%2e/%2e%2e/registry.db.json", "/index/a/..%2fb.json",
        "/blobs/sha256/../../registry.db", "/blobs/sha256/aa/..%2f..%2fregistry.db",
        "/index/acme/%00.json", "/index/acme/x%0d%0aSet-Cookie:a.json", "/index//x.json",
        "/index/acme/x/..json", "/advisories/../registry.db", "//etc/passwd", "/index/ACME/X.json",
        "/v1/uploads/..%2f..", "/index/" + "a" * 5000 + "/x.json",
    ],
)  # fmt: skip
def test_path_tricks_find_nothing(server: Server, path: str) -> None:
    answer = request(server, "GET", path)
    assert status(answer) in (400, 404, 414, 431)
    assert b"SQLite" not in answer
    assert b"Set-Cookie" not in answer.split(b"\r\n\r\n")[0]


@pytest.mark.parametrize("offset", ["", "-1", "x", "1e3", "99999999999999999999", "0x10", "１"])
def test_a_malformed_offset_is_refused(admin: Api, offset: str) -> None:
    name = f"h{secrets.token_hex(6)}"
    admin.namespace(name)
    plain = {"digest": str(Digest.of(b"abc")), "size": 3, "namespace": name}
    session = admin.ask("POST", "/v1/uploads", 201, json=plain)["id"]
    headers = {"upload-offset": offset.encode(), "content-type": "application/octet-stream"}
    admin.ask("PATCH", f"/v1/uploads/{session}", 400, content=b"abc", headers=headers)


def test_a_chunk_is_not_larger_than_announced(admin: Api) -> None:
    name = f"h{secrets.token_hex(6)}"
    admin.namespace(name)
    data = bytes((1 << 20) + 1)
    plain = {"digest": str(Digest.of(data)), "size": len(data), "namespace": name}
    session = admin.ask("POST", "/v1/uploads", 201, json=plain)
    admin.append(session["id"], 0, data, 413)
    assert admin.ask("GET", f"/v1/uploads/{session['id']}")["offset"] == 0
    admin.append(session["id"], 0, b"", 400)


def test_a_body_that_is_cut_off_stores_nothing(admin: Api, server: Server) -> None:
    name = f"h{secrets.token_hex(6)}"
    admin.namespace(name)
    plain = {"digest": str(Digest.of(b"x" * 1000)), "size": 1000, "namespace": name}
    session = admin.ask("POST", "/v1/uploads", 201, json=plain)["id"]
    parts = urlsplit(server.url)
    token = server.environment["ADMIN"]
    head = (
        f"PATCH /v1/uploads/{session} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\n"
        f"Content-Length: 1000\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        connection.sendall(head.encode() + b"x" * 500)
    assert admin.ask("GET", f"/v1/uploads/{session}")["offset"] == 0
    assert is_alive(server)


def test_more_bytes_than_the_length_do_not_reach_the_next_request(server: Server) -> None:
    """A request that is hidden in the rest of a body is not answered."""
    hidden = b"DELETE /v1/tokens/x HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = request(
        server, "POST", "/v1/tokens", "Content-Type: application/json", "Content-Length: 2",
        "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + hidden,
    )  # fmt: skip
    assert answer.count(b"HTTP/1.1 ") <= 1


def test_huge_headers_are_refused(server: Server) -> None:
    answer = request(server, "GET", "/healthz", "X-Junk: " + "a" * 1_000_000)
    assert status(answer) in (0, 400, 431)
    assert is_alive(server)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_other_methods_are_a_405_that_names_the_right_ones(anybody: Api, method: str) -> None:
    response = anybody.http.request(method, "/config.json")
    assert response.status_code in (400, 405)
    if response.status_code == 405:
        assert "GET" in response.headers["allow"]


def test_an_unknown_path_is_a_problem_document(anybody: Api) -> None:
    problem = anybody.ask("GET", "/nothing", 404)
    assert problem["kind"] == "not_found"
    assert problem["instance"].startswith("urn:skillpm:request:")


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "after=1e9", "after=" + "9" * 30,
                                   "limit=101", "q=" + "a" * 600])  # fmt: skip
def test_malformed_queries_are_a_400(anybody: Api, query: str) -> None:
    anybody.ask("GET", f"/v1/search?{query}", 400)


def test_a_request_id_of_the_client_is_kept_if_it_is_plain(anybody: Api) -> None:
    response = anybody.http.get("/healthz", headers={"x-request-id": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"
    for value in ("a b", "x" * 65, 'a"b', "ä"):
        given = {b"x-request-id": value.encode()}
        assert anybody.http.get("/healthz", headers=given).headers["x-request-id"] != value
