{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns') }}
{% if is_incremental() %}
select id + 10 as id, name, amount from {{ source('lake', 'src') }}
{% else %}
select id, name from {{ source('lake', 'src') }}
{% endif %}
