{{ config(materialized='table') }}
select nope from {{ source('lake', 'src') }}
