{{
    config(
        materialized='incremental',
        incremental_strategy='replace_batches',
        unique_key='batch_id',
        on_schema_change='fail',
    )
}}

with buckets as (
    {{ rows_to_build(ref('int_bioreactor_downsample_5m')) }}
),

equipment as (
    select
        batch_id,
        equipment_id,
        sum(reading_count) as reading_count
    from buckets
    group by batch_id, equipment_id
),

main_equipment as (
    select
        batch_id,
        arg_min(equipment_id, (-reading_count, equipment_id)) as equipment_id,
        count(*) as equipment_count,
        string_agg(equipment_id, ', ' order by equipment_id) as equipment_ids
    from equipment
    group by batch_id
),

batches as (
    select
        batch_id,
        min(first_reading_at) as batch_start,
        max(last_reading_at) as batch_end,
        count(distinct bucket_start) as bucket_count,
        count(distinct parameter) as parameter_count,
        sum(reading_count) as reading_count,
        sum(value_count) as value_count,
        sum(null_count) as null_count,
        sum(duplicate_count) as duplicate_count,
        any_value(_batch_version) as _batch_version,
        any_value(_source_files) as _source_files,
        any_value(_ingested_at) as _ingested_at
    from buckets
    group by batch_id
)

select
    batches.batch_id,
    main_equipment.equipment_id,
    main_equipment.equipment_count::bigint as equipment_count,
    main_equipment.equipment_ids,
    batches.batch_start,
    batches.batch_end,
    (epoch(batches.batch_end) - epoch(batches.batch_start)) / 3600 as duration_hours,
    batches.parameter_count::bigint as parameter_count,
    batches.bucket_count::bigint as bucket_count,
    batches.reading_count::bigint as reading_count,
    batches.value_count::bigint as value_count,
    batches.null_count::bigint as null_count,
    batches.duplicate_count::bigint as duplicate_count,
    [split_part(line, chr(9), 1) for line in string_split(batches._source_files, chr(10))] as source_files,
    batches._batch_version,
    batches._ingested_at
from batches
inner join main_equipment on batches.batch_id = main_equipment.batch_id
order by batches.batch_id
