"""The statements of Quilt's documentation of 2022, word for word, to be compared with ours."""

from __future__ import annotations

_SLASH = r"\/([^\/]+)"
_S1 = r"\/"
_S3_MATCH = f"^s3:{_S1}{_SLASH}{_SLASH}{_SLASH}{_SLASH}"


def seed_statements(database: str, bucket: str) -> dict[str, str]:
    """By name, the DDL of the two tables and two views, in the order they were run."""
    bucket_id = bucket.replace("-", "_")
    manifests, packages = f"{bucket_id}_quilt_manifests", f"{bucket_id}_quilt_packages"
    packages_view, objects_view = f"{bucket_id}_quilt_packages_view", f"{bucket_id}_quilt_objects_view"
    return {
        manifests: f"""
CREATE EXTERNAL TABLE `{database}.{manifests}`(
  `logical_key` string,
  `physical_keys` array<string>,
  `size` string,
  `hash` struct<type:string,value:string>,
  `meta` string,
  `user_meta` string,
  `message` string,
  `version` string)
ROW FORMAT SERDE
  'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES (
  'ignore.malformed.json'='true')
STORED AS INPUTFORMAT
  'org.apache.hadoop.mapred.TextInputFormat'
OUTPUTFORMAT
  'org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat'
LOCATION
  's3://{bucket}/.quilt/packages'
TBLPROPERTIES ('has_encrypted_data'='false');
""",
        packages: f"""
CREATE EXTERNAL TABLE `{database}.{packages}`(
  `hash` string)
ROW FORMAT DELIMITED
  FIELDS TERMINATED BY ',' STORED AS INPUTFORMAT
  'org.apache.hadoop.mapred.TextInputFormat'
OUTPUTFORMAT
  'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION
  's3://{bucket}/.quilt/named_packages'
TBLPROPERTIES (
  'has_encrypted_data'='false',
  'transient_lastDdlTime'='1557626200');
""",
        packages_view: f"""
CREATE VIEW {database}.{packages_view} AS
WITH
  npv AS (
    SELECT
      regexp_extract("$path", '{_S3_MATCH}', 4) as user,
      regexp_extract("$path", '{_S3_MATCH}{_SLASH}', 5) as name,
      regexp_extract("$path", '[^/]+$') as timestamp,
      {database}.{packages}."hash"
      FROM {database}.{packages}
  ),
  mv AS (
    SELECT
      regexp_extract("$path", '[^/]+$') as tophash,
        manifest."meta",
        manifest."message"
      FROM
        {database}.{manifests} as manifest
      WHERE manifest."logical_key" IS NULL
  )
SELECT
  npv."user",
  npv."name",
  npv."hash",
  npv."timestamp",
  mv."message",
  mv."meta"
FROM npv
JOIN
  mv
ON
  npv."hash" = mv."tophash";
""",
        objects_view: f"""
CREATE VIEW {database}.{objects_view} AS
WITH
  mv AS (
    SELECT
      regexp_extract("$path", '[^/]+$') as tophash,
      manifest."logical_key",
      manifest."physical_keys",
      manifest."size",
      manifest."hash",
      manifest."meta",
      manifest."user_meta"
    FROM
      {database}.{manifests} as manifest
    WHERE manifest."logical_key" IS NOT NULL
  )
SELECT
  npv."user",
  npv."name",
  npv."timestamp",
  mv."tophash",
  mv."logical_key",
  mv."physical_keys",
  mv."size",
  mv."hash",
  mv."meta",
  mv."user_meta"
FROM mv
JOIN
  {database}.{packages_view} as npv
ON
  npv."hash" = mv."tophash";
""",
    }
