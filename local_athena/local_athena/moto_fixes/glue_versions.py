"""UpdateTable with a VersionId changes that version or nothing; moto does not look. SkipArchive, too."""

from __future__ import annotations

from local_athena.moto_fixes.moto_calls import call
from local_athena.wire.messages import Answer, AwsError, Forward, Request


def check_version(request: Request, forward: Forward) -> Answer:
    """Refuse an update that was planned on another version of the table."""
    if request.operation != "UpdateTable":
        return forward(request)
    document = request.json()
    expected = document.pop("VersionId", None)
    skip_archive = document.pop("SkipArchive", False)
    if expected is None and not skip_archive:
        return forward(request)
    table = {"DatabaseName": document.get("DatabaseName"), "Name": document["TableInput"].get("Name")}
    found = forward(call(request, "GetTable", table))
    if found.status != 200:
        return found
    version = found.json()["Table"]["VersionId"]
    if expected is not None and str(expected) != version:
        raise AwsError(
            "ConcurrentModificationException",
            f"Update table failed due to concurrent modifications: {table['DatabaseName']}.{table['Name']} "
            f"has version {version}, not {expected}.",
        )
    answer = forward(request.with_json(document))
    if skip_archive and answer.status == 200:
        old = {"DatabaseName": table["DatabaseName"], "TableName": table["Name"], "VersionId": version}
        forward(call(request, "DeleteTableVersion", old))
    return answer
