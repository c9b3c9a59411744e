"""nginx with the configuration of docs/deploy, in front of a real server."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_server import Api, Server, configured, initialized, running
from services import free_port

REPOSITORY = Path(__file__).parents[2]
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 16384;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  keepalive_requests 100000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/site.conf;
}}
"""


@dataclass
class Site:
    """nginx, the server behind it, and an administrator who goes through nginx."""

    server: Server
    url: str
    token: str
    process: "subprocess.Popen[bytes]"

    @property
    def admin(self) -> Api:
        return Api(self.url, self.token)

    @property
    def anybody(self) -> Api:
        return Api(self.url)

    def api(self, token: str) -> Api:
        return Api(self.url, token)


def write_site(folder: Path, backend: str, registry: Path, port: int, connections: int) -> Path:
    """The documented configuration, with the addresses and folders of the test."""
    text = (REPOSITORY / "docs" / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{port} backlog=4096;"),
        ("127.0.0.1:8765", backend.removeprefix("http://")),
        ("/srv/skillpm/public", f"{registry}/public"),
        ("/srv/skillpm/blobs/blobs/", f"{registry}/blobs/"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "site.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(MAIN.format(folder=folder, user=user, connections=connections))
    return path


@contextmanager
def nginx_site(folder: Path, connections: int = 256) -> Iterator[Site]:
    """A server on SQLite and folders behind nginx."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    head = 'accel_redirect = "/_blobs"\ntrusted_proxies = ["127.0.0.1"]'
    arguments = configured(folder / "registry", head=head)
    token = initialized(arguments)
    with running(folder, *arguments) as server:
        port = free_port()
        path = write_site(folder, server.url, folder / "registry", port, connections)
        subprocess.run([nginx, "-t", "-q", "-c", str(path)], check=True)
        process = subprocess.Popen([nginx, "-c", str(path)])
        try:
            site = Site(server, f"http://127.0.0.1:{port}", token, process)
            _wait_for(port)
            yield site
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("nginx does not start")
