"""`sql`: equal queries pass, queries that are right by accident fail, and bombs are stopped."""

from collections.abc import Iterator
from typing import Any

import pytest

from skillpm.checks.check import Verdict
from skillpm.checks.judge import Judge
from skillpm.checks.kinds import parse_check
from skillpm.checks.sql_results import difference, is_ordered
from skillpm.checks.sql_variants import variants
from skillpm.errors import GraftError, SpecError

SCHEMA = """
CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, age INT, pay REAL);
CREATE TABLE tasks (staff INT REFERENCES staff (id), title TEXT, hours INT);
"""
ROWS = {
    "staff": [
        [1, "Ann", "Rome", 31, 10.5], [2, "Bob", "Oslo", 25, 11.5], [3, "Cid", "Rome", 45, 10.5],
        [4, "Dan", "Paris", 31, 9.25], [5, "Eve", None, 52, 12.0],
    ],
    "tasks": [[1, "mend", 3], [1, "sew", 5], [3, "mend", 2], [4, "dig", 7], [2, "dig", 1]],
}  # fmt: skip


def sql(gold: str, **others: Any) -> Any:
    return parse_check({"sql": {"schema": SCHEMA, "rows": ROWS, "gold": gold, **others}})


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


def verdict(judge: Judge, gold: str, answer: str, **others: Any) -> Verdict:
    return judge.verdicts([(sql(gold, **others), answer)])[0]


CITY = "SELECT name FROM staff WHERE city = 'Rome' AND age > 30"


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (CITY, "SELECT name FROM staff WHERE age > 30 AND city = 'Rome'"),
        (CITY, "SELECT s.name AS who FROM staff AS s WHERE s.city = 'Rome' AND s.age >= 31;"),
        (CITY, "Here it is:\n```sql\nselect name from staff where city='Rome' and age>30\n```"),
        (CITY, "WITH o AS (SELECT * FROM staff WHERE age>30) SELECT name FROM o WHERE city='Rome'"),
        ("SELECT count(*) FROM tasks", "SELECT sum(1.0) FROM tasks"),
        ("SELECT avg(pay) FROM staff", "SELECT sum(pay) / count(pay) FROM staff"),
        ("SELECT city FROM staff WHERE city IS NULL", "SELECT NULL FROM staff WHERE city IS NULL"),
        (
            "SELECT name FROM staff ORDER BY name DESC",
            "SELECT name FROM staff ORDER BY name COLLATE BINARY DESC",
        ),
        ("SELECT name FROM staff ORDER BY age", "SELECT name FROM staff ORDER BY age, name"),
        (
            "SELECT name FROM staff ORDER BY age DESC LIMIT 1",
            "SELECT name FROM staff WHERE age = (SELECT max(age) FROM staff)",
        ),
        (
            "SELECT city, count(*) FROM staff GROUP BY city HAVING count(*) > 1",
            "SELECT * FROM (SELECT city, count(*) AS n FROM staff GROUP BY 1) WHERE n >= 2",
        ),
        (
            "SELECT title FROM tasks WHERE staff NOT IN (SELECT id FROM staff WHERE age < 40)",
            "SELECT title FROM tasks t LEFT JOIN staff ON id=t.staff AND age<40 WHERE id IS NULL",
        ),
    ],
)  # fmt: skip
def test_equal_query_passes(judge: Judge, gold: str, answer: str) -> None:
    assert verdict(judge, gold, answer) == Verdict(True)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (CITY, "SELECT name FROM staff WHERE city = 'Rome'"),
        (CITY, "SELECT name FROM staff WHERE name IN ('Ann', 'Cid')"),
        (CITY, "SELECT 'Ann' UNION ALL SELECT 'Cid'"),
        (CITY, "SELECT name FROM staff WHERE city = 'Rome' AND age > 31"),
        (CITY, "SELECT name FROM staff WHERE city = 'Rome' AND age >= 30"),
        (CITY, "SELECT name, age FROM staff WHERE city = 'Rome' AND age > 30"),
        (CITY, "SELECT name FROM staff WHERE pay = 10.5"),
        ("SELECT name FROM staff WHERE pay > 11", "SELECT name FROM staff WHERE pay >= 11"),
        ("SELECT name FROM staff WHERE pay > 10.75", "SELECT name FROM staff WHERE pay >= 10.75"),
        (
            "SELECT name FROM staff ORDER BY age DESC LIMIT 1",
            "SELECT name FROM staff ORDER BY pay DESC LIMIT 1",
        ),
        ("SELECT name FROM staff WHERE name LIKE 'A%'", "SELECT name FROM staff WHERE id = 1"),
        ("SELECT city FROM staff", "SELECT DISTINCT city FROM staff"),
        ("SELECT name FROM staff ORDER BY age DESC, name", "SELECT name FROM staff"),
        ("SELECT max(age) FROM staff", "SELECT 52"),
        ("SELECT count(*) FROM staff", "SELECT count(city) FROM staff"),
        (
            "SELECT s.name FROM staff s JOIN tasks t ON t.staff = s.id WHERE t.hours > 4",
            "SELECT s.name FROM staff s JOIN tasks t ON t.staff = s.id WHERE t.hours > 3",
        ),
        ("SELECT city FROM staff WHERE city IS NULL", "SELECT '' FROM staff WHERE city IS NULL"),
        ("SELECT pay FROM staff", "SELECT CAST(pay AS TEXT) FROM staff"),
        (CITY, "I do not know"),
        (CITY, ""),
        (CITY, "```sql\n```"),
    ],
)  # fmt: skip
def test_other_query_fails(judge: Judge, gold: str, answer: str) -> None:
    assert not verdict(judge, gold, answer).passed


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
BOMBS = {
    "recursion": f"{ENDLESS} SELECT max(x) FROM c",  # noqa: S608
    "product": f"SELECT count(*) FROM {', '.join(f'staff s{n}' for n in range(20))}",  # noqa: S608
    "rows": f"{ENDLESS} SELECT x FROM c",  # noqa: S608
    "zeroblob": "SELECT zeroblob(1000000000)",
    "blobs": "SELECT group_concat(hex(zeroblob(400000))) FROM staff a, staff b, staff c",
    "printf": "SELECT printf('%1000000000d', 1)",
    "replace": "SELECT replace(hex(zeroblob(200000)), '0', hex(zeroblob(200000)))",
    "randomblob": "SELECT randomblob(1000000000)",
    "sort": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 400000) "
    "SELECT x FROM c ORDER BY hex(zeroblob(900)) || x",
    "attach": "ATTACH 'stolen.db' AS s",
    "attach in memory": "ATTACH ':memory:' AS s",
    "pragma": "PRAGMA journal_mode = WAL",
    "pragma function": "SELECT * FROM pragma_database_list",
    "load": "SELECT load_extension('evil.so')",
    "insert": "INSERT INTO staff SELECT * FROM staff",
    "delete": "DELETE FROM staff",
    "drop": "DROP TABLE staff",
    "create": "CREATE TEMP TABLE t AS SELECT 1",
    "vacuum": "VACUUM INTO 'copy.db'",
    "transaction": "BEGIN",
    "statements": "SELECT 1; DROP TABLE staff",
    "depth": f"SELECT {'(' * 5000}1{')' * 5000}",
    "unions": " UNION ALL ".join(["SELECT 1"] * 600),
    "like": f"SELECT '{'a' * 20000}' LIKE '{'%a' * 40}b'",
    "glob": f"SELECT '{'a' * 20000}' GLOB '{'*a' * 400}b'",
    "nul": "SELECT 1 \0",
    "long": f"SELECT '{'x' * 60000}'",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bomb_is_stopped_and_the_next_answer_is_judged(judge: Judge, bomb: str) -> None:
    bombed, right = judge.verdicts([(sql(CITY), BOMBS[bomb]), (sql(CITY), CITY)])
    assert not bombed.passed
    assert bombed.reason
    assert right.passed


def test_bomb_in_the_gold_query_or_the_schema_is_a_fault(judge: Judge) -> None:
    faults = judge.faults([
        sql(BOMBS["recursion"]),
        sql(CITY, schema=f"{SCHEMA}; ATTACH 'x.db' AS y;"),
        sql(CITY, schema=f"{SCHEMA}; INSERT INTO staff VALUES (9, 'x', 'x', 1, 1);"),  # noqa: S608
        sql(CITY, schema=f"{SCHEMA}; CREATE TRIGGER t INSERT ON staff BEGIN SELECT 1; END;"),
        sql(CITY, schema=f"{SCHEMA}; CREATE VIRTUAL TABLE v USING fts5(a);"),
        sql("SELECT nonsense FROM staff"),
        sql("SELECT name FROM staff WHERE age > 1000 AND age < 0"),
        sql("SELECT name FROM staff LIMIT 1"),
        sql(CITY, rows={"staff": [[1, "Ann"]]}),
        sql(CITY, rows={"missing": [[1]]}),
        sql(CITY),
    ])  # fmt: skip
    assert all(fault for fault in faults[:-1])
    assert faults[-1] is None
    assert "steps" in str(faults[0])
    assert "no such column" in str(faults[5])
    assert "no row" in str(faults[6])
    assert "does not determine" in str(faults[7])


def test_check_with_a_fault_fails_every_answer_with_its_reason(judge: Judge) -> None:
    found = verdict(judge, "SELECT nonsense FROM staff", "SELECT nonsense FROM staff")
    assert not found.passed
    assert "the gold query" in found.reason


def test_several_given_databases_are_all_used(judge: Judge) -> None:
    one = {"staff": [[1, "Ann", "Rome", 31, 1.0]], "tasks": []}
    two = {"staff": [[1, "Ann", "Oslo", 31, 1.0], [2, "Bob", "Rome", 40, 1.0]], "tasks": []}
    assert verdict(judge, CITY, CITY, rows=[one, two, ROWS]).passed
    found = verdict(judge, CITY, "SELECT name FROM staff WHERE id = 1", rows=[one, two, ROWS])
    assert "database 2" in found.reason


def test_one_worker_serves_two_hundred_answers(judge: Judge) -> None:
    answers = [(sql(CITY), f"{CITY} -- {number}") for number in range(200)]
    judge.verdicts(answers[:1])
    (worker,) = judge._workers.values()
    session = worker._session
    assert all(verdict.passed for verdict in judge.verdicts(answers))
    assert worker._session is session


def test_time_of_all_work_in_sandboxes_is_limited() -> None:
    with pytest.raises(GraftError, match="took more than 0 seconds"), Judge(seconds=0) as judge:
        judge.verdicts([(sql(CITY), CITY)])


@pytest.mark.parametrize(
    "answer", [f"`{CITY}`", f"```{CITY}```", f"```\n{CITY}", f"~~~sql\n{CITY}\n~~~"]
)
def test_query_is_found_in_backquotes_and_fences(judge: Judge, answer: str) -> None:
    assert verdict(judge, CITY, answer).passed


def test_variants_are_the_same_on_every_machine() -> None:
    first = variants(
        {"staff": [[1, "Ann", 31], [2, "Bob", 31], [3, "Cid", 45]]}, "SELECT 30, 'Zoe'"
    )
    assert first[0] == variants(
        {"staff": [[1, "Ann", 31], [2, "Bob", 31], [3, "Cid", 45]]}, "SELECT 30, 'Zoe'"
    )[0]  # fmt: skip
    ages = {row[2] for rows in first for row in rows["staff"]}
    assert ages <= {29, 30, 31, 45}
    assert {29, 30, 31} & ages
    assert any("Zoe" in {row[1] for row in rows["staff"]} for rows in first)


def test_variants_keep_null_and_uneven_rows() -> None:
    found = variants(
        {"t": [[None, 1], [None, 1]], "empty": [], "uneven": [[1], [1, 2]]}, "SELECT 1"
    )
    assert all(row[0] is None for rows in found for row in rows["t"])
    assert all(rows["uneven"] == [[1], [1, 2]] and rows["empty"] == [] for rows in found)


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("SELECT a FROM t order\n by a", True),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False),
        ("WITH c AS (SELECT 1 ORDER BY 1) SELECT * FROM c", False),
        ("SELECT 'ORDER BY a' FROM t", False),
        ("SELECT a FROM t -- ORDER BY a", False),
        ("SELECT a /* ORDER BY */ FROM t", False),
        ('SELECT "ORDER BY" FROM t', False),
        ("SELECT rank() OVER (ORDER BY a) FROM t", False),
        ("SELECT f(')') FROM t ORDER BY 1", True),
    ],
)
def test_order_counts_outside_parentheses(query: str, *, ordered: bool) -> None:
    assert is_ordered(query) is ordered


def test_results_are_bags_with_a_tolerance_for_floats() -> None:
    assert difference([(2, "b"), (1, "a")], [(1, "a"), (2, "b")], ordered=False) is None
    assert difference([(2, "b"), (1, "a")], [(1, "a"), (2, "b")], ordered=True)
    assert difference([(0.1 + 0.2,)], [(0.3,)], ordered=True) is None
    assert difference([(1,)], [(1.0,)], ordered=True) is None
    assert difference([(None,)], [(None,)], ordered=True) is None
    assert difference([(None,)], [(0,)], ordered=True)
    assert difference([("1",)], [(1,)], ordered=True)
    assert difference([(b"1",)], [("1",)], ordered=True)
    assert difference([(1,), (1,)], [(1,)], ordered=False)
    assert difference([], [], ordered=False) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": []}, {"rows": {"t": [[[1]]]}}, {"rows": {"t": [[2**63]]}},
        {"rows": {"t": [["x" * 9000]]}}, {"rows": {"t": [[1]] * 2001}},
        {"rows": {f"t{n}": [] for n in range(33)}}, {"rows": {"t": [list(range(20001))]}},
        {"rows": {"t": "x"}}, {"gold": ""}, {"gold": "x" * 5000}, {"schema": "x" * 20000},
        {"order": True},
    ],
)  # fmt: skip
def test_document_has_limits(changed: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        sql(**{"gold": CITY, **changed})
