{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partitioned_by=['dt']) }}
{% if is_incremental() %}
select id + 10 as id, name, amount, dt from {{ source('lake', 'src') }} where dt = '2026-01-01'
{% else %}
select id, name, amount, dt from {{ source('lake', 'src') }}
{% endif %}
