"""DeleteObjects: at most 1,000 keys, each of which the caller must be allowed to delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree

from airflow_quilt_athena.local.grants import delete_needs
from airflow_quilt_athena.local.identity import Identities
from airflow_quilt_athena.local.wire import Answer, AwsError, Forward, Mend, Request

MAX_DELETED_KEYS = 1000
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"


def build_delete_check(identities: Identities) -> Mend:
    """Make the mend that judges a DeleteObjects call key by key."""

    def check_deletes(request: Request, forward: Forward) -> Answer:
        """Delete what may be deleted; name the rest in the answer's errors."""
        if request.operation != "DeleteObjects":
            return forward(request)
        root = _parse(request.body)
        nodes = [node for node in root if node.tag == "Object"]
        if len(nodes) > MAX_DELETED_KEYS:
            raise AwsError("MalformedXML", _MALFORMED)
        needs = delete_needs(request.bucket, [(_text(n, "Key") or "", _text(n, "VersionId")) for n in nodes])
        denied = [
            (node, reason)
            for node, need in zip(nodes, needs, strict=True)
            if (reason := identities.refusal(request.caller, need, by_athena=request.by_athena))
        ]
        if not denied:
            return forward(request)
        for node, _ in denied:
            root.remove(node)
        if len(denied) == len(nodes):
            return _answer(ElementTree.Element("DeleteResult", xmlns=_NAMESPACE), denied)
        answer = forward(replace(request, body=ElementTree.tostring(root)))
        return _answer(_parse(answer.body), denied) if answer.status == 200 else answer

    return check_deletes


def _parse(body: bytes) -> ElementTree.Element:
    """Read XML; its one namespace becomes the default one, as moto's reader knows no prefixes."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise AwsError("MalformedXML", _MALFORMED) from error
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
    root.set("xmlns", _NAMESPACE)
    return root


def _text(node: ElementTree.Element, name: str) -> str | None:
    return next((child.text for child in node if child.tag == name), None)


def _answer(result: ElementTree.Element, denied: Sequence[tuple[ElementTree.Element, str]]) -> Answer:
    for node, reason in denied:
        error = ElementTree.SubElement(result, "Error")
        for name, text in (("Key", _text(node, "Key")), ("Code", "AccessDenied"), ("Message", reason)):
            ElementTree.SubElement(error, name).text = text
    return Answer(200, (("Content-Type", "application/xml"),), ElementTree.tostring(result))
