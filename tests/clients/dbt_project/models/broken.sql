{{ config(materialized='table', enabled=var('broken', false)) }}
select nope from {{ source('lake', 'src') }}
