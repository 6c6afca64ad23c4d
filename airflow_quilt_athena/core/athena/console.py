"""Pages of the AWS console, in the partition (aws, aws-cn, aws-us-gov) of a region."""

from __future__ import annotations

from urllib.parse import urlencode

from airflow_quilt_athena.core.glue.s3_uri import S3Uri


def _host(region: str) -> str:
    if region.startswith("cn-"):
        return "console.amazonaws.cn"
    if region.startswith("us-gov-"):
        return "console.amazonaws-us-gov.com"
    return "console.aws.amazon.com"


def query_url(region: str, query_execution_id: str) -> str:
    """Return the page of a query in the Athena console.

    >>> query_url("eu-west-1", "1f2e")
    'https://console.aws.amazon.com/athena/home?region=eu-west-1#/query-editor/history/1f2e'
    """
    return f"https://{_host(region)}/athena/home?region={region}#/query-editor/history/{query_execution_id}"


def folder_url(region: str, folder: S3Uri) -> str:
    """Return the page of a folder in the S3 console.

    >>> folder_url("eu-west-1", S3Uri("b", "t/a=1/"))
    'https://console.aws.amazon.com/s3/buckets/b?region=eu-west-1&prefix=t%2Fa%3D1%2F'
    """
    query = urlencode({"region": region, "prefix": folder.folder.key})
    return f"https://{_host(region)}/s3/buckets/{folder.bucket}?{query}"
