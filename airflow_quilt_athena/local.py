"""The name under which users of the provider know the local Athena, which is a distribution of its own.

A local pass is not an AWS pass: what differs is listed in ``local_athena/docs/local-athena.md``.
"""

try:
    from local_athena import Call, Fault, LocalAthena
except ImportError as error:
    raise ModuleNotFoundError(
        "The local Athena is not installed: pip install 'airflow-quilt-athena[local]'.", name="local_athena"
    ) from error

__all__ = ["Call", "Fault", "LocalAthena"]
