"""Services for provisioning, small enough to read: each call answers by what a test hands in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.flows.provisioning.resources import AwsClients

ACCOUNT = Account("aws", "eu-west-1", "123456789012")
Answer = Callable[..., dict[str, Any]]


def refusal(code: str, message: str = "as told") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Call")


class Service:
    """A client: its calls are functions, or answers given in turn, of which an error is raised."""

    def __init__(self, **answers: Answer | list[dict[str, Any] | Exception]) -> None:
        self._answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Answer:
        if name.startswith("__") or name not in self._answers:
            raise AttributeError(name)
        answers = self._answers[name]

        def call(**request: Any) -> dict[str, Any]:
            self.calls.append((name, request))
            if callable(answers):
                return answers(**request)
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def get_paginator(self, name: str) -> Any:
        """Return one whose answers are of one page."""
        service = self

        class Pages:
            def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
                yield getattr(service, name)(**request)

        return Pages()

    def made(self, name: str) -> list[dict[str, Any]]:
        """Return what was asked for in the calls of a name."""
        return [request for call, request in self.calls if call == name]


def clients(**services: Service) -> AwsClients:
    """Return clients; a service that was not handed in refuses every call."""
    names = ("athena", "glue", "s3", "iam", "sts")
    return AwsClients(*(services.get(name, Service()) for name in names))
