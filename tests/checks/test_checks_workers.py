"""The handlers of the workers, called without the sandbox."""

from typing import Any

from worker_calls import call

from skillpm.checks.answers import code_of, plain_text

SQL = {
    "schema": "CREATE TABLE t (a INT, b TEXT)",
    "rows": {"t": [[1, "x"], [2, "y"], [2, "x"], [3, None]]},
    "gold": "SELECT b FROM t WHERE a > 1",
}


PRODUCT = ", ".join(f"t t{n}" for n in range(9))


def sql(**changed: Any) -> dict[str, Any]:
    return {"sql": {**SQL, **changed}}


def test_sql_worker_judges_and_finds_faults() -> None:
    check = sql()
    right, wrong, empty, broken, bomb, many, ordered, none, fault, open_rows, few, table = call(
        "skillpm.checks.worker",
        [
            {"check": check, "answer": "SELECT b FROM t WHERE a >= 2"},
            {"check": check, "answer": "SELECT b FROM t"},
            {"check": check, "answer": "```\n```"},
            {"check": check, "answer": "SELECT c FROM t"},
            {"check": check, "answer": "SELECT replace(hex(zeroblob(400000)), '0', 'xx')"},
            {"check": check, "answer": f"SELECT 1 FROM {PRODUCT}"},  # noqa: S608
            {
                "check": sql(gold="SELECT a FROM t ORDER BY a"),
                "answer": "SELECT a FROM t ORDER BY -a",
            },
            {"check": check},
            {"check": sql(gold="SELECT c FROM t")},
            {"check": sql(gold="SELECT a FROM t LIMIT 1")},
            {"check": sql(gold="SELECT a FROM t WHERE a > 9 AND a < 0")},
            {"check": sql(schema="CREATE TABLE t (a INT PRIMARY KEY) WITHOUT ROWID")},
        ],
    )  # fmt: skip
    assert right == {"passed": True, "reason": ""}
    assert not any(one["passed"] for one in (wrong, empty, broken, bomb, many))
    assert "the answer has no query" in empty["reason"]
    assert "no such column" in broken["reason"]
    assert "more than" in many["reason"]
    assert "in another order" in ordered["reason"]
    assert none == {"fault": None}
    assert "fails: no such column" in fault["fault"]
    assert "does not determine" in open_rows["fault"]
    assert "no row" in few["fault"]
    assert "fails" in table["fault"]


def test_python_worker_runs_tests() -> None:
    check = {"python": "assert f(1) == 2\nassert f(2) == 3"}
    right, wrong, raised, memory, none, fault = call(
        "skillpm.checks.worker",
        [
            {"check": check, "answer": "def f(x): return x + 1"},
            {"check": check, "answer": "def f(x): return 2"},
            {"check": check, "answer": "x = 1\nraise SystemExit(1)"},
            {"check": check, "answer": "raise MemoryError('all used')"},
            {"check": check},
            {"check": {"python": "assert"}},
        ],
    )
    assert right["passed"]
    assert "a test failed in line 2: AssertionError" in wrong["reason"]
    assert "the answer failed in line 2: SystemExit: 1" in raised["reason"]
    assert memory == "all used"
    assert none == {"fault": None}
    assert "SyntaxError" in fault["fault"]


def test_schema_worker_validates() -> None:
    schema = {
        "properties": {
            "a": {"type": "string", "pattern": "^x"}, "u": {"uniqueItems": True},
        },
        "patternProperties": {"^p": {"type": "integer"}},
        "additionalProperties": {"type": "boolean"},
    }  # fmt: skip
    closed = {"properties": {"a": {}}, "additionalProperties": False}
    levels: dict[str, Any] = {
        f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(30)
    }
    bomb = {"$defs": {**levels, "l30": {}}, "$ref": "#/$defs/l0"}
    answers = [
        '{"a": "xy", "p": 1, "b": true, "u": [1, {"c": 2.0}, [2]]}', '{"a": "y"}', '{"p": "1"}',
        '{"b": 3}', '{"u": [{"c": [1.0]}, {"c": [1]}]}', "no", "[]",
    ]  # fmt: skip
    found = call(
        "skillpm.checks.schema_worker",
        [
            *({"check": {"json_schema": schema}, "answer": answer} for answer in answers),
            {"check": {"json_schema": closed}, "answer": '{"a": 1, "z": 1}'},
            {"check": {"json_schema": closed}, "answer": '{"a": 1}'},
            {"check": {"json_schema": bomb}, "answer": "{}"},
            {"check": {"json_schema": bomb}},
            {"check": {"json_schema": {"type": 3}}},
            {"check": {"json_schema": {"$ref": "#/$defs/none"}}},
            {"check": {"json_schema": {"$ref": "#"}}},
        ],
    )
    passed = [one.get("passed") for one in found[:10]]
    assert passed == [True, False, False, False, False, False, True, False, True, False]
    assert "steps" in found[9]["reason"]
    faults = [one["fault"] for one in found[10:]]
    assert faults[0] is None
    assert "invalid" in faults[1]
    assert "the schema has no" in faults[2]
    assert "refers to itself" in faults[3]


def test_command_worker_finds_programs() -> None:
    found, missing, other, absent = call(
        "skillpm.checks.command_worker",
        [
            {"check": {"command": ["true"]}},
            {"check": {"command": ["no-such-program"]}},
            {"check": {"equals": "x"}},
            {"check": {"command": ["no-such-program"]}, "answer": "x"},
        ],
    )
    assert found == {"fault": None}
    assert "no program 'no-such-program'" in missing["fault"]
    assert other == "equals"
    assert "no program" in absent


def test_code_of_an_answer() -> None:
    assert code_of("x\n```sql\nSELECT 1\n```\ny\n```\nSELECT 2\n```") == "SELECT 1"
    assert code_of("  ````\n```\n````") == "```"
    assert code_of("```python\nf()") == "f()"
    assert code_of(" `SELECT 1` ") == "SELECT 1"
    assert code_of("SELECT a FROM `t`") == "SELECT a FROM `t`"
    assert code_of("```" * 20_000) == ""
    assert plain_text(" e\u0301 ") == "é"
