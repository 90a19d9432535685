{# Start of the bucket of so many minutes that a UTC time falls in; buckets begin at full hours. #}
{% macro bucket_start(timestamp, minutes) -%}
    time_bucket(interval '{{ minutes }} minutes', {{ timestamp }}, timestamp '2000-01-01')
{%- endmacro %}
