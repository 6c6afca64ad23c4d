"""Rows as entries: what quilt3 makes of the same entries is the measure, and every refusal has its reason."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
import quilt3
from hypothesis import given
from hypothesis import strategies as st
from quilt3.packages import PackageEntry
from quilt3.util import PhysicalKey

from airflow_quilt_athena.core.quilt.manifest import (
    TopHash,
    build_header,
    compare_manifests,
    order_entries,
    render_header,
    render_manifest,
)
from airflow_quilt_athena.core.quilt.package_entries import (
    MAX_RECORD_BYTES,
    Entry,
    Unusable,
    parse_row,
    render_entry,
)
from airflow_quilt_athena.core.quilt.package_request import (
    PackageRequest,
    parse_metadata,
    parse_registry,
    parse_rows,
)
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError

CHUNKED = "lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA="
ROW: dict[str, Any] = {
    "logical_key": "a.csv",
    "physical_key": "s3://acme/raw/a.csv?versionId=v1",
    "size": 3,
    "hash_type": "sha2-256-chunked",
    "hash_value": CHUNKED,
}


def entry(**changes: Any) -> Entry:
    found = parse_row(1, ROW | changes)
    assert isinstance(found, Entry), found
    return found


def reason(**changes: Any) -> str:
    found = parse_row(1, ROW | changes)
    assert isinstance(found, Unusable), found
    return found.reason


# ----------------------------------------------------------------------------- the same as quilt3

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_PART = st.one_of(st.sampled_from(["a", "b", "a!", "a b", "é", "10", "2"]), _TEXT).filter(
    lambda part: part not in {"", ".", ".."} and "/" not in part
)
_LOGICAL_KEY = st.lists(_PART, min_size=1, max_size=3).map("/".join)
_JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _TEXT
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=6,
)
_HASH = st.one_of(
    st.just(("sha2-256-chunked", CHUNKED)),
    st.just(("SHA256", "ab" * 32)),
    st.just(("CRC64NVME", "AAAAAAAAAAA=")),
)
_FILE = st.tuples(
    _TEXT.filter(lambda key: key != "" and not key.endswith("/")),
    st.one_of(st.none(), st.text("abcXYZ019._-+/=", min_size=1, max_size=12)),
    st.integers(0, 10**13),
    _HASH,
    st.one_of(st.just({}), st.fixed_dictionaries({"user_meta": st.dictionaries(_TEXT, _JSON, max_size=3)})),
)
_FILES = st.dictionaries(_LOGICAL_KEY, _FILE, max_size=8).filter(
    lambda files: not any(other.startswith(f"{key}/") for key in files for other in files)
)
_METADATA = st.one_of(
    st.none(), _TEXT.filter(lambda t: not t.lstrip().startswith("{")), st.dictionaries(_TEXT, _JSON)
)


@given(files=_FILES, metadata=_METADATA, message=st.one_of(st.none(), _TEXT))
def test_manifest_and_top_hash_are_those_of_quilt3(
    files: dict[str, Any], metadata: Any, message: str | None
) -> None:
    theirs = quilt3.Package()
    if metadata is not None:
        theirs.set_meta(metadata)
    theirs._set_commit_message(message)
    rows = []
    for logical_key, (key, version, size, (hash_type, value), meta) in files.items():
        place = PhysicalKey("acme", key, version)
        theirs.set(logical_key, PackageEntry(place, size, {"type": hash_type, "value": value}, meta))
        rows.append(
            {
                "logical_key": logical_key,
                "physical_key": str(place),
                "size": str(size),
                "hash": f"{{type={hash_type}, value={value}}}",
                "meta": json.dumps(meta),
            }
        )
    wanted = io.BytesIO()
    theirs.dump(wanted)

    parsed = [parse_row(number, row) for number, row in enumerate(reversed(rows), 1)]
    assert not [found for found in parsed if isinstance(found, Unusable)]
    kept, unusable = order_entries([(0, found) for found in parsed if isinstance(found, Entry)])
    top_hash = TopHash()
    header = build_header(message, parse_metadata(metadata), None)
    made = b"".join(render_manifest(header, [found for _, found in kept], top_hash))
    assert not unusable
    assert made == wanted.getvalue()
    assert top_hash.hexdigest() == theirs.top_hash


# ---------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "given_",
    [
        {"physical_key": None, "physical_keys": ["s3://acme/raw/a.csv?versionId=v1"]},
        {"physical_key": None, "physical_keys": "[s3://acme/raw/a.csv?versionId=v1]"},
        {"physical_key": None, "physical_keys": '["s3://acme/raw/a.csv?versionId=v1"]'},
        {"physical_key": "[s3://acme/raw/a.csv?versionId=v1]"},
        {"physical_key": "s3://acme/raw/a.csv", "version_id": "v1"},
        {"physical_keys": "s3://acme/raw/a.csv?versionId=v1"},
    ],
)
def test_the_forms_of_a_physical_key_are_one(given_: dict[str, Any]) -> None:
    assert entry(**given_).physical_key == ROW["physical_key"]


@pytest.mark.parametrize("size", [3, "3", 3.0, "3.0", Decimal("3"), "3E0"])
def test_a_whole_number_is_a_size_however_it_is_written(size: Any) -> None:
    assert entry(size=size).size == 3


@pytest.mark.parametrize(
    "digest",
    [
        {"type": "sha2-256-chunked", "value": CHUNKED},
        f"{{type=sha2-256-chunked, value={CHUNKED}}}",
        f"{{value={CHUNKED}, type=sha2-256-chunked}}",
        json.dumps({"type": "sha2-256-chunked", "value": CHUNKED}),
    ],
)
def test_the_forms_of_a_hash_are_one(digest: Any) -> None:
    found = entry(hash=digest, hash_type=None, hash_value=None)
    assert (found.hash_type, found.hash_value) == ("sha2-256-chunked", CHUNKED)


@pytest.mark.parametrize("nothing", [None, "", "{type=null, value=null}", {"type": None, "value": None}])
def test_a_row_may_have_no_hash(nothing: Any) -> None:
    assert entry(hash=nothing, hash_type=None, hash_value="").hash_type is None


@pytest.mark.parametrize(
    ("meta", "kept"),
    [
        ({"user_meta": {"k": 1}}, {"user_meta": {"k": 1}}),
        ('{"user_meta": {"k": 1}, "target": "csv"}', {"user_meta": {"k": 1}, "target": "csv"}),
        ({"target": "parquet", "format": {}}, {"target": "parquet", "format": {}}),
        ({"Plate": 7}, {"user_meta": {"Plate": 7}}),
        ('{"Plate": 7}', {"user_meta": {"Plate": 7}}),
        ("null", {}),
        ("", {}),
    ],
)
def test_metadata_is_a_manifests_or_what_is_said_of_the_file(meta: Any, kept: Any) -> None:
    assert json.loads(entry(meta=meta).meta) == kept


def test_keys_that_nobody_encoded_are_encoded_as_quilt3_does() -> None:
    found = entry(physical_key="s3://acme/raw/dt=1/a b+c,é.csv")
    assert found.physical_key == str(PhysicalKey("acme", "raw/dt=1/a b+c,é.csv", None))
    assert found.place == ("acme", "raw/dt=1/a b+c,é.csv", None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"logical_key": None}, "no logical key"),
        ({"logical_key": 7}, "is 7, which is no text"),
        ({"logical_key": ""}, "no logical key"),
        ({"logical_key": "../a"}, "part of its logical key is '..'"),
        ({"logical_key": "a/./b"}, "part of its logical key is '.'"),
        ({"logical_key": "a//b"}, "part of its logical key is ''"),
        ({"logical_key": "/a"}, "part of its logical key is ''"),
        ({"logical_key": "a/"}, "part of its logical key is ''"),
        ({"logical_key": "a\0"}, "NUL"),
        ({"logical_key": "\ud800"}, "half a character"),
        ({"physical_key": None}, "no physical key"),
        ({"physical_key": "file:///a"}, "Expected s3://bucket/key"),
        ({"physical_key": "s3://acme"}, "Expected s3://bucket/key"),
        ({"physical_key": "s3://acme/"}, "Expected s3://bucket/key"),
        ({"physical_key": "s3://acme/dir/"}, "is a folder"),
        ({"physical_key": "s3://acme/a#1"}, "write # in a key as %23"),
        ({"physical_key": "s3://acme/a?x=1"}, r"write ? as %3F"),
        ({"physical_key": "s3://acme/a?versionId="}, "versionId"),
        ({"version_id": "v2"}, "of version v1, its version_id v2"),
        ({"physical_keys": ["s3://acme/other"]}, "2 physical keys"),
        ({"physical_key": "[s3://acme/a, s3://acme/b]"}, "2 physical keys"),
        ({"size": None}, "no size"),
        ({"size": ""}, "no size"),
        ({"size": "many"}, "whole number"),
        ({"size": -1}, "size is -1"),
        ({"size": 1.5}, "whole number"),
        ({"size": float("nan")}, "whole number"),
        ({"size": "Infinity"}, "whole number"),
        ({"size": "1e999999999"}, "whole number"),
        ({"size": True}, "whole number"),
        ({"hash_type": "MD5"}, "of type 'MD5'"),
        ({"hash_type": None}, "of type None"),
        ({"hash_value": "abc"}, "hash is 'abc'"),
        ({"hash_type": "SHA256", "hash_value": "AB" * 32}, "of type 'SHA256'"),
        ({"hash": "xyz"}, "Expected its type and its value"),
        ({"hash": {"type": "SHA256", "value": "ab" * 32}}, "not that of its hash_type"),
        ({"meta": "{a=1}"}, "is no JSON"),
        ({"meta": '{"a": NaN}'}, "NaN"),
        ({"meta": {"a": {"b": [1, float("nan")]}}}, "holds nan at user_meta.a.b[1]"),
        ({"meta": '{"a": 1e999}'}, "holds inf at user_meta.a"),
        ({"meta": '{"a": 1, "a": 2}'}, "key 'a' twice"),
        ({"meta": {"a": Decimal(1)}}, "Decimal"),
        ({"meta": {1: 2}}, "key 1"),
        ({"meta": "[1]"}, "Expected a JSON object"),
        ({"meta": {"a": "\ud800"}}, "half a character"),
        ({"meta": {"a": "x" * 1_000_001}}, "record in the manifest would have"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_entry_has_its_reason(changes: dict[str, Any], words: str) -> None:
    assert words in reason(**changes)


def test_records_up_to_quilts_limit_are_taken() -> None:
    room = 1_000_000 - len(render_entry(entry(meta={"a": ""})))
    assert len(render_entry(entry(meta={"a": "x" * room}))) == 1_000_000
    assert "1,000,001 bytes" in reason(meta={"a": "x" * (room + 1)})


# ------------------------------------------------------------------------------- beside each other


def numbered(*keys: str, **changes: Any) -> list[tuple[int, Entry]]:
    return [(number, entry(logical_key=key, **changes)) for number, key in enumerate(keys, 1)]


def test_a_key_twice_is_told_and_neither_kept() -> None:
    rows = [(1, entry(size=1)), (2, entry(size=2)), (3, entry(logical_key="b"))]
    kept, unusable = order_entries(rows)
    assert [found.logical_key for _, found in kept] == ["b"]
    assert [(row.number, row.reason) for row in unusable] == [
        (1, "its logical key is also that of row 2"),
        (2, "its logical key is also that of row 1"),
    ]


def test_of_rows_alike_one_is_kept() -> None:
    kept, unusable = order_entries(numbered("a", "a"))
    assert [number for number, _ in kept] == [1]
    assert [row.number for row in unusable] == [2]


def test_a_file_that_is_a_folder_is_told() -> None:
    kept, unusable = order_entries(numbered("a", "a!", "a/b", "a/b/c", "ab"))
    assert [found.logical_key for _, found in kept] == ["a/b/c", "a!", "ab"]
    assert [str(row) for row in unusable] == [
        "row 1, a: it is a folder as well, with a/b",
        "row 3, a/b: it is a folder as well, with a/b/c",
    ]


# --------------------------------------------------------------------------------------- comparing


def manifest(*entries: Entry) -> list[bytes]:
    return [b'{"version": "v0", "message": null}\n', *map(render_entry, entries)]


def test_manifests_in_another_order_are_the_same() -> None:
    a, b, c = (entry(logical_key=key) for key in "abc")
    folder = b'{"logical_key": "d/", "meta": {"k": 1}}\n'
    assert not compare_manifests(manifest(a, b, c), [*manifest(c, a, b), folder], "theirs")


def test_differing_objects_are_named() -> None:
    ours = manifest(entry(), entry(logical_key="b"))
    theirs = manifest(entry(physical_key="s3://acme/raw/a.csv"), entry(logical_key="b"))
    found = compare_manifests(ours, theirs, "theirs")
    assert found.count == 1
    assert found.examples == ("a.csv: s3://acme/raw/a.csv?versionId=v1 here, s3://acme/raw/a.csv there",)


def test_entries_that_only_one_has_are_differences() -> None:
    found = compare_manifests(manifest(entry()), manifest(entry(logical_key="b")), "theirs")
    assert found.count == 2


def test_a_torn_manifest_is_for_a_person_to_look_at() -> None:
    with pytest.raises(ManualActionError, match=r"Line 2 of theirs is no record"):
        compare_manifests(manifest(entry()), [*manifest(), b'{"logical_key": "a'], "theirs")


# ---------------------------------------------------------------------------------------- request


@pytest.mark.parametrize("name", ["team", "a/b/c", "team/pkg\n", "te.am/pkg", "", "/", "team/"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidCallError, match="Not a package's name"):
        PackageRequest("acme", name)


@pytest.mark.parametrize("tag", ["latest", "1700000000", "a/b", "", "-x", "a b"])
def test_a_tag_that_is_none_is_refused(tag: str) -> None:
    with pytest.raises(InvalidCallError, match="Not a tag"):
        PackageRequest("acme", "team/pkg", tags=(tag,))


@pytest.mark.parametrize("registry", ["s3://acme/folder", "s3://", "x", "https://acme"])
def test_a_registry_that_is_no_bucket_is_refused(registry: str) -> None:
    with pytest.raises(InvalidCallError):
        parse_registry(registry)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"a": float("nan")}, "holds nan at a"),
        ({"a": [object()]}, r"at a\[0\]"),
        ('{"a": 1', "is no JSON"),
        ([1], "Expected a mapping, or text"),
        ({"\ud800": 1}, "half a character"),
    ],
)
def test_metadata_that_quilt_would_not_read_is_refused(metadata: Any, words: str) -> None:
    with pytest.raises(InvalidCallError, match=words):
        parse_metadata(metadata)


def test_text_that_is_an_object_is_that_and_other_text_stays() -> None:
    assert parse_metadata('{"a": 1}') == {"a": 1}
    assert parse_metadata("plain") == "plain"
    assert parse_metadata(None) is None


def test_keys_that_are_neither_text_nor_a_list_are_refused() -> None:
    assert reason(physical_key=7) == "its physical key is 7, which is no text"
    assert reason(physical_key=None, physical_keys={"a": "b"}) == (
        "its physical key is {'a': 'b'}, which is no text"
    )


def test_a_logical_key_with_a_name_that_begins_with_a_dot_is_one() -> None:
    assert entry(logical_key="a/.hidden/b").logical_key == "a/.hidden/b"


def test_a_header_longer_than_quilt_reads_is_refused() -> None:
    header = build_header("x" * MAX_RECORD_BYTES, None, None)
    with pytest.raises(InvalidCallError, match=r"Message and metadata of the package have 1,000,0\d\d bytes"):
        render_header(header)


def test_of_many_entries_that_lie_elsewhere_ten_are_shown_and_all_are_counted() -> None:
    def lines(bucket: str) -> list[bytes]:
        header = b'{"version": "v0"}\n'
        return [
            header,
            *(
                render_entry(entry(logical_key=f"{n:02}", physical_key=f"s3://{bucket}/{n}"))
                for n in range(12)
            ),
        ]

    found = compare_manifests(lines("ours"), lines("theirs"), "s3://acme/m")
    assert found.count == 12
    assert len(found.examples) == 10
    assert found.examples[0] == "00: s3://ours/0 here, s3://theirs/0 there"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("{" + '"a":{' * 100_000, "is nested too deeply"),
        ("{]", "is no JSON"),
        ({"n": 10**5000}, "Exceeds the limit"),
    ],
)
def test_metadata_that_json_cannot_hold_is_refused(metadata: Any, words: str) -> None:
    with pytest.raises(InvalidCallError, match=f"The package's metadata .*{words}"):
        parse_metadata(metadata)


@pytest.mark.parametrize("message", [7, b"text"])
def test_a_message_is_text(message: Any) -> None:
    with pytest.raises(InvalidCallError, match="Expected text, or None"):
        PackageRequest("acme-data", "team/a", message)


def test_rows_given_as_text_are_json() -> None:
    assert list(parse_rows('[{"logical_key": "a"}]')) == [{"logical_key": "a"}]
    with pytest.raises(InvalidCallError, match=r"rows is no JSON .*\. Expected a list of mappings\."):
        parse_rows("[{")
