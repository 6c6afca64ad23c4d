-- The tables that the other topics read.
CREATE EXTERNAL TABLE people (id int, name string, age int, tags array<string>, info struct<city:string,zip:int>, born date, extra string) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('ignore.malformed.json'='true') LOCATION 's3://{bucket}/people/';
CREATE EXTERNAL TABLE torn (id int, name string) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' WITH SERDEPROPERTIES ('ignore.malformed.json'='true') LOCATION 's3://{bucket}/torn/';
CREATE EXTERNAL TABLE torn_strict (id string, name string) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://{bucket}/torn/';
CREATE EXTERNAL TABLE torn_hive (id string, name string) ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe' LOCATION 's3://{bucket}/torn/';
CREATE EXTERNAL TABLE texts (id int, word string, amount decimal(6,2), day date, flag boolean) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://{bucket}/texts/';
CREATE EXTERNAL TABLE texts_words (id string, word string, amount double) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://{bucket}/texts/';
CREATE EXTERNAL TABLE quoted (id string, name string, note string) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' LOCATION 's3://{bucket}/quoted/' TBLPROPERTIES ('skip.header.line.count'='1');
CREATE EXTERNAL TABLE days (id int, v int) PARTITIONED BY (dt string) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://{bucket}/days/';
CREATE EXTERNAL TABLE dates (id int, v int) PARTITIONED BY (dt date) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://{bucket}/days/';
MSCK REPAIR TABLE dates;
CREATE EXTERNAL TABLE spaces (id int) PARTITIONED BY (p string) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://{bucket}/spaces/';
MSCK REPAIR TABLE spaces;
CREATE EXTERNAL TABLE nums (id int) PARTITIONED BY (n int) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://{bucket}/nums/';
MSCK REPAIR TABLE nums;
CREATE EXTERNAL TABLE nothing (id int, name string) ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://{bucket}/nothing/';
