{{ config(materialized='table', format='orc') }}
select s.id, s.name, c.label from {{ source('lake', 'src') }} s join {{ ref('codes') }} c on c.code = s.id
