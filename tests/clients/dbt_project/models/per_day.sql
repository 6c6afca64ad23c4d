{{ config(materialized='view') }}
select dt, count(*) as n, sum(amount) as total from {{ ref('daily') }} group by dt
