from __future__ import annotations

import pytest

from airflow_quilt_athena.core.athena.console import folder_url, query_url
from airflow_quilt_athena.core.glue.s3_uri import S3Uri


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "console.aws.amazon.com"),
        ("cn-north-1", "console.amazonaws.cn"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_pages_are_in_the_partition_of_the_region(region: str, host: str) -> None:
    assert query_url(region, "1f2e") == (
        f"https://{host}/athena/home?region={region}#/query-editor/history/1f2e"
    )
    assert folder_url(region, S3Uri("b", "t/k=a b&c")) == (
        f"https://{host}/s3/buckets/b?region={region}&prefix=t%2Fk%3Da+b%26c%2F"
    )
