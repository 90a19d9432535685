{#
  The parameters that a source declares with a plausible range: dicts of name, unit, min, max, expected_avg_min,
  expected_avg_max. Everything not declared has no range; it is never refused.
#}
{% macro declared_parameters(source_name, table_name) -%}
    {{ return(source_node(source_name, table_name).meta.get('parameters', [])) }}
{%- endmacro %}

{# True where the value is within its parameter's declared range, null where the parameter declares none. #}
{% macro in_declared_range(source_name, table_name, parameter, value) -%}
    {%- set parameters = declared_parameters(source_name, table_name) -%}
    {%- if not parameters -%} null::boolean {%- else -%}
    case {{ parameter }}
        {%- for item in parameters %}
        when {{ literal(item.name) }} then {{ value }} between {{ item.min }} and {{ item.max }}
        {%- endfor %}
    end
    {%- endif -%}
{%- endmacro %}

{# Declared ranges as rows: parameter, unit, min_value, max_value, expected_avg_min, expected_avg_max. #}
{% macro declared_range_rows(source_name, table_name) -%}
    {%- set parameters = declared_parameters(source_name, table_name) -%}
    {%- for item in parameters %}
    select
        {{ literal(item.name) }} as parameter,
        {{ literal(item.get('unit', '')) }} as declared_unit,
        {{ item.min }}::double as range_min,
        {{ item.max }}::double as range_max,
        {{ item.get('expected_avg_min', 'null') }}::double as expected_avg_min,
        {{ item.get('expected_avg_max', 'null') }}::double as expected_avg_max
    {{ 'union all' if not loop.last }}
    {%- else %}
    select
        null::varchar as parameter, null::varchar as declared_unit, null::double as range_min,
        null::double as range_max, null::double as expected_avg_min, null::double as expected_avg_max
    where false
    {%- endfor %}
{%- endmacro %}
