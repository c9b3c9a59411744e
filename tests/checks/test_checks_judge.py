"""The judge: programs run only if allowed and confined, and verdicts keep the order of answers."""

import os
from pathlib import Path

import pytest

from skillpm.checks.judge import Judge
from skillpm.checks.kinds import parse_check
from skillpm.errors import GraftError, StateError, UsageError

DOUBLE = parse_check({"python": "assert double(2) == 4\nassert double(0) == 0"})


def test_programs_are_refused_unless_they_are_allowed() -> None:
    with pytest.raises(UsageError) as caught, Judge() as judge:
        judge.verdicts([(DOUBLE, "def double(x): return 2 * x")])
    assert "python" in caught.value.message
    assert "--allow-exec" in str(caught.value.hint)
    with pytest.raises(UsageError), Judge() as judge:
        judge.faults([parse_check({"command": ["true"]})])


def test_reward_needs_a_model() -> None:
    reward = parse_check({"reward": {"model": "judge", "at_least": 0.5}})
    with pytest.raises(StateError, match="needs a classifier"), Judge(allow_exec=True) as judge:
        judge.verdicts([(reward, "x")])


def test_mixed_checks_are_judged_in_order_with_progress() -> None:
    number, equals = parse_check({"number": 4}), parse_check({"equals": "4"})
    done: list[int] = []
    with Judge(allow_exec=True) as judge:
        verdicts = judge.verdicts(
            [(number, "4"), (DOUBLE, "def double(x): return 2 * x"), (equals, "5"),
             (DOUBLE, "def double(x): return x"), (number, "is 4.")],
            advance=done.append,
        )  # fmt: skip
    assert [verdict.passed for verdict in verdicts] == [True, True, False, False, True]
    assert sum(done) == 5


PROGRAMS = {
    "syntax": "def double(x) return x",
    "raise": "raise KeyError('x')",
    "exit": "raise SystemExit(0)",
    "exit hard": "import os\nos._exit(0)",
    "crash": "import ctypes\nctypes.string_at(0)",
    "memory": "double = lambda x: [0] * 10**10",
    "recursion": "def double(x): return double(x)",
    "file": "open('/etc/passwd').read()",
    "home": f"open({str(Path.home() / '.bashrc')!r}).read()",
    "process": "import os\nos.fork()",
    "program": "import os\nos.execv('/bin/true', ['true'])",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "signal": f"import os\nos.kill({os.getpid()}, 9)",
    "fill": "for n in range(10_000):\n    open(f'{n}', 'wb').write(bytes(1 << 20))",
    "print": "print('x' * 10**6)",
    "import": "import skillpm.checks.check as c\nc.PASSED = None",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_fails_within_the_sandbox(program: str) -> None:
    with Judge(allow_exec=True) as judge:
        bad, good = judge.verdicts([
            (DOUBLE, PROGRAMS[program]), (DOUBLE, "def double(x): return 2 * x"),
        ])  # fmt: skip
    assert not bad.passed
    assert bad.reason
    assert good.passed


def test_no_answer_sees_what_another_left() -> None:
    poison = "import builtins\nbuiltins.double = lambda x: 2 * x\nopen('left', 'w').write('x')"
    with Judge(allow_exec=True) as judge:
        first, second, third = judge.verdicts([
            (DOUBLE, poison), (DOUBLE, "pass"),
            (DOUBLE, "import os\nassert os.path.exists('left')\ndouble = lambda x: 2 * x"),
        ])  # fmt: skip
    assert first.passed
    assert not second.passed
    assert not third.passed


@pytest.mark.parametrize("kind", ["number", "sql", "python"])
def test_all_checks_together_have_a_limit_of_time(kind: str) -> None:
    check, answer = {
        "number": (parse_check({"number": 4}), "4"),
        "sql": (
            parse_check({"sql": {"schema": "CREATE TABLE t (a)", "rows": {"t": [[1]]},
                                 "gold": "SELECT a FROM t"}}),
            "SELECT a FROM t",
        ),
        "python": (DOUBLE, "def double(x): return 2 * x"),
    }[kind]  # fmt: skip
    done: list[int] = []
    judge = Judge(allow_exec=True, seconds=0)
    for count in (1, 2):  # the limit holds for all uses together
        answers = f"for {count} answer"
        with pytest.raises(GraftError, match=f"more than 0 seconds, {answers}") as caught, judge:
            judge.verdicts([(check, answer)] * 3, advance=done.append)
    assert not done
    assert "cheaper gold queries" in str(caught.value.hint)


def test_tests_that_python_cannot_compile_are_a_fault() -> None:
    with Judge(allow_exec=True) as judge:
        faults = judge.faults([parse_check({"python": "assert ("}), DOUBLE])
    assert "SyntaxError" in str(faults[0])
    assert faults[1] is None


@pytest.mark.slow
def test_endless_program_is_stopped() -> None:
    with Judge(allow_exec=True) as judge:
        found = judge.verdicts([(DOUBLE, "while True: pass")])[0]
    assert not found.passed
    assert "the work was stopped" in found.reason  # by SIGXCPU or SIGKILL, which the kernel selects


@pytest.mark.parametrize(
    ("arguments", "answer", "right"),
    [
        (["grep", "-q", "four"], "it is four", True),
        (["grep", "-q", "four"], "it is five", False),
        (["grep", "-q", "four", "answer.txt"], "it is four", True),
        (["/usr/bin/env", "true"], "x", True),
        (["true"], "x", True),
        (["false"], "x", False),
        (["sh", "-c", "read line; [ $line = 4 ]"], "4", True),
        (["sh", "-c", "read line; [ $line = 4 ]"], "5", False),
        (["sh", "-c", "exit 3"], "x", False),
        (["sh", "-c", "cat /etc/passwd > /dev/null"], "x", False),
        (["cat", "/etc/passwd"], "x", False),
        (["ls", str(Path.home())], "x", False),
        (["sh", "-c", "true | true"], "x", False),
        (["dd", "if=/dev/zero", "of=full", "bs=1048576", "count=100"], "x", False),
        (["no-such-program"], "x", False),
        (["./answer.txt"], "#!/bin/true", False),
    ],
)
def test_command_judges_by_its_exit_code(arguments: list[str], answer: str, *, right: bool) -> None:
    with Judge(allow_exec=True) as judge:
        found = judge.verdicts([(parse_check({"command": arguments}), answer)])[0]
    assert found.passed is right, found.reason


def test_command_that_does_not_exist_is_a_fault() -> None:
    with Judge(allow_exec=True) as judge:
        faults = judge.faults([
            parse_check({"command": ["no-such-program"]}), parse_check({"command": ["true"]}),
        ])  # fmt: skip
    assert "no program 'no-such-program'" in str(faults[0])
    assert faults[1] is None


def test_unchanged_policy_still_starts_no_program() -> None:
    program = "import os\nos.execve('/bin/true', ['true'], {})"
    with Judge(allow_exec=True) as judge:
        judge.verdicts([(parse_check({"command": ["true"]}), "x")])
        found = judge.verdicts([(DOUBLE, program)])[0]
    assert "PermissionError" in found.reason or "not permitted" in found.reason
