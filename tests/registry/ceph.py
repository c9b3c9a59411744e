"""Ceph's S3 server on 127.0.0.1: one monitor, one storage daemon in memory, and radosgw."""

import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from services import KEY, free_port, running

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{port}
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
mon allow pool size one = true
mon data avail crit = 0
mon data avail warn = 0
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 2
osd pool default pgp num = 2
osd pool default pg autoscale mode = off
osd objectstore = memstore
memstore device bytes = 4294967296
mon max pg per osd = 1000
run dir = {folder}
keyring = {folder}/keyring
log file = {folder}/$name.log
pid file = {folder}/$name.pid
admin socket = {folder}/$name.asok
crash dir = {folder}
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
rgw crypt require ssl = false
"""


class _NoAnswerError(Exception):
    """radosgw does not answer."""


_TRIES = 3


def _binary(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"Ceph is not installed: there is no `{name}`")
    return path


@contextmanager
def ceph() -> Iterator[str]:
    """Start the three daemons, and yield the address of the S3 server. Takes some 15 seconds."""
    for name in ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool"):
        _binary(name)
    with ExitStack() as stack:
        yield _started(stack)


def _started(stack: ExitStack) -> str:
    """Start the daemons until the block of the stack ends; again if a port was taken meanwhile."""
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(prefix="skillpm-ceph-", dir="/tmp"))
        with ExitStack() as daemons:
            daemons.callback(shutil.rmtree, folder, ignore_errors=True)
            with suppress(_NoAnswerError, subprocess.SubprocessError):
                address = _start(folder, daemons)
                stack.push(daemons.pop_all())
                return address
    pytest.fail("Ceph does not start")


def _start(folder: Path, daemons: ExitStack) -> str:
    port, web, fsid = free_port(), free_port(), str(uuid.uuid4())
    configuration = folder / "ceph.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, fsid=fsid))
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()

    def run(name: str, *arguments: str) -> None:
        command = [_binary(name), "-c", str(configuration), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    def serve(name: str, *arguments: str) -> None:
        command = [_binary(name), "-c", str(configuration), "-f", *arguments]
        daemons.enter_context(running(*command, signal="KILL"))

    address = f"[v1:127.0.0.1:{port}]"
    run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, str(folder / "map"))
    run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "map"))
    serve("ceph-mon", "-i", "a")
    osd = str(uuid.uuid4())
    run("ceph", "--connect-timeout", "60", "osd", "new", osd)
    run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    serve("ceph-osd", "-i", "0")
    serve("radosgw", "-n", "client.rgw", "--rgw-frontends", f"beast endpoint=127.0.0.1:{web}")
    where = f"http://127.0.0.1:{web}"
    _wait_for(where)
    keys = ("--access-key", KEY, "--secret-key", KEY)
    run("radosgw-admin", "user", "create", "--uid", "test", "--display-name", "test", *keys)
    return where


def _wait_for(address: str) -> None:
    for _ in range(900):
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - 127.0.0.1
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise _NoAnswerError
