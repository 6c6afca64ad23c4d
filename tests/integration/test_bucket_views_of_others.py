"""Whose a view is, before it is replaced or dropped; and two refreshes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.exceptions import ManualActionError, QuiltAthenaError
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.drop_views import DropRequest, drop_bucket_views
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from local_athena import Fault, LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements
from tests.integration.lab import Lab, put_quilt_bucket

pytestmark = pytest.mark.integration

MARK = "quilt_athena.created_by"


class Shelf:
    """A bucket with a package, and a database for its views."""

    def __init__(self, aws: LocalAthena, unique: Callable[[str], str]) -> None:
        self.lab = Lab.open(aws, unique)
        self.aws = aws
        self.bucket = unique("acme-data")
        put_quilt_bucket(self.lab.client("s3"), self.bucket)
        self.names = BucketNames.of(self.bucket)

    def refresh(self) -> Plan:
        request = RefreshRequest((self.bucket,), self.lab.database, self.lab.workgroup)
        athena, glue = self.lab.client("athena"), self.lab.client("glue")
        return refresh_bucket_views(athena, glue, request, timeout_seconds=60)

    def drop(self) -> dict[str, str]:
        plan = drop_bucket_views(self.lab.client("glue"), DropRequest((self.bucket,), self.lab.database))
        return {step.name.partition(".")[2]: step.action.value for step in plan.steps}

    def table(self, name: str) -> Any:
        return self.lab.client("glue").get_table(DatabaseName=self.lab.database, Name=name)["Table"]

    def unmark(self, name: str) -> None:
        """Take our mark away, as a run leaves a view that is stopped before it marks it."""
        table = self.table(name)
        kept = {"Name", "TableType", "ViewOriginalText", "ViewExpandedText", "StorageDescriptor"}
        definition = {field: table[field] for field in kept}
        parameters = {
            key: value for key, value in table["Parameters"].items() if not key.startswith("quilt_athena.")
        }
        self.lab.client("glue").update_table(
            DatabaseName=self.lab.database, TableInput={**definition, "Parameters": parameters}
        )

    def steps(self, plan: Plan) -> dict[str, list[str]]:
        return {
            step.name.partition(".")[2]: [detail.setting for detail in step.details]
            for step in plan.steps
            if step.does_something
        }


@pytest.fixture
def shelf(aws: LocalAthena, unique: Callable[[str], str]) -> Iterator[Shelf]:
    yield Shelf(aws, unique)
    aws.set_faults()


@pytest.mark.parametrize("kind", ["packages_view", "objects_view", "revisions", "entries", "tags"])
def test_a_view_that_somebody_else_made_is_refused_and_stays(shelf: Shelf, kind: str) -> None:
    name = getattr(shelf.names, kind)
    shelf.lab.run(f"CREATE VIEW {name} AS SELECT 'theirs' AS pkg_name")
    with pytest.raises(
        ManualActionError, match=f"View {shelf.lab.database}.{name} was made by somebody else"
    ):
        shelf.refresh()
    assert shelf.lab.tables() == {name}  # nothing was made
    assert shelf.lab.rows(f"SELECT * FROM {name}") == [("theirs",)]
    assert shelf.drop()[name] == "unchanged"
    assert shelf.lab.tables() == {name}


def test_a_view_of_ours_that_was_replaced_by_hand_is_put_right_and_dropped(shelf: Shelf) -> None:
    shelf.refresh()
    shelf.lab.run(f"CREATE OR REPLACE VIEW {shelf.names.tags} AS SELECT 1 AS mine")
    assert list(shelf.steps(shelf.refresh())) == [shelf.names.tags]
    shelf.lab.run(f"CREATE OR REPLACE VIEW {shelf.names.tags} AS SELECT 1 AS mine")
    assert set(shelf.drop().values()) == {"removed"}
    assert shelf.lab.tables() == set()


def test_views_whose_maker_was_stopped_before_it_marked_them_are_known_by_their_text(shelf: Shelf) -> None:
    shelf.refresh()
    for name in shelf.names.views:
        shelf.unmark(name)
    assert set(shelf.steps(shelf.refresh())) == set(shelf.names.views)
    assert not shelf.refresh().changed
    for name in shelf.names.views:
        shelf.unmark(name)
    assert set(shelf.drop().values()) == {"removed"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "skip"),
    [
        ("glue:CreateTable", 0),
        ("glue:CreateTable", 1),
        ("athena:StartQueryExecution", 2),
        ("glue:UpdateTable", 0),
    ]
    + [("glue:UpdateTable", skip) for skip in (2, 4)],
)
def test_stopped_at_any_write_the_next_refresh_ends_it(shelf: Shelf, call: str, skip: int, when: Any) -> None:
    shelf.aws.set_faults(Fault(call, "ValidationException", skip=skip, when=when))
    with pytest.raises(QuiltAthenaError, match="ValidationException"):
        shelf.refresh()
    shelf.refresh()
    assert not shelf.refresh().changed
    assert all(shelf.table(name)["Parameters"][MARK] for name in shelf.names.views)


def test_the_views_of_quilts_documentation_are_adopted_and_the_plan_says_so(shelf: Shelf) -> None:
    for statement in seed_statements(shelf.lab.database, shelf.bucket).values():
        shelf.lab.run(statement)
    assert set(shelf.drop().values()) == {"unchanged"}  # nobody asked us to
    steps = shelf.steps(shelf.refresh())
    for name in (*shelf.names.tables, *shelf.names.compatible_views):
        assert steps[name][0] == "adopt"
    assert not shelf.refresh().changed
    # What was made before us stays; the views are ours by now.
    dropped = shelf.drop()
    assert {name for name, action in dropped.items() if action == "unchanged"} == set(shelf.names.tables)


def test_a_view_made_by_a_sister_at_the_same_time_is_no_failure(shelf: Shelf) -> None:
    fault = Fault(
        "athena:query", "ALREADY_EXISTS", message="View already exists", matching=shelf.names.entries, times=2
    )
    shelf.aws.set_faults(fault)
    shelf.refresh()
    assert not shelf.refresh().changed
