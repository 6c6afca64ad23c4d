from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.exceptions import InvalidCallError

keys = st.text(st.characters(blacklist_categories=["Cs"]))


@given(keys)
def test_any_key_survives_its_text(key: str) -> None:
    uri = S3Uri("bucket", key)
    assert S3Uri.parse(str(uri)) == uri


@pytest.mark.parametrize("text", ["", "bucket/key", "https://bucket/key", "s3:///key", "s3://"])
def test_what_is_no_s3_uri_is_refused(text: str) -> None:
    with pytest.raises(InvalidCallError, match="Not an S3 URI"):
        S3Uri.parse(text)


def test_a_part_is_appended_below_the_folder() -> None:
    assert str(S3Uri.parse("s3://b/t") / "dt=1/") == "s3://b/t/dt=1/"
    assert str(S3Uri.parse("s3://b/t/") / "dt=1") == "s3://b/t/dt=1"
    assert str(S3Uri.parse("s3://b") / "t") == "s3://b/t"


def test_a_folder_does_not_contain_its_longer_namesake() -> None:
    table = S3Uri.parse("s3://b/t")
    assert table.contains(S3Uri.parse("s3://b/t/dt=1"))
    assert table.contains(S3Uri.parse("s3://b/t/"))
    assert not table.contains(S3Uri.parse("s3://b/tt"))
    assert not table.contains(S3Uri.parse("s3://other/t/dt=1"))
    assert S3Uri("b").contains(table)


def test_the_name_is_the_last_part() -> None:
    assert S3Uri.parse("s3://b/x/y/").name == "y"
    assert S3Uri.parse("s3://b/x/y").name == "y"
