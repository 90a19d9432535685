select
    nullif(trim(batch_id), '') as batch_id,
    coalesce(nullif(trim(equipment_id), ''), 'unknown') as equipment_id,
    nullif(lower(trim(parameter)), '') as parameter,
    cast("timestamp" as timestamp) as "timestamp",
    cast("value" as double) as "value",
    nullif(trim(unit), '') as unit,
    _batch_id,
    _ingested_at,
    _source_file,
    _file_row_number,
    _arrival_seq
from {{ lake_rows('bioreactor', 'readings', ref('stg_bioreactor__files')) }}
