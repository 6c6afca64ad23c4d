"""The look at a registry whose new files have very long names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_quilt_athena.core.quilt.completeness import CHECKED_PARAMETER, Checked, Listing
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.flows.quilt.completeness import Place, check_completeness
from tests.fakes.glue import FakeGlue
from tests.unit.athena_fake import FakeAthena
from tests.unit.s3_fake import FakeS3

NAMES = BucketNames.of("acme")
A = "a" * 64


class Answering(FakeAthena):
    """Answers every query with no row."""

    def __init__(self) -> None:
        super().__init__(q1=["SUCCEEDED"])

    def get_query_results(self, **request: Any) -> dict[str, Any]:
        return {"ResultSet": {"Rows": [], "ResultSetMetadata": {"ColumnInfo": []}}}


def test_new_files_whose_names_no_statement_holds_are_looked_at_with_all_others() -> None:
    s3, glue, athena = FakeS3(), FakeGlue({"lake": {}}), Answering()
    before = Checked.of(Listing("acme", (), (), False, s3.now - timedelta(hours=1)), ())
    glue.create_table(
        DatabaseName="lake",
        TableInput={
            "Name": NAMES.tags,
            "TableType": "VIRTUAL_VIEW",
            "Parameters": {CHECKED_PARAMETER: str(before.render())},
            "StorageDescriptor": {"Columns": []},
        },
    )
    for number in range(300):
        key = f".quilt/named_packages/team/{'n' * 900}{number:03}/1600000000"
        s3.objects[key] = (A.encode(), s3.now)
    place = Place("lake", "wg", ManifestSource.of_bucket(NAMES, "lake"))
    check_completeness(athena, glue, s3, "acme", place, timeout_seconds=60)
    (sent,) = athena.started
    assert len(sent["QueryString"]) < 262_144
    assert "n" * 900 not in sent["QueryString"]
    assert NAMES.packages in sent["QueryString"]
