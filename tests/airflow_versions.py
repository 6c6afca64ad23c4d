"""What a test of a feature that only newer versions of Airflow have says of itself."""

from __future__ import annotations

import pytest
from airflow import __version__
from packaging.version import Version


def has_airflow(version: str) -> bool:
    """Whether Airflow is of this version or newer; a release candidate of it counts."""
    return Version(Version(__version__).base_version) >= Version(version)


def needs_airflow(version: str, feature: str) -> pytest.MarkDecorator:
    """Skip a test where Airflow is too old.

    :param version: the first that has the feature, such as ``3.2``.
    :param feature: what the test needs, as the subject of a sentence.
    """
    reason = f"{feature} came with Airflow {version}, this is {__version__}"
    return pytest.mark.skipif(not has_airflow(version), reason=reason)
