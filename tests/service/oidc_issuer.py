"""An OIDC issuer on 127.0.0.1 with real keys, which can rotate, be slow, lie and vanish."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeyParameters, RSAKey

Key = RSAKey | ECKey


@dataclass
class Issuer:
    """The issuer: its keys, the requests that it got, and what it claims."""

    keys: dict[str, Key] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    broken: bool = False
    url: str = ""
    jwks_uri: str = ""
    documents: dict[str, bytes] = field(default_factory=dict)

    def rotate(self, kid: str, kind: str = "RSA") -> Key:
        """Replace all keys by a new one."""
        parameters: KeyParameters = {"kid": kid, "use": "sig"}
        key: Key = (
            RSAKey.generate_key(2048, parameters)
            if kind == "RSA"
            else ECKey.generate_key("P-256", parameters)
        )
        self.keys = {kid: key}
        return key

    def claims(self, audience: str, **changes: Any) -> dict[str, Any]:
        """Claims like those of a GitHub workflow on its main branch."""
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": audience, "iat": now, "nbf": now, "exp": now + 300,
            "jti": f"jti-{time.time_ns()}", "sub": "repo:acme/skills:ref:refs/heads/main",
            "repository": "acme/skills", "repository_id": "123", "repository_owner_id": "45",
            "event_name": "push", "ref": "refs/heads/main", "environment": "release",
            "workflow": "release",
            "job_workflow_ref": "acme/skills/.github/workflows/release.yml@refs/heads/main",
        }  # fmt: skip
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, audience: str, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token that is signed with the newest key."""
        kid, key = next(iter(self.keys.items()))
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        head = {"alg": algorithm, "kid": kid, **(header or {})}
        return jwt.encode(head, self.claims(audience, **changes), key)

    def answer(self, path: str) -> bytes | None:
        self.requests.append(path)
        if self.broken:
            return None
        if path in self.documents:
            return self.documents[path]
        if path == "/.well-known/openid-configuration":
            uri = self.jwks_uri or f"{self.url}/keys"
            return json.dumps({"issuer": self.url, "jwks_uri": uri}).encode()
        if path == "/keys":
            return json.dumps(
                {"keys": [key.as_dict(private=False) for key in self.keys.values()]}
            ).encode()
        return None


@contextmanager
def issuer_on_loopback() -> Iterator[Issuer]:
    """Run an issuer in a thread, with one RSA key `first`."""
    issuer = Issuer()
    issuer.rotate("first")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = issuer.answer(self.path)
            self.send_response(500 if body is None else 200)
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
