"""Publishers in threads, which speak plain HTTP to a server that may be killed."""

import json
import random
import sys
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.registry.packs import TinyPack, tiny_pack
from skillpm.spec.digests import Digest

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "service")]

from live_server import Server  # noqa: E402 - the tests own the server

NAMESPACE = "bench"
SKILLS = 20
"""Skills of each publisher."""
PAYLOADS = 50
_LONGEST = 2.0
"""Seconds between two attempts."""
_JSON = "application/json"
_IMAGE = "application/vnd.oci.image.manifest.v1+json"
_BYTES = "application/octet-stream"


def pack_of(publisher: int, number: int, part: str) -> TinyPack:
    """The pack that a publisher publishes next. Payloads are shared by all."""
    payload = bytes([(publisher + number) % PAYLOADS]) * 1000
    return tiny_pack(f"{NAMESPACE}/{part}{publisher}-{number % SKILLS}", f"1.{number}.0", payload)


class StoppedError(Exception):
    """The time to publish is over."""


@dataclass
class PublisherClient:
    """A publisher's connection. Sends a request until the server has answered it."""

    server: Server
    token: str
    stop: threading.Event
    repeated: int = 0
    _connection: HTTPConnection | None = None
    _address: str = ""

    def ask(
        self, method: str, path: str, body: bytes, kind: str, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """The status and the document of the answer. Raises `StoppedError` once `stop` is set."""
        given = {"authorization": f"Bearer {self.token}", "content-type": kind, **headers}
        wait = 0.05
        while not self.stop.is_set():
            try:
                answer = self._send(method, path, body, given)
            except (OSError, HTTPException):
                self._connection = None
            else:
                if answer[0] < 500:
                    return answer
            self.repeated += 1
            wait = min(2 * wait, _LONGEST)
            self.stop.wait(wait * random.uniform(0.5, 1))
        raise StoppedError

    def _send(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        if self._connection is None or self._address != self.server.url:
            self._address = self.server.url
            self._connection = HTTPConnection(urlsplit(self._address).netloc, timeout=60)
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data else {}


def upload(client: PublisherClient, digest: Digest, data: bytes) -> None:
    """Upload a blob as clients do: begin or continue, one chunk, finish."""
    plain = {"digest": str(digest), "size": len(data), "namespace": NAMESPACE}
    while True:
        status, session = client.ask("POST", "/v1/uploads", json.dumps(plain).encode(), _JSON)
        if status == 200 and session["state"] == "present":
            return
        if status not in (200, 201):
            continue
        path, offset = f"/v1/uploads/{session['id']}", session["offset"]
        if offset < len(data):
            client.ask("PATCH", path, data[offset:], _BYTES, **{"upload-offset": str(offset)})
        client.ask("PUT", path, b"", _BYTES)


@dataclass
class Crowd:
    """Publishers in threads, and what was acknowledged to them: digests by skill and version."""

    server: Server
    token: str
    count: int
    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    repeated: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, stop: threading.Event, part: str, most: int, *, uploads: bool) -> int:
        """Publish until `stop` is set, at most `most` packs each.

        Returns how many were acknowledged.
        """
        before = len(self.acknowledged)
        threads = [
            threading.Thread(
                target=self._publish, args=(number, stop, part, most), kwargs={"uploads": uploads}
            )
            for number in range(self.count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(self.acknowledged) - before

    def _publish(
        self, publisher: int, stop: threading.Event, part: str, most: int, *, uploads: bool
    ) -> None:
        client = PublisherClient(self.server, self.token, stop)
        try:
            for number in range(most):
                pack = pack_of(publisher, number, part)
                self._publish_one(client, pack, uploads=uploads)
        except StoppedError:
            pass
        with self.lock:
            self.repeated += client.repeated

    def _publish_one(self, client: PublisherClient, pack: TinyPack, *, uploads: bool) -> None:
        while True:
            if uploads:
                for digest, data in pack.blobs.items():
                    upload(client, digest, data)
            status, answer = client.ask("POST", "/v1/releases", pack.image, _IMAGE)
            if status in (200, 201) and answer["position"] is not None:
                break
        with self.lock:
            self.acknowledged[answer["skill"], answer["version"]] = answer["digest"]
