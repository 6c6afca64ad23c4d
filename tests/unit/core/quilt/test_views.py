from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.athena.sql import split_statements
from airflow_quilt_athena.core.quilt.drift import (
    compare_table,
    compare_view,
    converged_table_input,
    digest_of_view,
    marks_of_view,
    refuse_foreign_table,
    refuse_foreign_view,
)
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.table_ddl import build_table_input, define_tables, render_create_table
from airflow_quilt_athena.core.quilt.views import ViewDefinition, define_views
from airflow_quilt_athena.exceptions import ManualActionError

NAMES = BucketNames.of("acme-data")
MANIFESTS, PACKAGES = define_tables(NAMES)
VIEWS = {view.name: view for view in define_views(NAMES, "lake", ManifestSource.of_bucket(NAMES, "lake"))}
COMPATIBLE = ("acme_data_quilt_packages_view", "acme_data_quilt_objects_view")


# --------------------------------------------------------------------------------------- golden text


def test_the_manifests_table_in_hive_ddl() -> None:
    assert render_create_table(MANIFESTS, "lake") == (
        "CREATE EXTERNAL TABLE IF NOT EXISTS `lake`.`acme_data_quilt_manifests` (\n"
        "  `logical_key` string,\n"
        "  `physical_keys` array<string>,\n"
        "  `size` string,\n"
        "  `hash` struct<type:string,value:string>,\n"
        "  `meta` string,\n"
        "  `user_meta` string,\n"
        "  `message` string,\n"
        "  `version` string,\n"
        "  `workflow` string\n"
        ")\n"
        "COMMENT 'Lines of all Quilt manifests in s3://acme-data'\n"
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\n"
        "WITH SERDEPROPERTIES ('case.insensitive' = 'false', 'ignore.malformed.json' = 'true')\n"
        "STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'\n"
        "OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'\n"
        "LOCATION 's3://acme-data/.quilt/packages/'"
    )


def test_the_pointers_table_in_hive_ddl() -> None:
    assert render_create_table(PACKAGES, "lake") == (
        "CREATE EXTERNAL TABLE IF NOT EXISTS `lake`.`acme_data_quilt_packages` (\n"
        "  `hash` string\n"
        ")\n"
        "COMMENT 'Pointers of all Quilt packages in s3://acme-data: revisions and tags'\n"
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe'\n"
        "STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'\n"
        "OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'\n"
        "LOCATION 's3://acme-data/.quilt/named_packages/'"
    )


def test_the_tags_view_in_full() -> None:
    assert VIEWS["acme_data_quilt_tags"].sql == (
        'CREATE OR REPLACE VIEW "lake"."acme_data_quilt_tags" AS\n'
        "WITH\n"
        "pointers AS (\n"
        "  SELECT\n"
        "    regexp_extract(\"$path\", '^[^:]+://[^/]+/[.]quilt/named_packages/([^/]+/[^/]+)/[^/]+$', 1)"
        " AS pkg_name,\n"
        "    regexp_extract(\"$path\", '/([^/]+)$', 1) AS pointer,\n"
        "    TRY_CAST(regexp_extract(\"$path\", '/([0-9]{1,12})$', 1) AS bigint) AS pointer_seconds,\n"
        "    regexp_extract(\"hash\", '^\\s*([0-9a-f]{64})\\s*$', 1) AS top_hash\n"
        '  FROM "lake"."acme_data_quilt_packages"\n'
        ")\n"
        "SELECT pkg_name, pointer AS tag_name, top_hash\n"
        "FROM pointers\n"
        "WHERE pkg_name IS NOT NULL\n"
        "  AND top_hash IS NOT NULL\n"
        "  AND NOT regexp_like(pointer, '^[0-9]+$')"
    )


# ----------------------------------------------------------------------------------- rules of the text


awkward = st.from_regex(r"[A-Za-z0-9._-]{3,40}", fullmatch=True)
database = st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True)


@given(awkward, database)
def test_every_statement_is_one_statement_with_the_names_quoted(bucket: str, lake: str) -> None:
    names = BucketNames.of(bucket)
    views = define_views(names, lake, ManifestSource.of_bucket(names, lake))
    assert [view.name for view in views] == list(names.views)
    for view in views:
        assert split_statements(view.sql) == (view.sql,)
        assert view.sql.startswith(f'CREATE OR REPLACE VIEW "{lake}"."{view.name}" AS\n')
        assert "`" not in view.sql


@pytest.mark.parametrize("view", VIEWS.values(), ids=lambda view: view.name)
def test_no_view_is_built_on_another_nor_yields_what_athena_refuses_in_views(view: ViewDefinition) -> None:
    _, _, body = view.sql.partition(" AS\n")
    assert not any(f'"{name}"' in body for name in NAMES.views)
    for refused in ("from_unixtime", "with_timezone", "AT TIME ZONE", "current_timestamp"):
        assert refused not in body


@pytest.mark.parametrize("view", VIEWS.values(), ids=lambda view: view.name)
def test_each_table_is_read_once(view: ViewDefinition) -> None:
    for table in NAMES.tables:
        assert view.sql.count(f'"{table}"') <= 1


def test_views_on_a_platforms_tables_read_its_columns() -> None:
    platform = ManifestSource("user-db", "acme-data_manifests", "acme-data_packages", "top_hash", False)
    views = {view.name: view.sql for view in define_views(NAMES, "lake", platform)}
    assert set(views) == set(VIEWS)
    assert 'FROM "user-db"."acme-data_packages"' in views["acme_data_quilt_tags"]
    assert 'regexp_extract("top_hash", ' in views["acme_data_quilt_tags"]
    assert 'CAST(NULL AS varchar) AS "workflow"' in views["acme_data_quilt_revisions"]
    assert not any(f'"{table}"' in sql for sql in views.values() for table in NAMES.tables)


# ---------------------------------------------------------------------------------------------- drift


def _glue_table(**changes: Any) -> dict[str, Any]:
    return {"DatabaseName": "lake", "VersionId": "1", **build_table_input(MANIFESTS, {}), **changes}


def _seed_table() -> dict[str, Any]:
    """The manifests table as the seed's DDL leaves it in Glue."""
    return {
        "DatabaseName": "lake",
        "Name": "acme_data_quilt_manifests",
        "TableType": "EXTERNAL_TABLE",
        "Owner": "hadoop",
        "Parameters": {"EXTERNAL": "TRUE", "has_encrypted_data": "false", "transient_lastDdlTime": "1"},
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": [
                {"Name": name, "Type": hive_type}
                for name, hive_type in (
                    ("logical_key", "string"),
                    ("physical_keys", "array<string>"),
                    ("size", "string"),
                    ("hash", "struct<type:string,value:string>"),
                    ("meta", "string"),
                    ("user_meta", "string"),
                    ("message", "string"),
                    ("version", "string"),
                )
            ],
            "Location": "s3://acme-data/.quilt/packages",
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                "Parameters": {"ignore.malformed.json": "true", "serialization.format": "1"},
            },
        },
    }


def test_a_table_as_wanted_differs_in_nothing() -> None:
    assert compare_table(MANIFESTS, _glue_table()) == ()


def test_a_table_of_the_seed_is_adopted_and_what_differs_is_named() -> None:
    raw = _seed_table()
    refuse_foreign_table(MANIFESTS, raw)
    assert {difference.setting: difference.was for difference in compare_table(MANIFESTS, raw)} == {
        "columns": "logical_key string, physical_keys array<string>, size string, "
        "hash struct<type:string,value:string>, meta string, user_meta string, message string, "
        "version string",
        "location": "s3://acme-data/.quilt/packages",
        "output format": "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat",
        "serde property case.insensitive": None,
    }


def test_a_mended_table_is_as_wanted_and_keeps_what_others_noted_on_it() -> None:
    raw = _seed_table()
    raw["Parameters"]["team"] = "screens"
    mended = converged_table_input(MANIFESTS, raw)
    assert compare_table(MANIFESTS, mended) == ()
    assert mended["Parameters"]["team"] == "screens"
    assert mended["Owner"] == "hadoop"


@pytest.mark.parametrize(
    "name", ["skip.header.line.count", "projection.enabled", "storage.location.template"]
)
def test_a_property_that_hides_rows_is_drift(name: str) -> None:
    raw = _glue_table(Parameters={"EXTERNAL": "TRUE", name: "1"})
    (difference,) = compare_table(MANIFESTS, raw)
    assert (difference.setting, difference.wanted) == (f"table property {name}", None)
    assert name not in converged_table_input(MANIFESTS, raw)["Parameters"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TableType": "VIRTUAL_VIEW"}, "it is a view"),
        ({"TableType": "MANAGED_TABLE"}, "it is of type MANAGED_TABLE"),
        ({"Parameters": {"table_type": "ICEBERG"}}, "it is an ICEBERG table"),
        ({"PartitionKeys": [{"Name": "dt", "Type": "string"}]}, "it has partition keys"),
        ({"StorageDescriptor": {"Location": "s3://other/.quilt/packages/"}}, "its location is s3://other/"),
        ({"StorageDescriptor": {"Location": "s3://acme-data/.quilt/packages-2"}}, "its location is"),
        ({"StorageDescriptor": {"Location": "hdfs://x/y"}}, "its location is hdfs"),
        ({"StorageDescriptor": {}}, "its location is nowhere"),
    ],
)
def test_a_table_of_our_name_that_is_something_else_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ManualActionError, match=words):
        refuse_foreign_table(MANIFESTS, _glue_table(**changes))


VIEW = VIEWS["acme_data_quilt_tags"]


def _glue_view(sql: str = "SELECT 1", **parameters: str) -> dict[str, Any]:
    data = base64.b64encode(json.dumps({"originalSql": sql}).encode()).decode()
    return {
        "DatabaseName": "lake",
        "Name": VIEW.name,
        "TableType": "VIRTUAL_VIEW",
        "ViewOriginalText": f"/* Presto View: {data} */",
        "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}]},
        "Parameters": {"presto_view": "true", **parameters},
    }


def test_a_view_just_made_and_marked_is_unchanged() -> None:
    raw = _glue_view()
    raw["Parameters"] = marks_of_view(VIEW.digest, raw)
    assert compare_view(VIEW, raw) == ()
    assert raw["Parameters"]["presto_view"] == "true"


def test_a_view_changed_by_hand_is_noticed_and_its_sql_shown() -> None:
    marks = marks_of_view(VIEW.digest, _glue_view())
    changed = {**_glue_view("SELECT 2 AS mine"), "Parameters": marks}
    (difference,) = compare_view(VIEW, changed)
    assert difference.was == "changed by hand: SELECT 2 AS mine"


def test_a_column_changed_by_hand_is_noticed_as_well() -> None:
    raw = _glue_view()
    changed = {**raw, "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "bigint"}]}}
    assert digest_of_view(raw) != digest_of_view(changed)


def test_a_view_of_an_older_release_is_replaced() -> None:
    raw = _glue_view()
    raw["Parameters"] = marks_of_view("0" * 64, raw)
    (difference,) = compare_view(VIEW, raw)
    assert difference.was == "statement 000000000000"


def test_a_view_without_marks_is_replaced_whoever_made_it() -> None:
    (difference,) = compare_view(VIEW, _glue_view("SELECT 'the seed''s'"))
    assert difference.was == "not by this package: SELECT 'the seed''s'"
    (difference,) = compare_view(VIEW, {**_glue_view(), "ViewOriginalText": "/* Presto View: bm8= */"})
    assert difference.was == "not by this package: /* Presto View: bm8= */"


def test_a_view_in_another_engines_words_is_shown_as_it_is() -> None:
    (difference,) = compare_view(VIEW, {**_glue_view(), "ViewOriginalText": "SELECT 1\n  AS a"})
    assert difference.was == "not by this package: SELECT 1 AS a"
    (difference,) = compare_view(VIEW, {**_glue_view(), "ViewOriginalText": None})
    assert difference.was == "not by this package: "


def test_a_view_is_never_refused_for_being_one() -> None:
    refuse_foreign_view(VIEW, _glue_view())


def test_a_table_in_the_place_of_a_view_is_refused() -> None:
    with pytest.raises(ManualActionError, match="there is a table of that name"):
        refuse_foreign_view(VIEW, _glue_table(Name=VIEW.name))


def test_long_sql_is_cut_in_the_log() -> None:
    (difference,) = compare_view(VIEW, _glue_view("SELECT " + "x" * 500))
    assert difference.was is not None
    assert len(difference.was) < 250


def test_the_compatible_views_keep_the_columns_of_the_seed_in_their_order() -> None:
    wanted = {
        COMPATIBLE[0]: ["user", "name", "hash", "timestamp", "message", "meta"],
        COMPATIBLE[1]: [
            "user", "name", "timestamp", "tophash", "logical_key", "physical_keys", "size", "hash", "meta",
            "user_meta",
        ],
    }  # fmt: skip
    for name, columns in wanted.items():
        outer = VIEWS[name].sql.rpartition("\nSELECT\n")[2].partition("\nFROM")[0]
        found = [
            line.strip(" ,").replace('"', "").split(" AS ")[-1].split(".")[-1] for line in outer.split("\n")
        ]
        assert found == columns
