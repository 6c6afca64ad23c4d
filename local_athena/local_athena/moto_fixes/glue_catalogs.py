"""CatalogId names the account whose catalog is meant; moto takes any for its own."""

from __future__ import annotations

from local_athena.wire.messages import Answer, AwsError, Forward, Request


def check_catalog(request: Request, forward: Forward) -> Answer:
    """Refuse another account's catalog, which nobody here was given access to."""
    catalog = request.json().get("CatalogId") or request.caller.account_id
    if catalog != request.caller.account_id:
        raise AwsError(
            "AccessDeniedException",
            f"{request.caller.arn} is not authorized to perform: {request.name} on the catalog {catalog}. "
            "The local Athena offers no catalog but the caller's own.",
        )
    return forward(request)
