"""Waiting for a revision: what is gone again is not the one that was waited for."""

from __future__ import annotations

from airflow_quilt_athena.core.quilt.revision_wanted import parse_wanted
from airflow_quilt_athena.flows.quilt.revision_look import look_for_revision
from tests.unit.flows.quilt.test_pointers import ROOT, Ranged

OLD, NEW = f"{ROOT}team/pkg/1600000000", f"{ROOT}team/pkg/1600000001"


def test_a_revision_deleted_since_the_listing_leaves_the_one_before_it() -> None:
    s3 = Ranged()
    s3.objects[OLD] = (b"a" * 64, s3.now)
    s3.objects[NEW] = (b"b" * 64, s3.now)
    s3.objects[f".quilt/packages/{'a' * 64}"] = (b'{"version": "v0", "message": "kept"}\n', s3.now)
    s3.events.append(("get_object", "before", lambda: s3.objects.pop(NEW)))
    found = look_for_revision(s3, parse_wanted("acme", "team/pkg", None, "revision"))
    assert found is not None
    assert (found["revision"], found["top_hash"], found["message"]) == ("1600000000", "a" * 64, "kept")


def test_where_all_are_gone_again_the_wait_goes_on() -> None:
    s3 = Ranged()
    s3.objects[NEW] = (b"b" * 64, s3.now)
    s3.events.append(("get_object", "before", lambda: s3.objects.pop(NEW)))
    assert look_for_revision(s3, parse_wanted("acme", "team/pkg", None, "revision")) is None
