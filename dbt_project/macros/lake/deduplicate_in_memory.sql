{#
  Whether so many readings can be de-duplicated from lists in memory (about 90 bytes per reading, measured) or must go
  through an aggregation that DuckDB can spill to disk (three times slower, any size).
  Counts the rows of the files with the given keys in a `…__files` relation; none given: of all.
#}
{% macro deduplicate_in_memory(files, keys=none) -%}
    {%- if not execute -%} {{ return(true) }} {%- endif -%}
    {%- set query -%}
    select
        coalesce(sum(row_count), 0) * 90 < parse_formatted_bytes(current_setting('memory_limit'))
    from {{ files }}
    {%- if keys %}
    where file_key in ({{ literals(keys) }})
    {%- endif %}
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0]) }}
{%- endmacro %}
