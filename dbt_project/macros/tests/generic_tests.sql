{# Our generic tests. Packages are not used: fetching them is a download at run time. #}

{# No two rows share the values of these columns. #}
{% test unique_combination(model, columns) %}
select
    {{ columns | join(', ') }},
    count(*) as rows_with_this_key
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{# None of these columns is empty; one scan for all of them. #}
{% test no_nulls(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
where {% for column in columns %}{{ column }} is null{{ ' or ' if not loop.last }}{% endfor %}
{% endtest %}

{#
  At least as many rows were accepted as the source declares (min_rows). Counted by the ledger, so no file is opened;
  stands on the staging view all the same, because it is what follows from there that a failure must stop.
#}
{% test declared_row_count(model, files, source_name, table_name) %}
{%- set minimum = source_node(source_name, table_name).meta.get('min_rows', 1) %}
select
    coalesce(sum(row_count), 0) as row_count,
    coalesce(sum(row_count), 0) || ' rows, but at least {{ minimum }} are expected' as message
from {{ files }}
having coalesce(sum(row_count), 0) < {{ minimum }}
{% endtest %}

{#
  The newest value of a time column is no older than the source declares (freshness.max_age_hours); the vars
  freshness_hours overrides the limit and accept_stale accepts any age. An empty relation is another test's business.
#}
{% test fresh(model, column_name, source_name, table_name) %}
{%- set declared = source_node(source_name, table_name).meta.get('freshness') or {} %}
{%- set hours = var('freshness_hours', none) or declared.get('max_age_hours') %}
{%- set age = "date_diff('second', max(" ~ column_name ~ "), now() at time zone 'UTC') / 3600.0" %}
select
    max({{ column_name }}) as newest,
    'newest batch started ' || strftime(max({{ column_name }}), '%Y-%m-%d %H:%M') || ' UTC, '
    || case
        when {{ age }} < 48 then round({{ age }}, 1) || ' hours'
        when {{ age }} < 24 * 365 then round({{ age }} / 24, 1) || ' days'
        else round({{ age }} / 24 / 365.25, 1) || ' years'
    end
    || ' ago; the limit is {{ hours or 0 }} hours (LAKEHOUSE_FRESHNESS_HOURS changes it);'
    || ' if the age is expected, as in a history load, accept it: lakehouse run --accept-stale, or LAKEHOUSE_ACCEPT_STALE=true' as message
from {{ model }}
having
    {% if hours and not var('accept_stale', false) -%}
    {{ age }} > {{ hours }}
    {%- else -%}
    false
    {%- endif %}
{% endtest %}

{# Every value lies within the range that its parameter declares. A parameter that declares none cannot fail. #}
{% test values_in_declared_range(model, source_name, table_name) %}
select
    stats.batch_id,
    stats.equipment_id,
    stats.parameter,
    stats.value_count - stats.in_range_count as values_outside,
    stats.parameter || ' of batch ' || stats.batch_id || ': ' || (stats.value_count - stats.in_range_count)
    || ' of ' || stats.value_count || ' values outside ' || ranges.range_min || ' to ' || ranges.range_max
    || ' ' || ranges.declared_unit || ' (lowest ' || stats.min_value || ', highest ' || stats.max_value || ')' as message
from {{ model }} as stats
inner join ({{ declared_range_rows(source_name, table_name) }}) as ranges on stats.parameter = ranges.parameter
where stats.in_range_count < stats.value_count
{% endtest %}

{# A batch's average lies within what its parameter declares to expect (expected_avg_min, expected_avg_max). #}
{% test average_as_declared(model, source_name, table_name) %}
select
    stats.batch_id,
    stats.equipment_id,
    stats.parameter,
    stats.avg_value,
    stats.parameter || ' of batch ' || stats.batch_id || ': average ' || round(stats.avg_value, 3) || ', expected '
    || ranges.expected_avg_min || ' to ' || ranges.expected_avg_max || ' ' || ranges.declared_unit as message
from {{ model }} as stats
inner join ({{ declared_range_rows(source_name, table_name) }}) as ranges on stats.parameter = ranges.parameter
where stats.avg_value < ranges.expected_avg_min or stats.avg_value > ranges.expected_avg_max
{% endtest %}

{# Every equipment that appears upstream is here, and has at least one value. #}
{% test every_equipment_has_data(model, upstream) %}
select
    upstream.equipment_id,
    upstream.equipment_id
    || case when here.equipment_id is null then ' is missing' else ' has readings but not one value' end as message
from (select distinct equipment_id from {{ upstream }}) as upstream
left join (
    select
        equipment_id,
        sum(value_count) as value_count
    from {{ model }}
    group by equipment_id
) as here on upstream.equipment_id = here.equipment_id
where coalesce(here.value_count, 0) = 0
{% endtest %}
