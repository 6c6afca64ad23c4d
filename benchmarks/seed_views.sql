CREATE EXTERNAL TABLE `bench.bench_registry_quilt_manifests`(
  `logical_key` string,
  `physical_keys` array<string>,
  `size` string,
  `hash` struct<type:string,value:string>,
  `meta` string,
  `user_meta` string,
  `message` string,
  `version` string)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('ignore.malformed.json'='true')
STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat'
LOCATION 's3://bench-registry/.quilt/packages'
TBLPROPERTIES ('has_encrypted_data'='false');

CREATE EXTERNAL TABLE `bench.bench_registry_quilt_packages`(`hash` string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY ','
STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat'
OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'
LOCATION 's3://bench-registry/.quilt/named_packages'
TBLPROPERTIES ('has_encrypted_data'='false');

CREATE VIEW bench.bench_registry_quilt_packages_view AS
WITH npv AS (
  SELECT regexp_extract("$path", '^s3:\/\/([^\/]+)\/([^\/]+)\/([^\/]+)\/([^\/]+)', 4) AS user,
         regexp_extract("$path", '^s3:\/\/([^\/]+)\/([^\/]+)\/([^\/]+)\/([^\/]+)\/([^\/]+)', 5) AS name,
         regexp_extract("$path", '[^/]+$') AS timestamp,
         bench.bench_registry_quilt_packages."hash"
  FROM bench.bench_registry_quilt_packages
), mv AS (
  SELECT regexp_extract("$path", '[^/]+$') AS tophash, manifest."meta", manifest."message"
  FROM bench.bench_registry_quilt_manifests AS manifest
  WHERE manifest."logical_key" IS NULL
)
SELECT npv."user", npv."name", npv."hash", npv."timestamp", mv."message", mv."meta"
FROM npv JOIN mv ON npv."hash" = mv."tophash";

CREATE VIEW bench.bench_registry_quilt_objects_view AS
WITH mv AS (
  SELECT regexp_extract("$path", '[^/]+$') AS tophash, manifest."logical_key", manifest."physical_keys",
         manifest."size", manifest."hash", manifest."meta", manifest."user_meta"
  FROM bench.bench_registry_quilt_manifests AS manifest
  WHERE manifest."logical_key" IS NOT NULL
)
SELECT npv."user", npv."name", npv."timestamp", mv."tophash", mv."logical_key", mv."physical_keys",
       mv."size", mv."hash", mv."meta", mv."user_meta"
FROM mv JOIN bench.bench_registry_quilt_packages_view AS npv ON npv."hash" = mv."tophash"
