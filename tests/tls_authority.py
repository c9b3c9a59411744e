"""A certificate authority of the tests, and a proxy for the connections to its servers."""

import contextlib
import ipaddress
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Authority:
    """An authority. `pem` is the file of its certificate, which clients may trust."""

    pem: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        folder.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder("authority of the tests", "authority of the tests", key, datetime.now(UTC))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        pem = folder / "authority.pem"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(pem, key, certificate)

    def server_context(
        self, address: str = "127.0.0.1", *, since: datetime | None = None
    ) -> ssl.SSLContext:
        """The TLS context of a server for an address; its certificate is valid for two days."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            _builder(address, "authority of the tests", key, since or datetime.now(UTC))
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self.pem.with_name(f"server-{certificate.serial_number}.pem")
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, since: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since - _DAY)
        .not_valid_after(since + _DAY)
    )


class _Tunnel(socketserver.StreamRequestHandler):
    """Answers `CONNECT HOST:PORT` with a tunnel to that place."""

    def handle(self) -> None:
        proxy = cast(_ProxyServer, self.server).proxy
        words = self.rfile.readline().decode().split()
        headers: dict[str, str] = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        proxy.asked.append((words[0], words[1], headers.get("proxy-authorization")))
        if proxy.refuses:
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        host, _, port = words[1].rpartition(":")
        with socket.create_connection((host, int(port))) as target:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(target, self.connection), daemon=True)
            back.start()
            _pump(self.connection, target)
            back.join(5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class _ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    proxy: "TunnelProxy"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


@dataclass
class TunnelProxy:
    """A proxy for HTTPS; `asked` has method, target and credentials of each request."""

    port: int
    refuses: bool = False
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)


@contextmanager
def tunnelling() -> Iterator[TunnelProxy]:
    """A proxy on 127.0.0.1 until the block ends."""
    with _ProxyServer(("127.0.0.1", 0), _Tunnel) as server:
        server.proxy = TunnelProxy(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.proxy
        finally:
            server.shutdown()
            thread.join()
