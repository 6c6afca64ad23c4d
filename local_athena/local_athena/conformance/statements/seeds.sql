-- The seeds' tables and views (their DDL runs first, from quilt_seeds.py), and what is asked of them.
SELECT * FROM {bucket}_quilt_packages ORDER BY hash;
SELECT logical_key, size, hash, hash.value AS v, physical_keys FROM {bucket}_quilt_manifests ORDER BY hash.value, message;
SELECT version, message, user_meta, meta FROM {bucket}_quilt_manifests WHERE logical_key IS NULL ORDER BY message;
SELECT * FROM {bucket}_quilt_packages_view ORDER BY name, timestamp;
SELECT * FROM {bucket}_quilt_objects_view ORDER BY name, timestamp, logical_key;
SELECT user, name, sum(CAST(size AS bigint)) AS bytes FROM {bucket}_quilt_objects_view GROUP BY 1, 2 ORDER BY 1, 2;
SELECT json_extract_scalar(meta, '$.user_meta.Kind') AS kind, json_extract_scalar(meta, '$.user_meta.kind') AS lower_kind FROM {bucket}_quilt_manifests WHERE logical_key = 'a/b.txt';
SELECT count(*) AS n FROM {bucket}_quilt_objects_view WHERE timestamp = 'latest';
SELECT logical_key FROM {bucket}_quilt_objects_view WHERE physical_keys[1] LIKE 's3://{bucket}/a/%';
DESCRIBE {bucket}_quilt_objects_view;
