"""``local-athena conformance``: the table run on any endpoint, an emulator or Amazon's own."""

from __future__ import annotations

import argparse
import json
import sys
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_athena.conformance.lake import EndpointClients, Lake
from local_athena.conformance.report import Compared, compare, render, summarize
from local_athena.conformance.table import topics
from local_athena.errors import LocalAthenaError


def run(options: argparse.Namespace) -> int:
    """Run the table, and print how the answers compare with the real Trino's. Raises LocalAthenaError."""
    unknown = sorted(set(options.topic) - set(topics()))
    if unknown:
        known = ", ".join(topics())
        raise LocalAthenaError(f"There is no topic {', '.join(unknown)}. Choose from: {known}.")
    if options.endpoint is None and options.bucket is None:
        raise LocalAthenaError(
            "Name an emulator with --endpoint; or, for the AWS account of your environment, an empty bucket "
            "with --bucket, which is emptied afterwards. Athena bills each statement."
        )
    token = uuid.uuid4().hex[:8]
    lake = Lake(
        _clients(options.endpoint, options.region),
        options.bucket or f"conformance{token}",
        options.database or f"conformance_{token}",
        workgroup=options.workgroup,
        timeout_seconds=options.timeout,
    )
    try:
        lake.fill()
        try:
            compared = _compared(lake, options.topic or list(topics()))
        finally:
            lake.remove()
    except (ClientError, BotoCoreError) as error:
        raise LocalAthenaError(f"{options.endpoint or 'AWS'} cannot run the table: {error}") from error
    summary = summarize(compared)
    print(json.dumps(summary, ensure_ascii=False, indent=1) if options.json else render(summary))
    if options.disagreements and not options.json:
        for one in summary["disagreements"]:
            print(json.dumps(one, ensure_ascii=False))
    return 0


def _compared(lake: Lake, chosen: list[str]) -> list[Compared]:
    compared: list[Compared] = []
    for topic in chosen:
        compared += compare(topic, lake.answers(topic))
        print(f"{topic}: {len(topics()[topic])} statements run", file=sys.stderr)
    return compared


def _clients(endpoint: str | None, region: str | None) -> EndpointClients:
    session = boto3.Session(region_name=region)
    if session.region_name is None:
        session = boto3.Session(region_name="us-east-1")
    # Emulators ask for a signature and take any.
    keys = {}
    if endpoint is not None and session.get_credentials() is None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    # A path names the bucket: no emulator needs a name server.
    config = Config(
        retries={"mode": "standard", "max_attempts": 3 if endpoint is None else 1},
        s3={"addressing_style": "path"} if endpoint else {},
    )
    athena, s3, glue = (
        session.client(name, endpoint_url=endpoint, config=config, **keys)
        for name in ("athena", "s3", "glue")
    )
    return EndpointClients(athena, s3, glue)
