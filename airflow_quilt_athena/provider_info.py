"""What Airflow shows of this provider, and where it finds its parts."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_quilt_athena"
_INTEGRATION = "Quilt on Amazon Athena"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as Airflow's ``provider_info.schema.json`` wants it."""
    return {
        "package-name": "airflow-quilt-athena",
        "name": "Quilt Athena",
        "description": "Quilt packages in S3, queried and written with Amazon Athena, safely.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.aws.amazon.com/athena/",
                "tags": ["aws"],
            }
        ],
        "operators": _modules(
            "operators.create_bucket_views",
            "operators.create_quilt_package",
            "operators.ctas_insert_overwrite",
            "operators.deprovision_quilt_athena",
            "operators.drop_bucket_views",
            "operators.late_revisions",
            "operators.materialize_quilt_tables",
            "operators.provision_quilt_athena",
            "operators.quilt_athena_query",
            "operators.rollback_partitions",
            "operators.sweep_generations",
        ),
        "sensors": _modules("sensors.athena_completion", "sensors.quilt_package"),
        "hooks": _modules("hooks.quilt_athena"),
        "triggers": _modules(
            "triggers.athena_completion", "triggers.quilt_package", "triggers.quilt_revision"
        ),
        "extra-links": [
            f"{_PACKAGE}.links.AthenaQueryLink",
            f"{_PACKAGE}.links.QuiltPackageLink",
            f"{_PACKAGE}.links.S3DataLink",
        ],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}]
