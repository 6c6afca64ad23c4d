{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns') }}
select id + {{ var('shift', 0) }} as id, name {% if var('with_amount', false) %}, amount {% endif %}
from {{ source('lake', 'src') }}
