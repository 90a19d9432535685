{#
  The rows of a declared source, as a relation: the accepted files of a `…__files` relation, cast to the declared types, without the rows that
  a declared rule sets aside, and with where each row came from.

  Every file is cast to the declared types on its own (`schema`), so files of different physical types mix, extra
  columns are ignored, and only the files that a query needs are opened: a filter on _source_file prunes the rest.
  Types and rules come from the source's YAML, which is derived from ingestion/sources/<source>.yml.
#}
{% macro lake_rows(source_name, table_name, files) -%}
    {%- set relation = source(source_name, table_name) -%}
    {%- set node = source_node(source_name, table_name) -%}
    {%- set moved = moved_files(source_name) -%}
    {%- set uris = lake_uris(files, moved) -%}
    {%- if not uris -%}
    (
        select
            {%- for column in node.columns.values() %}
            null::{{ column.data_type }} as {{ adapter.quote(column.name) }},
            {%- endfor %}
            null::varchar as _source_file,
            null::bigint as _file_row_number,
            null::varchar as _batch_id,
            null::timestamp as _ingested_at,
            null::bigint as _arrival_seq
        where false
    )
    {%- else -%}
    {%- set read_key = 'substr(lake.filename, ' ~ ((lake_root() | length) + 2) ~ ')' -%}
    {%- set back = [] -%}
    {%- for pair in moved -%} {%- do back.append([pair[1], pair[0]]) -%} {%- endfor -%}
    (
        select
            {%- for column in node.columns.values() %}
            lake.{{ adapter.quote(column.name) }},
            {%- endfor %}
            {{ exchanged(read_key, back) }} as _source_file,
            lake._file_row_number,
            arrived.batch_key as _batch_id,
            arrived.ingested_at as _ingested_at,
            arrived.arrival_seq as _arrival_seq
        from (
            select
                *,
                file_row_number as _file_row_number
            from read_parquet(
                [{{ uris }}],
                schema = map {
                    {%- for column in node.columns.values() %}
                    {{ literal(column.name) }}: {
                        name: {{ literal(column.name) }}, type: {{ literal(column.data_type) }}, default_value: null
                    }{{ ',' if not loop.last }}
                    {%- endfor %}
                },
                filename = true,
                hive_partitioning = false
            )
            {%- for rule in node.meta.get('row_rules', []) if rule.get('action', 'quarantine_rows') == 'quarantine_rows' %}
            {{ 'where' if loop.first else 'and' }} ({{ rule.expression }})
            {%- endfor %}
        ) as lake
        inner join {{ files }} as arrived
            on arrived.file_key = {{ exchanged(read_key, back) }}
    )
    {%- endif -%}
{%- endmacro %}

{# The declaration of a source as dbt knows it: columns and meta. Empty while dbt parses. #}
{% macro source_node(source_name, table_name) -%}
    {%- if execute -%}
        {%- for node in graph.sources.values() if node.source_name == source_name and node.name == table_name -%}
            {{ return(node) }}
        {%- endfor -%}
        {{ exceptions.raise_compiler_error('There is no source ' ~ source_name ~ '.' ~ table_name) }}
    {%- endif -%}
    {{ return({'columns': {}, 'meta': {}}) }}
{%- endmacro %}
