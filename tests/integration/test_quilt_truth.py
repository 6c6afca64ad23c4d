"""What the views show of awkward registries, row by row as quilt3 shows it: never as SQL does."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Any

import pytest

from airflow_quilt_athena.local import LocalAthena
from tests.integration.lab import connection
from tests.integration.quilt_registry import (
    BASE,
    DAY,
    Registry,
    canonical,
    push,
    reached_by_quilt3,
)

pytestmark = pytest.mark.integration

HASH = {"type": "sha2-256-chunked", "value": "lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA="}
HEADER = {"version": "v0", "message": "made by hand"}
Row = tuple[Any, ...]


@pytest.fixture
def fresh(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    registry = Registry(aws)
    registry.refresh()
    return registry


def line(logical_key: str, size: str = "10", **more: Any) -> str:
    """Return an entry's line, its size written as it is given."""
    entry = {
        "logical_key": logical_key,
        "physical_keys": [f"s3://b/{logical_key}?versionId=v1"],
        "size": "@size",
        "hash": HASH,
        "meta": {},
        **more,
    }
    return json.dumps(entry, ensure_ascii=False).replace('"@size"', size)


def rows_of(package: Any) -> Iterator[Row]:
    """Yield what quilt3 shows of a package's files."""
    for logical_key, entry in package.walk():
        key = entry.physical_key
        found = entry.hash or {}
        yield (
            logical_key,
            key.bucket,
            key.path if key.bucket else None,
            key.version_id,
            whole(entry.size),
            found.get("type"),
            found.get("value"),
            canonical(entry._meta or {}),
        )


def whole(size: Any) -> int | None:
    """Return a size as it was meant: a whole number of 64 bits, or none."""
    try:
        number = float(size) if not isinstance(size, bool) else None
        exact = int(size) if number is not None and number == int(number) else None
    except (TypeError, ValueError, OverflowError):
        with suppress(TypeError, ValueError, OverflowError):
            if float(size).is_integer():
                return int(float(size))
        return None
    return exact if exact is not None and -(2**63) <= exact < 2**63 else None


# Not the physical key as it is written: quilt3 encodes a + in it that other clients write as it is.
COLUMNS = 'logical_key, "bucket", "key", version_id, size, hash_type, hash_value, meta'


def parsed(row: tuple[str | None, ...]) -> Row:
    *texts, size, hash_type, hash_value, meta = row
    return (
        *texts,
        None if size is None else int(size),
        hash_type,
        hash_value,
        canonical({} if meta is None else json.loads(meta)),  # NULL is no metadata, to quilt3
    )


def current_in(registry: Registry) -> dict[str, list[Row]]:
    """Return the rows of the view of what is current, by package."""
    found: dict[str, list[Row]] = {}
    for name, *row in registry.rows(f"SELECT pkg_name, {COLUMNS} FROM {registry.names.current}"):
        found.setdefault(str(name), []).append(parsed(tuple(row)))
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def current_by_quilt3(registry: Registry) -> dict[str, list[Row]]:
    """Return what ``quilt3.Package.browse`` shows for each package now."""
    with reached_by_quilt3(registry.aws) as quilt3:
        packages = {
            name: quilt3.Package.browse(name, registry=registry.uri)
            for name in quilt3.list_packages(registry.uri)
        }
    found = {name: sorted(rows_of(package), key=repr) for name, package in packages.items()}
    return {name: rows for name, rows in found.items() if rows}


# ----------------------------------------------------------------------------------------------- sizes

WHOLE = {
    "10": 10,
    '"10"': 10,
    "10.0": 10,
    "1e1": 10,
    "5e12": 5_000_000_000_000,
    "5E+012": 5_000_000_000_000,
    "5000000000000.000": 5_000_000_000_000,
    "1000e-2": 10,
    '"10.0"': 10,
    "0": 0,
    "0.0": 0,
    "9007199254740993.0": 9_007_199_254_740_993,
    "9223372036854775807": 2**63 - 1,
    "9.223372036854775807e18": 2**63 - 1,
}
NOT_WHOLE = ["null", "10.5", "1e-30", '"ten"', "true", "1e19", "1e400", "1e999999999", '""', "NaN", "9.3e18"]


def test_every_whole_number_is_a_size_however_it_is_written(fresh: Registry) -> None:
    sizes = [*WHOLE, *NOT_WHOLE]
    lines = [line(f"f{number}", size) for number, size in enumerate(sizes)]
    top_hash = fresh.put_manifest(json.dumps(HEADER), *lines)
    fresh.put_pointer("team/sizes", str(BASE), top_hash)
    fresh.put_pointer("team/sizes", "latest", top_hash)
    expected = {f"f{number}": WHOLE.get(size) for number, size in enumerate(sizes)}
    for view in (fresh.names.entries, fresh.names.current):
        rows = fresh.rows(f"SELECT logical_key, size FROM {view}")
        found = {key: size and int(size) for key, size in rows}
        assert (len(rows), found) == (len(expected), expected)
    (((total,),),) = ([*fresh.rows(f"SELECT sum(size) FROM {fresh.names.entries} WHERE size < 100")],)
    assert total == "60"


# --------------------------------------------------------------------------------------------- current


def test_what_is_current_is_what_browse_shows(fresh: Registry) -> None:
    with reached_by_quilt3(fresh.aws) as quilt3:
        uri = fresh.uri
        push(quilt3, uri, "team/plain", {"a.txt": ("a", {"N": 1})}, at=BASE)
        one = push(quilt3, uri, "team/back", {"a.txt": ("1", {})}, at=BASE + 1)
        push(quilt3, uri, "team/back", {"a.txt": ("2", {})}, at=BASE + DAY)
        quilt3.Package.rollback("team/back", uri, one)
        # Two pushes within a second: the pointer of the second took the first one's place.
        push(quilt3, uri, "team/twice", {"a.txt": ("first", {})}, at=BASE + 2)
        push(quilt3, uri, "team/twice", {"a.txt": ("second", {})}, at=BASE + 2)
        other = push(quilt3, uri, "team/other", {"o.txt": ("other", {})}, at=BASE + 3)
        push(quilt3, uri, "team/foreign", {"f.txt": ("mine", {})}, at=BASE + 4)
        push(quilt3, uri, "team/gone", {"g.txt": ("g", {})}, at=BASE + 5)
        quilt3.delete_package("team/gone", registry=uri)
        push(quilt3, uri, "team/empty", {}, at=BASE + 6)
        push(quilt3, uri, "team/older", {"x.txt": ("x", {})}, at=BASE + 7)
    fresh.put_pointer("team/foreign", "latest", other)  # rolled back to another package's hash
    fresh.put_pointer("team/alone", "latest", other)  # latest alone
    fresh.put_revision("team/older", BASE + 2 * DAY, "y.txt")  # pushed without moving latest
    fresh.put_pointer("team/dangling", "latest", "0" * 64)

    truth = current_by_quilt3_where_it_loads(fresh)
    assert truth["team/foreign"] == truth["team/other"] == truth["team/alone"]
    assert current_in(fresh) == truth
    dated = {
        name: (date, latest)
        for name, date, latest in fresh.rows(
            f"SELECT DISTINCT pkg_name, revision_date, is_latest FROM {fresh.names.current}"
        )
    }
    assert dated["team/foreign"] == dated["team/alone"] == (None, "true")
    assert dated["team/back"] == ("2026-01-01", "true")
    # The clean view has no latest revision of these, which is what is_latest says.
    latest = fresh.rows(f"SELECT DISTINCT pkg_name FROM {fresh.names.entries} WHERE is_latest")
    assert not {("team/foreign",), ("team/alone",)} & set(latest)


def current_by_quilt3_where_it_loads(registry: Registry) -> dict[str, list[Row]]:
    """Return what browse shows for each package that it can load."""
    found: dict[str, list[Row]] = {}
    with reached_by_quilt3(registry.aws) as quilt3:
        for name in quilt3.list_packages(registry.uri):
            with suppress(Exception):
                package = quilt3.Package.browse(name, registry=registry.uri)
                found[name] = sorted(rows_of(package), key=repr)
    return {name: rows for name, rows in found.items() if rows}


def test_the_view_of_what_is_current_has_the_columns_of_entries(fresh: Registry) -> None:
    def described(name: str) -> list[tuple[str, str]]:
        glue = fresh.aws.client("glue")
        found = glue.get_table(DatabaseName=fresh.lab.database, Name=name)["Table"]
        return [(column["Name"], column["Type"]) for column in found["StorageDescriptor"]["Columns"]]

    assert described(fresh.names.current) == described(fresh.names.entries)


# ------------------------------------------------------------------------------ headers, copies, places


@pytest.mark.parametrize(
    "header",
    [
        {"version": "v0", "message": "said"},
        {"message": "said"},
        {"user_meta": {"Key": 1}},
        {"workflow": {"id": "alpha"}},
        {"message": None},
        {},
    ],
    ids=json.dumps,
)
def test_a_header_is_one_with_a_version_or_without(fresh: Registry, header: dict[str, Any]) -> None:
    top_hash = fresh.put_manifest(json.dumps(header), line("a.txt"))
    for pointer in (str(BASE), "latest"):
        fresh.put_pointer("team/pkg", pointer, top_hash)
    with reached_by_quilt3(fresh.aws) as quilt3:
        package = quilt3.Package.browse("team/pkg", registry=fresh.uri)
        shown = next(package.manifest)
    expected = [
        (
            "team/pkg",
            shown.get("message"),
            json.dumps(shown["user_meta"]) if "user_meta" in shown else None,
            json.dumps(shown["workflow"]) if "workflow" in shown else None,
        )
    ]
    found = fresh.rows(f'SELECT pkg_name, message, user_meta, "workflow" FROM {fresh.names.revisions}')
    assert [
        (n, m, u and json.dumps(json.loads(u)), w and json.dumps(json.loads(w))) for n, m, u, w in found
    ] == (expected)
    compatible = f'SELECT "timestamp" FROM {fresh.names.packages_view}'
    assert fresh.rows(compatible) == [(str(BASE),), ("latest",)]


def test_copies_in_folders_below_double_nothing(fresh: Registry) -> None:
    top_hash = fresh.put_revision("team/pkg", BASE, "a.txt", "b.txt")
    fresh.put_pointer("team/pkg", "latest", top_hash)
    before = {view: fresh.rows(f"SELECT * FROM {view}") for view in fresh.names.views}
    for copy in (f"backup/{top_hash}", f"{'a' * 64}/{top_hash}", f"{top_hash}.bak"):
        fresh.s3.copy_object(
            Bucket=fresh.bucket,
            Key=f".quilt/packages/{copy}",
            CopySource={"Bucket": fresh.bucket, "Key": f".quilt/packages/{top_hash}"},
        )
    fresh.put_pointer("backup/team/pkg", "latest", top_hash)
    assert {view: fresh.rows(f"SELECT * FROM {view}") for view in fresh.names.views} == before
    assert all(before.values())


# ------------------------------------------------------------------------------------- awkward everything

NAMES = [
    "a",
    "b c",
    "ünï",
    "日本",
    "100%",
    "x=y&z",
    "it's",
    'say "q"',
    "plus+",
    "#?",
    "{entries}",
    ";--",
    "\u2028",
]
METAS: list[Any] = [
    {},
    None,
    {"user_meta": {"Key": 1, "key": 2}},
    {"user_meta": {"Deep": {"A": [1, 2.5, None, "x", {"B": "é"}]}}},
    {"user_meta": {"text": 'line\nbreak\t"quoted" \\ back'}},
    {"user_meta": {"big": 12345678901234567890, "float": 0.1, "e": 1e-7}},
]
SIZES = ["0", "10", "10.0", "5e12", '"7"', "1234567890123", "10.5", "null", "2E3"]
HEADERS: list[dict[str, Any]] = [
    {"version": "v0", "message": None},
    {"version": "v0", "message": 'said "it"\nand went', "user_meta": {"Exp": {"Id": "É-7"}}},
    {"message": "no version"},
    {"version": "v0", "message": "m", "workflow": {"id": "alpha"}, "user_meta": {"a": 1, "A": 2}},
    {},
]


def write_awkward(registry: Registry, packages: int, entries: int, seed: int) -> None:
    """Write packages in quilt3's byte format, with everything that is legal and awkward in them."""
    chance = random.Random(seed)
    hashes: list[str] = []
    for number in range(packages):
        name = (
            f"{chance.choice(['team', 'юзер', '0', 'A-b_c'])}/{chance.choice(['pkg', 'пакет', '9'])}-{number}"
        )
        count = chance.choice([0, 1, entries, 2 * entries - 1])
        # A manifest of {} alone cannot be told from one that is torn.
        lines = [json.dumps(chance.choice(HEADERS if count else HEADERS[:-1]), ensure_ascii=False)]
        for entry in range(count):
            logical_key = f"{chance.choice(NAMES)}/{entry}-{chance.choice(NAMES)}"
            lines.append(
                line(
                    logical_key,
                    chance.choice(SIZES),
                    physical_keys=[
                        f"s3://{registry.bucket}/p/{entry}%20{chance.choice(['a+b', '%C3%A9', 'x%3Dy', 'q'])}"
                        f"{chance.choice(['', '?versionId=v1', '?versionId=a%2Fb'])}"
                    ],
                    meta=chance.choice(METAS),
                    hash=chance.choice([HASH, {"type": "SHA256", "value": "ab" * 32}]),
                )
            )
            if chance.random() < 0.02:
                lines.append(json.dumps({"logical_key": f"d{entry}/", "meta": {"user_meta": {"dir": 1}}}))
        top_hash = registry.put_manifest(*lines)
        hashes.append(top_hash)
        registry.put_pointer(name, str(BASE + chance.randrange(30 * DAY)), top_hash)
        kind = chance.random()
        latest = chance.choice(hashes) if kind < 0.1 else top_hash
        if kind < 0.95:
            registry.put_pointer(name, "latest", latest)


@pytest.mark.parametrize("seed", [1, 2])
def test_awkward_packages_row_by_row(fresh: Registry, seed: int) -> None:
    write_awkward(fresh, packages=60, entries=10, seed=seed)
    compare_with_quilt3(fresh)


@pytest.mark.large
@pytest.mark.timeout(1800)
def test_a_thousand_awkward_packages_row_by_row(fresh: Registry) -> None:
    write_awkward(fresh, packages=1_000, entries=14, seed=16)
    assert compare_with_quilt3(fresh) >= 10_000


def compare_with_quilt3(registry: Registry) -> int:
    """Compare all revisions, entries and what is current; return the number of entries."""
    expected: dict[tuple[str, str], list[Row]] = {}
    headers: dict[tuple[str, str], Row] = {}
    current: dict[str, list[Row]] = {}
    with reached_by_quilt3(registry.aws) as quilt3, ThreadPoolExecutor(8) as pool:

        def pointers_of(name: str) -> list[tuple[str, str, str]]:
            return [(name, *pointer) for pointer in quilt3.list_package_versions(name, registry.uri)]

        def browse(name: str, top_hash: str) -> Any:
            return quilt3.Package.browse(name, registry=registry.uri, top_hash=top_hash)

        pointers = list(chain.from_iterable(pool.map(pointers_of, quilt3.list_packages(registry.uri))))
        # Each manifest once: quilt3 keeps them by top hash, and two of its downloads of one
        # are in each other's way.
        named = {top_hash: name for name, _, top_hash in pointers}
        packages = dict(zip(named, pool.map(browse, named.values(), named), strict=True))
        for name, pointer, top_hash in pointers:
            rows, meta = sorted(rows_of(packages[top_hash]), key=repr), packages[top_hash]._meta
            if pointer == "latest":
                current[name] = rows
                continue
            expected[name, pointer] = rows
            said = (canonical(meta.get(key)) for key in ("user_meta", "workflow"))
            headers[name, pointer] = (top_hash, meta.get("message"), *said)
    names = registry.names
    found = {
        (str(name), str(pointer)): (
            top_hash,
            message,
            *(canonical(text and json.loads(text)) for text in rest),
        )
        for name, pointer, top_hash, message, *rest in registry.rows(
            f'SELECT pkg_name, pointer, top_hash, message, user_meta, "workflow" FROM {names.revisions}'
        )
    }
    assert found == headers
    entries: dict[tuple[str, str], list[Row]] = {}
    for package, at, *row in registry.rows(
        "SELECT pkg_name, date_diff('second', TIMESTAMP '1970-01-01 00:00:00', revision_at), "
        f"{COLUMNS} FROM {names.entries}"
    ):
        entries.setdefault((str(package), str(at)), []).append(parsed(tuple(row)))
    assert entries.keys() == {key for key, rows in expected.items() if rows}
    for key, rows in entries.items():
        assert sorted(rows, key=repr) == expected[key]
    assert current_in(registry) == {name: rows for name, rows in current.items() if rows}
    return sum(map(len, expected.values()))
