{{ config(materialized='table') }}
-- {{ source('bioreactor', 'readings') }}

select
    file_key,
    batch_key,
    fingerprint,
    arrival_seq,
    ingested_at,
    row_count,
    batch_ids
from {{ ledger('bioreactor') }}
order by arrival_seq
