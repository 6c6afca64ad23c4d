"""What names of a lake are refused for: each before anything is asked of AWS."""

from __future__ import annotations

from datetime import date

import pytest

from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.exceptions import InvalidCallError


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("s3://la ke/a", "with a bucket's name of letters, digits and"),
        ("s3://lake/a\nb", "of up to 1,024 printable bytes"),
        (f"s3://lake/{'é' * 513}", "of up to 1,024 printable bytes"),
        ("lake/a", "location: "),
    ],
)
def test_a_place_that_s3_cannot_have_is_refused(value: str, message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        names.place("location", value)


@pytest.mark.parametrize("value", ["s3://lake/a*/", "s3://lake/a?/", "s3://lake/${x}/"])
def test_a_folder_that_a_wildcard_would_widen_is_refused(value: str) -> None:
    with pytest.raises(InvalidCallError, match=r"Expected one folder.*without \*, \? or \$"):
        names.folder("location", value)


@pytest.mark.parametrize("value", ["s3://lake", "s3://lake/", "s3://lake//"])
def test_the_root_of_a_bucket_is_no_folder_of_its_own(value: str) -> None:
    assert names.folder("location", "s3://lake/sales/") == S3Uri("lake", "sales/")
    with pytest.raises(InvalidCallError, match="location is the root of a bucket"):
        names.folder("location", value)


@pytest.mark.parametrize("value", ["s3://lake", "s3://lake/", "s3://lake/rows/"])
def test_a_folder_is_no_file(value: str) -> None:
    assert names.file("rows", "s3://lake/rows.csv") == S3Uri("lake", "rows.csv")
    with pytest.raises(InvalidCallError, match=r"which names no file\. Expected s3://bucket/key\.csv"):
        names.file("rows", value)


def test_a_partition_that_names_a_key_in_two_spellings_is_refused() -> None:
    assert names.partition("partition", {"DT": date(2026, 1, 31), "n": 7}) == {"dt": "2026-01-31", "n": "7"}
    with pytest.raises(InvalidCallError, match=r"partition names one of its keys twice: dt, DT\."):
        names.partition("partition", {"dt": "1", "DT": "2"})


@pytest.mark.parametrize("value", ["['a']", '{"dt": "1"}', "(1, 2)"])
def test_the_text_of_a_list_is_no_value_of_a_partition(value: str) -> None:
    with pytest.raises(InvalidCallError, match="this is the text of a list or a mapping"):
        names.partition_value("partition", value)


def test_no_partition_at_all_is_refused_for_it_may_have_meant_all() -> None:
    assert names.partitions("partitions", ["a", {"dt": "b"}]) == ("a", {"dt": "b"})
    with pytest.raises(InvalidCallError, match="one partition at least; None is all of them"):
        names.partitions("partitions", [])


def test_keys_are_strings_where_only_their_names_are_given() -> None:
    assert names.partition_keys("partitioned_by", "Dt") == (("dt", "string"),)
    assert names.partition_keys("partitioned_by", ["dt", "c"]) == (("dt", "string"), ("c", "string"))
    assert names.partition_keys("partitioned_by", {"dt": "date"}) == (("dt", "date"),)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "Expected names of partition keys"),
        (["dt", "DT"], "each once"),
        (["a b"], "each once"),
        ({"dt": "array<int>"}, "Expected a simple type, such as string or date"),
    ],
)
def test_keys_that_no_table_can_have_are_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        names.partition_keys("partitioned_by", value)


@pytest.mark.parametrize("value", ["today", "%m-%d", "%d%%", "%\udcff"])
def test_a_format_that_gives_every_year_one_partition_is_refused(value: str) -> None:
    assert names.date_format("partition_format", "%Y-%m-%d") == "%Y-%m-%d"
    with pytest.raises(InvalidCallError, match="partition_format is "):
        names.date_format("partition_format", value)


@pytest.mark.parametrize("value", [date(2026, 1, 31), "2026-01-31"])
def test_a_moment_is_a_date_or_text(value: object) -> None:
    assert names.moment("start", value) == value
    with pytest.raises(InvalidCallError, match="Expected a date or a time, such as 2026-01-31"):
        names.moment("start", 20260131)
