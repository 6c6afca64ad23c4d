"""Column statistics, which moto does not offer: no table has any, and none can be put."""

from __future__ import annotations

from local_athena.moto_fixes.moto_calls import call
from local_athena.wire.messages import Answer, Forward, Request, build_answer

_OF = {
    "DeleteColumnStatisticsForTable": "GetTable",
    "GetColumnStatisticsForTable": "GetTable",
    "DeleteColumnStatisticsForPartition": "GetPartition",
    "GetColumnStatisticsForPartition": "GetPartition",
}


def tell_no_statistics(request: Request, forward: Forward) -> Answer:
    """Answer reads with nothing found, and deletes with nothing done; what they are about must be there."""
    wanted = _OF.get(request.operation)
    if wanted is None:
        return forward(request)
    document = request.json()
    about = {"DatabaseName": document["DatabaseName"]}
    if wanted == "GetTable":
        about["Name"] = document["TableName"]
    else:
        about |= {name: document[name] for name in ("TableName", "PartitionValues")}
    answer = forward(call(request, wanted, about))
    if answer.status >= 400:
        return answer
    return build_answer({"ColumnStatisticsList": [], "Errors": []} if request.operation[0] == "G" else {})
