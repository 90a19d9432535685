{{
    config(
        publish_key=['batch_id', 'equipment_id', 'parameter', 'unit'],
        indexes=[
            {'columns': ['batch_start']},
            {'columns': ['equipment_id', 'batch_start']},
            {'columns': ['parameter', 'batch_start']},
        ],
    )
}}

with ranges as (
    {{ declared_range_rows('bioreactor', 'readings') }}
)

select
    fact.batch_id,
    fact.equipment_id,
    fact.parameter,
    fact.unit,
    dim.batch_start,
    dim.batch_end,
    dim.duration_hours,
    dim.parameter_count as batch_parameter_count,
    dim.reading_count as batch_reading_count,
    dim.equipment_count as batch_equipment_count,
    fact.reading_count,
    fact.value_count,
    fact.null_count,
    fact.duplicate_count,
    fact.avg_value,
    fact.stddev_value,
    fact.min_value,
    fact.max_value,
    fact.first_value_at,
    fact.last_value_at,
    fact.coverage,
    ranges.parameter is not null as is_declared_parameter,
    ranges.range_min,
    ranges.range_max,
    fact.in_range_count / nullif(fact.value_count, 0) as in_range_share,
    ranges.expected_avg_min,
    ranges.expected_avg_max,
    fact.avg_value between ranges.expected_avg_min and ranges.expected_avg_max as is_avg_as_expected,
    array_to_string(dim.source_files, ', ') as source_files,
    dim._ingested_at as last_ingested_at
from {{ ref('fact_bioreactor_batch_stats') }} as fact
inner join {{ ref('dim_batch') }} as dim on fact.batch_id = dim.batch_id
left join ranges on fact.parameter = ranges.parameter
order by dim.batch_start, fact.batch_id, fact.equipment_id, fact.parameter, fact.unit
