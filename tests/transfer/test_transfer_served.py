"""A source behind a real OpenAI-compatible server, `transformers serve` on 127.0.0.1."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transfer_world import TransferWorld

SERVE = "from transformers.cli.transformers import main; main()"


@contextmanager
def served(model: Path, port: int = 0) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A server of a model folder: its port, and its process."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available():
        pytest.skip("needs the libraries of `transformers[serving]`")
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    command = [
        sys.executable, "-c", SERVE, "serve", str(model), "--host", "127.0.0.1",
        "--port", str(port), "--device", "cpu",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    log = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        try:
            _wait(port, process)
            yield port, process
        finally:
            process.kill()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(3000):
        assert process.poll() is None, "the server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not start")


def endpoint(port: int, model: Path) -> str:
    return f'endpoint = "http://127.0.0.1:{port}/v1"\nserved = "{model}"'


def test_endpoint_and_folder_give_the_same_rows(transfer: "TransferWorld") -> None:
    transfer.write(temperature=0, batch=1)
    transfer.run("--until", "filter")
    old = transfer.workspace
    with served(transfer.models.source) as (port, _):
        transfer.write(source=endpoint(port, transfer.models.source), temperature=0, batch=1)
        report = transfer.run("--until", "filter")
    (new,) = set((transfer.world.home / "transfer").iterdir()) - {old}
    assert (new / "sft.jsonl").read_bytes() == (old / "sft.jsonl").read_bytes()
    assert report["sources"][0]["source"].startswith(f"endpoint 127.0.0.1:{port}/")


@pytest.mark.slow
def test_server_that_dies_loses_no_answer(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillpm.transfer.sources.endpoint._FIRST_WAIT", 0.001)
    with served(transfer.models.source) as (port, process):
        transfer.write(source=endpoint(port, transfer.models.source), temperature=0)
        transfer.run("--dry-run")
        process.kill()
        process.wait()
        message = transfer.fail("--until", "filter", code=5, kind="registry")
        assert "recorded answers are kept" in message
    log = transfer.workspace / "answers" / "gpt.jsonl"
    before = log.read_bytes()
    assert before.count(b"\n") >= 8
    with served(transfer.models.source, port):
        transfer.run("--until", "filter")
    assert log.read_bytes().startswith(before)
    ids = [json.loads(line)["id"] for line in log.read_text().splitlines()]
    assert len(set(ids)) == len(ids) == 108
