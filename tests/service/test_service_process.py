"""The process: start, stop, kill, logs, limits, health, metrics."""

import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from live_server import Server, configured, initialized, running
from skillpm_world import run_process, start_process
from small_packs import small_pack

from skillpm.spec.digests import Digest
from skillpm.spec.served import blob_path


def test_serve_without_configuration_serves_the_embedded_registry(tmp_path: Path) -> None:
    with running(tmp_path / "s") as server:
        assert server.url.startswith("http://127.0.0.1:")
        token = server.printed.strip()
        assert token.startswith("skillpm_")
        api = server.client(token)
        assert api.ask("GET", "/v1/whoami")["administrator"]
        api.namespace("acme")
        pack = small_pack("acme/math")
        api.publish(pack)
        assert server.stop() == 0
        server.start()
        assert server.printed.strip() == token, "the token is printed once"
        assert server.client().http.get("/index/acme/math.json").status_code == 200
    home = server.folder / "home"
    listed = run_process("search", "--json", SKILLPM_HOME=str(home))
    assert [row["skill"] for row in listed.json["results"]] == ["acme/math"]


def test_serve_without_configuration_stays_on_this_machine(tmp_path: Path) -> None:
    everywhere = ("--host", "0.0.0.0", "--port", "0")  # noqa: S104 - it must be refused
    outcome = run_process("registry", "serve", *everywhere, "--json", SKILLPM_HOME=str(tmp_path))
    assert outcome.code == 2
    assert "this machine only" in outcome.error["message"]


def test_a_port_in_use_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        outcome = run_process(
            "registry", "serve", "--port", port, "--json", SKILLPM_HOME=str(tmp_path)
        )
    assert outcome.code == 1
    assert "cannot listen" in outcome.error["message"]
    assert "--port" in outcome.error["hint"]


def test_a_stopping_server_finishes_the_request_that_it_is_handling(tmp_path: Path) -> None:
    with running(tmp_path / "s") as server:
        api = server.client(server.printed.strip())
        api.namespace("acme")
        data = secrets.token_bytes(100_000)
        plain = {"digest": str(Digest.of(data)), "size": len(data), "namespace": "acme"}
        session = api.ask("POST", "/v1/uploads", 201, json=plain)["id"]
        parts = urlsplit(server.url)
        head = (
            f"PATCH /v1/uploads/{session} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n"
            f"Authorization: Bearer {server.printed.strip()}\r\n\r\n"
        )
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(head.encode() + data[:50_000])
            time.sleep(0.2)
            stopped: list[int] = []
            stopping = threading.Thread(target=lambda: stopped.append(server.stop()))
            stopping.start()
            time.sleep(0.3)
            connection.sendall(data[50_000:])
            answer = connection.recv(65536)
        stopping.join()
        assert stopped == [0]
        assert answer.startswith(b"HTTP/1.1 200")
        server.start()
        assert server.client(server.printed.strip()).ask(
            "GET", f"/v1/uploads/{session}"
        )["offset"] == len(data)  # fmt: skip


@pytest.mark.parametrize("cuts", [5])
def test_a_killed_server_loses_no_acknowledged_chunk(tmp_path: Path, cuts: int) -> None:
    with running(tmp_path / "s") as server:
        token = server.printed.strip()
        server.client(token).namespace("acme")
        data = secrets.token_bytes(2_000_000)
        digest = Digest.of(data)
        plain = {"digest": str(digest), "size": len(data), "namespace": "acme"}
        session = server.client(token).ask("POST", "/v1/uploads", 201, json=plain)["id"]
        acknowledged, chunk, sent = 0, 65536, 0
        for cut in range(cuts):
            killer = threading.Timer(0.05 + 0.03 * cut, server.kill)
            killer.start()
            api = server.client(token)
            try:
                while acknowledged < len(data):
                    piece = data[acknowledged : acknowledged + chunk]
                    sent += len(piece)
                    acknowledged = api.append(session, acknowledged, piece)["offset"]
            except Exception:  # noqa: BLE001, S110 - the server was killed
                pass
            killer.join()
            server.start()
            offset = server.client(token).ask("GET", f"/v1/uploads/{session}")["offset"]
            assert acknowledged <= offset <= acknowledged + chunk
            acknowledged = offset
        api = server.client(token)
        while acknowledged < len(data):
            piece = data[acknowledged : acknowledged + chunk]
            sent += len(piece)
            acknowledged = api.append(session, acknowledged, piece)["offset"]
        api.ask("PUT", f"/v1/uploads/{session}")
        assert sent <= len(data) + cuts * chunk


def test_a_server_killed_while_it_publishes_shows_all_or_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "s") as server:
        token = server.printed.strip()
        server.client(token).namespace("acme")
        acknowledged: list[str] = []
        for round_ in range(4):
            killer = threading.Timer(0.1 + 0.1 * round_, server.kill)
            killer.start()
            api = server.client(token)
            try:
                for number in range(200):
                    version = f"{round_ + 1}.{number}.0"
                    api.publish(small_pack("acme/math", version, data=secrets.token_bytes(20)))
                    acknowledged.append(version)
            except Exception:  # noqa: BLE001, S110 - the server was killed
                pass
            killer.join()
            server.start()
        # The next release is numbered after all that were committed.
        server.client(token).publish(small_pack("acme/math", "99.0.0"))
        document = server.client().ask("GET", "/index/acme/math.json")
        published = {entry["version"]: entry for entry in document["releases"]}
        assert set(acknowledged) <= set(published)
        assert sorted(entry["position"] for entry in published.values()) == list(
            range(len(published))
        )
        for entry in published.values():
            path = f"/blobs{blob_path(Digest(entry['digest']))}"
            assert server.client().http.get(path).status_code == 200


def test_the_log_is_json_with_ids_and_without_secrets(server: Server) -> None:
    token = server.environment["ADMIN"]
    api = server.client(token)
    secret = secrets.token_hex(16)
    response = api.http.get("/v1/search", params={"q": secret}, headers={"cookie": secret})
    identifier = response.headers["x-request-id"]
    deadline = time.monotonic() + 10
    rows: list[dict[str, object]] = []
    while not rows and time.monotonic() < deadline:
        rows = [line for line in server.log if line.get("request_id") == identifier]
    (row,) = rows
    assert row["event"] == "request"
    assert (row["method"], row["route"], row["status"]) == ("GET", "/v1/search", 200)
    assert row["principal"] == "admin"
    assert row["token"] == token.split("_")[1]
    text = (server.folder / "stderr").read_text()
    assert secret not in text
    assert token not in text
    assert token.split("_", 2)[2] not in text


def test_health_readiness_and_metrics(server: Server) -> None:
    api = server.client()
    assert api.ask("GET", "/healthz") == {"status": "ok"}
    assert api.ask("GET", "/readyz") == {"status": "ready"}
    text = api.http.get("/metrics").text
    assert 'skillpm_requests_total{method="GET",route="/healthz",status="200"}' in text
    assert "skillpm_request_seconds_bucket" in text


def test_a_client_beyond_its_rate_gets_429_and_others_do_not(tmp_path: Path) -> None:
    limits = "reads_per_minute = 60\nwrites_per_minute = 60\nexchanges_per_minute = 6"
    arguments = configured(
        tmp_path / "registry", limits=limits, head='trusted_proxies = ["127.0.0.1"]'
    )
    initialized(arguments)
    with running(tmp_path / "s", *arguments) as server:
        api = server.client()
        first = {"x-forwarded-for": "203.0.113.1, 127.0.0.1"}
        responses = [api.http.get("/config.json", headers=first) for _ in range(15)]
        statuses = [response.status_code for response in responses]
        assert statuses[:10] == [200] * 10
        assert 429 in statuses
        refused = next(response for response in responses if response.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit"].startswith('"reads";r=0;t=')
        assert refused.json()["kind"] == "registry"
        other = {"x-forwarded-for": "203.0.113.1, 198.51.100.7"}
        answer = api.http.get("/config.json", headers=other)
        assert answer.status_code == 200
        etag = {"if-none-match": answer.headers["etag"], **other}
        for _ in range(30):
            assert api.http.get("/config.json", headers=etag).status_code == 304
        assert api.http.get("/healthz", headers=first).status_code == 200


def test_a_quota_bounds_what_a_namespace_stores(tmp_path: Path) -> None:
    limits = "reads_per_minute = 0\nwrites_per_minute = 0\nnamespace_bytes = 5000"
    arguments = configured(tmp_path / "registry", limits=limits)
    token = initialized(arguments)
    with running(tmp_path / "s", *arguments) as server:
        api = server.client(token)
        api.namespace("acme")
        plain = {"digest": str(Digest.of(b"x")), "size": 6000, "namespace": "acme"}
        problem = api.ask("POST", "/v1/uploads", 413, json=plain)
        assert "5000" in problem["detail"]
        api.publish(small_pack("acme/math"))


def test_the_openapi_document_describes_every_endpoint(server: Server) -> None:
    document = server.client().ask("GET", "/openapi.json")
    assert document["openapi"] == "3.1.0"
    operations = [
        (path, method) for path, methods in document["paths"].items() for method in methods
    ]
    assert ("/v1/releases", "post") in operations
    assert len(operations) > 30
    names = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(set(names)) == len(names)
    references: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            references.update(value[key] for key in value if key == "$ref")
            for child in value.values():
                walk(child)
        elif isinstance(value, list):
            for child in value:
                walk(child)

    walk(document)
    schemas = document["components"]["schemas"]
    assert {text.rpartition("/")[2] for text in references} <= set(schemas)
    assert json.dumps(document)


def test_sigterm_before_the_server_answers_ends_it(tmp_path: Path) -> None:
    with start_process("registry", "serve", "--port", "0", SKILLPM_HOME=str(tmp_path)) as process:
        time.sleep(0.3)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode in (0, 130, -15)
    assert os.path.lexists(tmp_path)
