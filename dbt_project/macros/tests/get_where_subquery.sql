{#
  What a generic test reads. Two placeholders for `where` limit a run's tests to what arrived after the var
  checks_after_arrival (a number of the ledger); 0, the default, is everything. dbt documents this override.
    newly_arrived                    rows of the files that arrived since, for a staging view <name> with <name>__files:
                                     no other file is opened
    newly_arrived_batches <…__files> rows of the batches that those files hold, for what is built on it
#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- if not where -%} {{ return(relation) }} {%- endif -%}
    {%- if where.startswith('newly_arrived') -%}
        {%- set after = var('checks_after_arrival', 0) | int -%}
        {%- if after == 0 -%} {{ return(relation) }} {%- endif -%}
        {%- set name = where.split(' ')[1] if ' ' in where else relation.identifier ~ '__files' -%}
        {%- set files = relation.incorporate(path={'schema': 'staging', 'identifier': name}) -%}
        {%- if where == 'newly_arrived' -%}
            {%- set where = '_source_file in (' ~ literals(file_keys(files, after)) ~ ')' -%}
        {%- else -%}
            {%- set where = 'batch_id in (select trim(unnest(batch_ids)) from ' ~ files
                ~ ' where arrival_seq > ' ~ after ~ ')' -%}
        {%- endif -%}
    {%- endif -%}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') as dbt_subquery') }}
{%- endmacro %}
