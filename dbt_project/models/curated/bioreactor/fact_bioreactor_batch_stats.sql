{{
    config(
        materialized='incremental',
        incremental_strategy='replace_batches',
        unique_key=['batch_id', 'equipment_id', 'parameter', 'unit'],
        on_schema_change='fail',
    )
}}

with buckets as (
    {{ rows_to_build(ref('int_bioreactor_downsample_5m')) }}
),

batch_span as (
    select
        batch_id,
        (epoch(max(bucket_start)) - epoch(min(bucket_start))) // 300 + 1 as bucket_count
    from buckets
    group by batch_id
),

series as (
    select
        batch_id,
        equipment_id,
        parameter,
        unit,
        sum(reading_count) as reading_count,
        sum(value_count) as value_count,
        sum(null_count) as null_count,
        sum(duplicate_count) as duplicate_count,
        sum(in_range_count) as in_range_count,
        sum(value_sum) / nullif(sum(value_count), 0) as avg_value,
        min(value_min) as min_value,
        max(value_max) as max_value,
        min(first_reading_at) as first_reading_at,
        max(last_reading_at) as last_reading_at,
        min(first_value_at) as first_value_at,
        max(last_value_at) as last_value_at,
        count(*) filter (where value_count > 0) as bucket_count,
        any_value(_batch_version) as _batch_version,
        any_value(_ingested_at) as _ingested_at
    from buckets
    group by batch_id, equipment_id, parameter, unit
),

-- Squared deviations add up over buckets once each bucket's mean is moved to the mean of the whole series.
deviations as (
    select
        buckets.batch_id,
        buckets.equipment_id,
        buckets.parameter,
        buckets.unit,
        sum(buckets.value_m2 + buckets.value_count * pow(buckets.value_mean - series.avg_value, 2)) as m2
    from buckets
    inner join series
        on
            buckets.batch_id = series.batch_id
            and buckets.equipment_id = series.equipment_id
            and buckets.parameter = series.parameter
            and buckets.unit = series.unit
    group by buckets.batch_id, buckets.equipment_id, buckets.parameter, buckets.unit
)

select
    series.batch_id,
    series.equipment_id,
    series.parameter,
    series.unit,
    series.reading_count::bigint as reading_count,
    series.value_count::bigint as value_count,
    series.null_count::bigint as null_count,
    series.duplicate_count::bigint as duplicate_count,
    series.in_range_count::bigint as in_range_count,
    series.avg_value,
    case when series.value_count > 1 then sqrt(deviations.m2 / (series.value_count - 1)) end as stddev_value,
    series.min_value,
    series.max_value,
    series.first_reading_at,
    series.last_reading_at,
    series.first_value_at,
    series.last_value_at,
    series.bucket_count::bigint as bucket_count,
    batch_span.bucket_count::bigint as expected_bucket_count,
    series.bucket_count / batch_span.bucket_count as coverage,
    series._batch_version,
    series._ingested_at
from series
inner join deviations
    on
        series.batch_id = deviations.batch_id
        and series.equipment_id = deviations.equipment_id
        and series.parameter = deviations.parameter
        and series.unit = deviations.unit
inner join batch_span on series.batch_id = batch_span.batch_id
order by series.batch_id, series.equipment_id, series.parameter, series.unit
