{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partitioned_by=['dt']) }}
select id + {{ var('shift', 0) }} as id, name, amount, dt from {{ source('lake', 'src') }}
{% if var('day', none) %} where dt = '{{ var("day") }}' {% endif %}
