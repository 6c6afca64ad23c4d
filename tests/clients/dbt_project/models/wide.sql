{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partitioned_by=['dt']) }}
select id + {{ var('shift', 0) }} as id, name, dt from {{ source('lake', 'wide_src') }}
