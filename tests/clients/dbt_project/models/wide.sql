{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partitioned_by=['dt']) }}
select id {% if is_incremental() %} + 1000 {% endif %} as id, name, dt from {{ source('lake', 'wide_src') }}
