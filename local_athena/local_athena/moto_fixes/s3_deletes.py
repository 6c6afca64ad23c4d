"""DeleteObjects: at most 1,000 keys, each judged by itself: may the caller delete it, is it the one expected.

moto deletes whatever it is told to, also where an object's ETag is given and is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from local_athena.iam.grants import Need, delete_needs, s3_resource
from local_athena.iam.identities import Identities
from local_athena.moto_fixes.moto_calls import head_object
from local_athena.wire.messages import Answer, AwsError, Fix, Forward, Request

MAX_DELETED_KEYS = 1000
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"
_NOT_EXPECTED = "At least one of the pre-conditions you specified did not hold"

_Refused = tuple[ElementTree.Element, str, str]  # an entry, and the code and message of what became of it


def build_delete_check(identities: Identities) -> Fix:
    """Make the fix that judges a DeleteObjects call key by key."""

    def check_deletes(request: Request, forward: Forward) -> Answer:
        """Delete what may be deleted; name the rest in the answer's errors."""
        if request.operation != "DeleteObjects":
            return forward(request)
        root = _parse(request.body)
        nodes = [node for node in root if node.tag == "Object"]
        if len(nodes) > MAX_DELETED_KEYS:
            raise AwsError("MalformedXML", _MALFORMED)
        refused = _denied(identities, request, nodes)
        kept = {id(node) for node, _, _ in refused}
        refused += [
            (node, "PreconditionFailed", _NOT_EXPECTED)
            for node in nodes
            if id(node) not in kept and not _is_expected(request, forward, node)
        ]
        if not refused:
            return forward(request)
        for node, _, _ in refused:
            root.remove(node)
        if len(refused) == len(nodes):
            return _answer(ElementTree.Element("DeleteResult", xmlns=_NAMESPACE), refused)
        answer = forward(replace(request, body=ElementTree.tostring(root)))
        return _answer(_parse(answer.body), refused) if answer.status == 200 else answer

    return check_deletes


def _denied(identities: Identities, request: Request, nodes: Sequence[ElementTree.Element]) -> list[_Refused]:
    """Find the objects that the caller may not delete, or may not know the ETag of."""
    named = [(_text(node, "Key") or "", _text(node, "VersionId")) for node in nodes]
    denied = []
    for node, need in zip(nodes, delete_needs(request.bucket, named), strict=True):
        needs = [need]
        if _text(node, "ETag") not in (None, "*"):
            needs.append(Need("s3:GetObject", s3_resource(request.bucket, _text(node, "Key") or "")))
        reasons = (identities.refusal(request.caller, n, by_athena=request.by_athena) for n in needs)
        reason = next(filter(None, reasons), None)
        if reason is not None:
            denied.append((node, "AccessDenied", reason))
    return denied


def _is_expected(request: Request, forward: Forward, node: ElementTree.Element) -> bool:
    """Whether an object is the one its entry's ETag names; ``*`` is any."""
    expected = _text(node, "ETag")
    if expected is None:
        return True
    key = _text(node, "Key") or ""
    path = f"/{request.bucket}/{quote(key)}"
    # WSGI: the bytes of a path, each as the character of that number
    environ = {**request.environ, "PATH_INFO": unquote(path, "latin-1")}
    found = head_object(replace(request, key=key, path=path, environ=environ), forward)
    etag = (found.header("etag") or "").strip('"') if found.status == 200 else None
    return etag is not None and expected.strip('"') in ("*", etag)


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


def _answer(result: ElementTree.Element, refused: Sequence[_Refused]) -> Answer:
    for node, code, message in refused:
        error = ElementTree.SubElement(result, "Error")
        for name, text in (("Key", _text(node, "Key")), ("Code", code), ("Message", message)):
            ElementTree.SubElement(error, name).text = text
    return Answer(200, (("Content-Type", "application/xml"),), ElementTree.tostring(result))
