"""What moto answers otherwise than AWS, mended in front of it; one thought a module.

A fix takes a request and what forwards it (to the next fix, and at last to moto), and answers. It runs
while its service is locked: what it checks is still true when it acts.
"""

from __future__ import annotations

from collections.abc import Mapping

from local_athena.iam.identities import Identities
from local_athena.moto_fixes.glue_catalogs import check_catalog
from local_athena.moto_fixes.glue_limits import limit_batches
from local_athena.moto_fixes.glue_names import fold_names
from local_athena.moto_fixes.glue_paging import page_lists
from local_athena.moto_fixes.glue_partition_reads import read_partitions
from local_athena.moto_fixes.glue_partitions import check_renames, check_value_counts
from local_athena.moto_fixes.glue_search import search_tables
from local_athena.moto_fixes.glue_statistics import tell_no_statistics
from local_athena.moto_fixes.glue_versions import check_version
from local_athena.moto_fixes.iam_limits import (
    find_all_holders,
    keep_names_apart,
    limit_attachments,
    limit_documents,
    protect_policies,
)
from local_athena.moto_fixes.s3_conditions import check_conditions
from local_athena.moto_fixes.s3_deletes import build_delete_check
from local_athena.moto_fixes.s3_encryption import default_encryption
from local_athena.moto_fixes.s3_lifecycle import check_lifecycle
from local_athena.moto_fixes.s3_multipart import tell_checksum
from local_athena.moto_fixes.s3_owner import check_owner
from local_athena.moto_fixes.s3_policies import build_policies
from local_athena.moto_fixes.s3_secrecy import build_secrecy
from local_athena.moto_fixes.sts_identity import tell_identity
from local_athena.wire.messages import Fix


def build_fixes(identities: Identities) -> Mapping[str, tuple[Fix, ...]]:
    """Give the fixes of each service, the outermost first."""
    return {
        "glue": (
            check_catalog,
            limit_batches,
            fold_names,
            page_lists,
            search_tables,
            tell_no_statistics,
            check_version,
            read_partitions,
            check_value_counts,
            check_renames,
        ),
        "s3": (
            check_owner,
            build_policies(identities),
            build_delete_check(identities),
            build_secrecy(identities),
            check_conditions,
            tell_checksum,
            default_encryption,
            check_lifecycle,
        ),
        "iam": (limit_documents, keep_names_apart, limit_attachments, protect_policies, find_all_holders),
        "sts": (tell_identity,),
    }
