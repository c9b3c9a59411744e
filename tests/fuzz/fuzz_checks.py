"""Targets of checks and of the documents of a transfer."""

from collections.abc import Iterator

from fuzz_seeds import dump
from fuzz_target import Target

from skillpm.checks.check import LocalCheck
from skillpm.checks.kinds import parse_check, to_plain
from skillpm.checks.number import number_of
from skillpm.checks.probes import check_problems
from skillpm.checks.sql_results import is_ordered
from skillpm.checks.sql_variants import variants
from skillpm.spec import json
from skillpm.spec.probes import parse_probes
from skillpm.transfer.answers import RecordedAnswer, parse_answers, read_answer_log
from skillpm.transfer.config import parse_transfer
from skillpm.transfer.prompts import parse_keep_prompts, parse_prompts

CHECKS = (
    {"equals": "412"},
    {"number": {"value": 3.5, "tolerance": 0.1}},
    {"regex": {"pattern": "^a(b|c)*$", "match": "full"}},
    {"rules": {"max_words": 3, "case": "title", "contains": ["x"]}},
    {"json_schema": {"properties": {"a": {"pattern": "^x"}}, "required": ["a"], "$defs": {}}},
    {"sql": {"schema": "CREATE TABLE t (a)", "rows": [{"t": [[1], [None]]}], "gold": "SELECT 1"}},
    {"python": "assert f(1)"},
    {"command": ["grep", "-q", "x"]},
    {"reward": {"model": "m", "at_least": 0.5, "label": 1}},
)
ANSWERS = (
    rb"The answer is \boxed{1,234.5}.", "x = −3/4 × 10^5 €".encode(), b"#### 1e5",
    rb"\frac{3}{4} 1'234 v1.2.3",
)  # fmt: skip
PROMPTS = b'{"id": "1", "prompt": "a", "check": {"number": 4}, "tags": ["x"]}\n'
KEEP = b'{"id": "1", "messages": [{"role": "user", "content": "a"}]}\n'
RECORDED = RecordedAnswer(key="k", id="1", draw=0, text="x", finish="stop", tokens=3).to_line()
TRANSFER = b"""
[target]
base = "model"
skill = "acme/math"
version = "1.0.0"
[[source]]
name = "a"
endpoint = "https://[::1]:8000/v1"
served = "m"
key_env = "KEY"
[prompts]
file = "p.jsonl"
[train]
sft = { epochs = 3, lr = 5e-6 }
[pack]
budget = "5%"
"""
JUDGED = b'{"prompt": "a", "check": {"regex": "b"}, "max_tokens": 5}\n'


def _check(data: bytes) -> object:
    check = parse_check(json.parse(data, "the check"))
    assert parse_check(to_plain(check)) == check
    return check.verdict("a 12") if isinstance(check, LocalCheck) else check.kind


def _query(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    return is_ordered(text), variants({"t": [[1, "a", None], [2, "b", 1.5]]}, text)


def _transfer(data: bytes) -> object:
    document = parse_transfer(data.decode("utf-8", "replace"))
    return [source.origin for source in document.source], document.to_dict()


def _probes(data: bytes) -> object:
    return parse_probes(data, "the probes", check_problems)


def check_targets() -> Iterator[Target]:
    """Parsers of checks, prompts, answers and transfer files."""
    yield Target("check", _check, tuple(map(dump, CHECKS)))
    yield Target("number", lambda data: number_of(data.decode("utf-8", "replace")), ANSWERS)
    yield Target("query", _query, (b"SELECT a FROM t WHERE b = 'x''y' AND c > 3.5 ORDER BY a",))
    yield Target("judged probes", _probes, (JUDGED,))
    yield Target("prompts", parse_prompts, (PROMPTS,))
    yield Target("keep prompts", parse_keep_prompts, (KEEP,))
    yield Target("answers", parse_answers, (b'{"id": "1", "text": "a"}\n',))
    yield Target("answer log", lambda data: read_answer_log(data, "the log"), (RECORDED,))
    yield Target("transfer file", _transfer, (TRANSFER,))
