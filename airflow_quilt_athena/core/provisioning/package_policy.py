"""What making packages and listening for them needs beside the policy of the other operators. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_quilt_athena.core.provisioning.arns import ANYTHING, Account, resource_of
from airflow_quilt_athena.core.provisioning.grants import Grant, Statement, allow, prefixes
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.core.quilt.watch import WATCHERS_FOLDER

_WORKFLOWS = ".quilt/workflows/"
_READ = ("s3:GetObject", "s3:GetObjectVersion")


def package_statements(grant: Grant) -> tuple[Statement, ...]:
    """Return what of all this is granted."""
    queues = [resource_of(arn) for arn in sorted(set(grant.event_queue_arns))]
    registries, sources = sorted(set(grant.package_registries)), sorted(set(grant.package_sources))
    return (
        *(build_package_statements(grant.account, registries, sources) if registries else ()),
        *([allow("HearOfRevisions", ["sqs:ReceiveMessage", "sqs:DeleteMessage"], queues)] if queues else ()),
        *(_watcher_statements(grant.account, sorted(set(grant.watched_buckets)))),
    )


def _watcher_statements(account: Account, buckets: Sequence[str]) -> tuple[Statement, ...]:
    """Return what QuiltPackageTrigger keeps what it told with, where Airflow keeps no state."""
    if not buckets:
        return ()
    kept = [account.s3_arn(bucket, WATCHERS_FOLDER, ANYTHING) for bucket in buckets]
    roots = [account.s3_arn(bucket) for bucket in buckets]
    return (
        # Without it S3 answers that what is not there yet may not be read.
        allow("FindWhatWatchersTold", ["s3:ListBucket"], roots, **prefixes(WATCHERS_FOLDER)),
        allow("KeepWhatWatchersTold", ["s3:GetObject", "s3:PutObject"], kept),
    )


def build_package_statements(
    account: Account, registries: Sequence[str], sources: Sequence[str]
) -> tuple[Statement, ...]:
    """Return the statements with which CreateQuiltPackageOperator makes packages.

    :param registries: the buckets that packages are made in.
    :param sources: the buckets whose objects packages name; the registries are not among them by themselves.
    """
    folders = [at(bucket).key for bucket in registries[:1] for at in (manifests_location, packages_location)]
    written = [account.s3_arn(bucket, folder, ANYTHING) for bucket in registries for folder in folders]
    roots = [account.s3_arn(bucket) for bucket in registries]
    # Schemas of workflows lie anywhere in the registry or in a source, and are read as its objects are.
    workflows = [account.s3_arn(bucket, _WORKFLOWS, ANYTHING) for bucket in registries]
    objects = [account.s3_arn(bucket, ANYTHING) for bucket in sources]
    return (
        allow(
            "FindRevisionsManifestsAndWorkflows",
            ["s3:ListBucket"],
            roots,
            **prefixes(*folders, _WORKFLOWS),
        ),
        allow("WriteManifestsAndPointers", ["s3:GetObject", "s3:PutObject"], written),
        allow("ReadWorkflows", ["s3:GetObject"], workflows),
        *([allow("LookAtTheObjectsOfPackages", _READ, objects)] if objects else ()),
    )
