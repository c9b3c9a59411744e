"""Limits of a worker: memory, time, files, answers; and the messages when they are exceeded."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from escape_attempts import HERE, MODULE

from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.sandbox.policy import SandboxLimits, SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.report import SandboxLayer

MEGABYTE = 1 << 20
POLICY = SandboxPolicy(MODULE, SandboxLimits(memory=256 * MEGABYTE, answer_bytes=MEGABYTE))
SPACE = frozenset({SandboxLayer.MOUNT_NAMESPACE})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{HERE.parents[1]}{os.pathsep}{HERE}")
        made = Sandbox(POLICY)
        made.open({}, 5.0)
        yield made
        made.close()


def fails(sandbox: Sandbox, seconds: float = 30.0, **request: Any) -> ForeignWorkError:
    session = sandbox.open({}, seconds)
    with pytest.raises(ForeignWorkError) as caught:
        session.ask(request)
    return caught.value


def check_works(sandbox: Sandbox) -> None:
    """Check that a new session answers, whatever happened to the previous one."""
    session = sandbox.open({"a.txt": b"a"}, 30.0)
    assert session.ask({"attempt": "read", "path": "a.txt"}) == {"got": "a"}


@pytest.mark.parametrize("attempt", ["allocate", "map"])
def test_allocation_above_the_limit_is_refused_and_the_session_continues(
    sandbox: Sandbox, attempt: str
) -> None:
    session = sandbox.open({}, 30.0)
    with pytest.raises(ForeignWorkError) as caught:
        session.ask({"attempt": attempt, "bytes": 8 << 30})
    assert caught.value.kind in {FailureKind.MEMORY, FailureKind.REFUSED}
    assert "memory" in str(caught.value)
    assert session.ask({"attempt": "allocate", "bytes": 10}) == {"got": 10}


@pytest.mark.parametrize(
    ("attempt", "kind", "message"),
    [
        ("sleep", FailureKind.TIME, "it took more time than it has"),
        ("spin", FailureKind.TIME, "it took more time than it has"),
        ("print", FailureKind.TIME, "it took more time than it has"),
        ("endless", FailureKind.OUTPUT, "it answered more than 1048576 bytes"),
        ("twice", FailureKind.OUTPUT, "it gave more than one answer to a request"),
        ("large", FailureKind.MEMORY, "it needs more memory than the sandbox has"),
        ("crash", FailureKind.CRASHED, "its process was ended by SIGSEGV"),
        ("exit", FailureKind.CRASHED, "its process ended with exit code 3"),
        ("panic", FailureKind.CRASHED, "its process was ended by SIG"),
    ],
)
def test_worker_failure_has_a_reason_and_the_next_session_works(
    sandbox: Sandbox, attempt: str, kind: FailureKind, message: str
) -> None:
    problem = fails(sandbox, 2.0 if kind is FailureKind.TIME else 30.0, attempt=attempt)
    if attempt == "large" and problem.kind is FailureKind.OUTPUT:
        assert "its answer has" in str(problem)
    else:
        assert problem.kind is kind
        assert str(problem).startswith(message)
    assert str(problem).isprintable()
    check_works(sandbox)


@pytest.mark.parametrize(
    "line",
    [
        "", "[]", "null", "{}", '{"answer": 1}', '{"error": 1, "kind": "refused"}',
        '{"error": "x", "kind": "other"}', "[" * 100_000, '{"answer": {}', "NaN", "9" * 5000,
        '{"error": "x", "kind": ["refused"]}', "\udcff", '{"error": "x", "kind": {}}',
    ],
)  # fmt: skip
def test_malformed_answer_is_refused(sandbox: Sandbox, line: str) -> None:
    text = line.encode(errors="surrogateescape").decode(errors="replace")
    problem = fails(sandbox, attempt="nonsense", line=text)
    assert problem.kind is FailureKind.OUTPUT
    check_works(sandbox)


def test_processor_time_limit_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}{os.pathsep}{HERE}")
    limits = replace(POLICY.limits, processor_seconds=1)
    sandbox = Sandbox(replace(POLICY, limits=limits))
    problem = fails(sandbox, 60.0, attempt="spin")
    assert problem.kind in {FailureKind.TIME, FailureKind.CRASHED}
    assert "SIGKILL" in str(problem) or "processor time" in str(problem)
    sandbox.close()


@pytest.mark.parametrize("without", [frozenset(), SPACE], ids=["in memory", "on the disk"])
def test_writable_folder_is_limited(
    without: frozenset[SandboxLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}{os.pathsep}{HERE}")
    limits = replace(POLICY.limits, folder_bytes=4 * MEGABYTE)
    sandbox = Sandbox(replace(POLICY, limits=limits, without=without))
    session = sandbox.open({}, 30.0)
    try:
        written = session.ask({"attempt": "fill"})["got"]
    except ForeignWorkError as problem:
        assert problem.kind is FailureKind.FOLDER  # noqa: PT017 - one of two ways to be stopped
    else:
        assert MEGABYTE < written <= 6 * MEGABYTE
    finally:
        sandbox.close()


def test_worker_without_a_folder_limit_cannot_write(sandbox: Sandbox) -> None:
    assert sandbox.open({}, 30.0).ask({"attempt": "fill"}) == {"got": 0}


def test_time_limit_applies_to_all_requests_of_a_session(sandbox: Sandbox) -> None:
    session = sandbox.open({}, 1.0)
    session.left = 0.0
    with pytest.raises(ForeignWorkError, match="took more time"):
        session.ask({"attempt": "files"})
    with pytest.raises(ForeignWorkError, match="its process has ended"):
        session.ask({"attempt": "files"})


def test_file_names_must_be_plain(sandbox: Sandbox) -> None:
    for name in ("../a", "/a", "a/b", "..", "", "."):
        with pytest.raises(ForeignWorkError, match="not a plain file name"):
            sandbox.open({name: b""}, 1.0)
    check_works(sandbox)


def test_request_size_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}{os.pathsep}{HERE}")
    limits = replace(POLICY.limits, request_bytes=1000)
    sandbox = Sandbox(replace(POLICY, limits=limits))
    with pytest.raises(ForeignWorkError, match="the request has 1"):
        sandbox.open({"a": bytes(1000)}, 5.0)
    with pytest.raises(ForeignWorkError, match="the request has"):
        sandbox.open({}, 5.0).ask({"attempt": "x" * 1000})
    sandbox.close()


def test_worker_that_cannot_be_imported_is_an_error_with_its_reason() -> None:
    sandbox = Sandbox(SandboxPolicy("skillpm.sandbox.no_such_module"))
    with pytest.raises(ForeignWorkError, match="cannot be started: No module named") as caught:
        sandbox.open({}, 5.0)
    assert caught.value.kind is FailureKind.NOT_STARTED


def test_unknown_python_path_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(ForeignWorkError, match="path of the Python interpreter is unknown"):
        Sandbox(POLICY).open({}, 5.0)
