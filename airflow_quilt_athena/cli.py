"""``quilt-athena``: what the package offers on the command line. Each sub-command imports what it needs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["local"]:
        return _run_local(words[1:])
    options = _build_parser().parse_args(words)
    run: Command = options.run
    return run(options)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quilt-athena", description="Quilt packages and Amazon Athena, from Airflow."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    commands.add_parser("local", help="serve the embedded local Athena until interrupted")
    _add_policy(commands)
    return parser


def _run_local(arguments: Sequence[str]) -> int:
    """Hand over to the local Athena's own command, which may not be installed."""
    try:
        from local_athena.cli import serve
    except ModuleNotFoundError as error:
        missing = f"quilt-athena local: needs {error.name}: pip install 'airflow-quilt-athena[local]'."
        print(missing, file=sys.stderr)
        return 1
    return serve(arguments, "quilt-athena local")


def _add_policy(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "policy",
        help="print the IAM policy of those who run the operators",
        description=(
            "Print the policy that ProvisionQuiltAthenaOperator makes for the same names, for whoever "
            "approves it. Asks no AWS. A policy that does not fit one document is printed as an object of "
            "documents, by their names."
        ),
    )
    parser.add_argument("--account-id", required=True, help="the AWS account, 12 digits")
    parser.add_argument("--region", required=True, help="the AWS region")
    parser.add_argument("--partition", default="aws", choices=("aws", "aws-cn", "aws-us-gov"))
    parser.add_argument("--results-bucket", required=True, help="the bucket of Athena's results")
    parser.add_argument(
        "--quilt-bucket", action="append", default=[], help="a bucket with Quilt packages; may be repeated"
    )
    parser.add_argument("--database", default="quilt_query", help="default: %(default)s")
    parser.add_argument("--workgroup", default="quilt-query", help="default: %(default)s")
    parser.add_argument("--warehouse", help="the folder that tables may be written to, s3://…")
    parser.add_argument("--source-database", help="a Quilt platform's database, to be readable")
    parser.add_argument("--kms-key-arn", help="the key of results and warehouse")
    parser.add_argument(
        "--lake-formation", action="store_true", help="let what Lake Formation grants be read"
    )
    parser.add_argument("--catalog-kms-key-arn", help="the key of an encrypted Data Catalog")
    parser.add_argument(
        "--quilt-kms-key-arn", action="append", default=[], help="a key of Quilt buckets; may be repeated"
    )
    parser.add_argument(
        "--package-registry",
        action="append",
        default=[],
        help="a bucket to make packages in; may be repeated",
    )
    parser.add_argument(
        "--package-source",
        action="append",
        default=[],
        help="a bucket whose objects those packages name; may be repeated",
    )
    parser.add_argument(
        "--event-queue-arn",
        action="append",
        default=[],
        help="a queue of SQS with events of packages; may be repeated",
    )
    parser.add_argument(
        "--watched-bucket",
        action="append",
        default=[],
        help="a bucket in which watchers keep what they told; may be repeated",
    )
    parser.add_argument("--policy-name", default="AthenaQuiltAccess", help="default: %(default)s")
    parser.set_defaults(run=_run_policy)


def _run_policy(options: argparse.Namespace) -> int:
    from airflow_quilt_athena.core.glue.s3_uri import S3Uri
    from airflow_quilt_athena.core.provisioning.policy import RESULTS_PREFIX, Account, Grant, build_policies
    from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
    from airflow_quilt_athena.exceptions import InvalidCallError

    try:
        for bucket in (options.results_bucket, *options.quilt_bucket):
            check_bucket_name(bucket)
        grant = Grant(
            account=Account(options.partition, options.region, options.account_id),
            results=S3Uri(options.results_bucket, RESULTS_PREFIX),
            quilt_buckets=tuple(options.quilt_bucket),
            database=options.database,
            workgroup=options.workgroup,
            warehouse=S3Uri.parse(options.warehouse) if options.warehouse else None,
            source_database=options.source_database,
            kms_key_arn=options.kms_key_arn,
            lake_formation=options.lake_formation,
            catalog_kms_key_arn=options.catalog_kms_key_arn,
            quilt_kms_key_arns=tuple(options.quilt_kms_key_arn),
            package_registries=tuple(options.package_registry),
            package_sources=tuple(options.package_source),
            event_queue_arns=tuple(options.event_queue_arn),
            watched_buckets=tuple(options.watched_bucket),
        )
        policies = build_policies(options.policy_name, grant)
    except InvalidCallError as error:
        print(f"quilt-athena policy: {error}", file=sys.stderr)
        return 1
    documents = {policy.name: policy.document for policy in policies}
    print(json.dumps(documents if len(policies) > 1 else policies[0].document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
