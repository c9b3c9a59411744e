"""Judges queries by running them beside the gold query. Runs in the sandbox."""

from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

from skillpm.checks.answers import code_of
from skillpm.checks.check import PASSED, Verdict, failed
from skillpm.checks.sql import Rows, SqlCheck
from skillpm.checks.sql_database import DatabaseError, QueryDatabase, Row
from skillpm.checks.sql_results import difference, is_ordered
from skillpm.checks.sql_variants import variants

DATABASES = 3
"""The least databases on which an answer is compared."""


@dataclass(frozen=True)
class _Expected:
    """A database, and the gold query's rows on it. `ordered`: whether their order counts."""

    rows: Rows
    given: bool
    result: list[Row]
    ordered: bool


class SqlExaminer:
    """Judges queries by a check's gold query."""

    def __init__(self, check: SqlCheck) -> None:
        self._check = check

    def fault(self) -> str | None:
        """Why the check cannot judge.

        The gold query fails, gives no row on every database, or gives rows that the data does not
        determine, such as those of a LIMIT without ORDER BY.
        """
        try:
            expected = self._expected
        except DatabaseError as problem:
            return f"the gold query or the schema fails: {problem}"
        if len(expected) < DATABASES or not any(case.given for case in expected):
            return "the data does not determine the rows of the gold query"
        if not any(case.result for case in expected):
            return "the gold query gives no row on any database"
        return None

    def verdict(self, answer: str) -> Verdict:
        """Run the query on every database, and compare its rows with those of the gold query."""
        query = code_of(answer)
        if not query:
            return failed("the answer has no query")
        fault = self.fault()
        if fault is not None:
            return failed(fault)
        for number, case in enumerate(self._expected, start=1):
            try:
                with closing(self._database(case.rows, given=case.given)) as database:
                    found = database.query(query)
            except DatabaseError as problem:
                return failed(f"the query fails: {problem}")
            clause = difference(found, case.result, ordered=case.ordered)
            if clause is not None:
                return failed(f"on database {number}, {clause}")
        return PASSED

    @cached_property
    def _expected(self) -> list[_Expected]:
        """The databases on which the data determines the gold query's rows; the given ones first.

        Raises `DatabaseError` if the gold query fails on a given database.
        """
        gold = self._check.gold
        cases = [self._case(rows, given=True) for rows in self._check.rows]
        for rows in variants(self._check.rows[0], gold):
            try:
                cases.append(self._case(rows, given=False))
            except DatabaseError:
                continue
        return [case for case in cases if case is not None]

    def _case(self, rows: Rows, *, given: bool) -> _Expected | None:
        """Run the gold query, also on the tables in reverse. None if that gives other rows.

        If it gives the same rows in another order, their order does not count here.
        """
        ordered = is_ordered(self._check.gold)
        result = self._gold(rows, given=given)
        try:
            backwards = self._gold(rows, given=given, backwards=True)
        except DatabaseError:  # A query that needs tables, for example their `rowid`.
            backwards = result
        if difference(backwards, result, ordered=False) is not None:
            return None
        ordered = ordered and difference(backwards, result, ordered=True) is None
        return _Expected(rows, given, result, ordered)

    def _gold(self, rows: Rows, *, given: bool, backwards: bool = False) -> list[Row]:
        with closing(self._database(rows, given=given, backwards=backwards)) as database:
            return database.query(self._check.gold)

    def _database(self, rows: Rows, *, given: bool, backwards: bool = False) -> QueryDatabase:
        return QueryDatabase(self._check.tables, rows, lenient=not given, backwards=backwards)
