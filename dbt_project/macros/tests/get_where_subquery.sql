{#
  What a generic test reads. A test with `where: newly_arrived` looks only at rows of the files that arrived after the
  var checks_after_arrival (a number of the ledger), so that a run's tests open its new files and no others; 0, the
  default, is everything. dbt documents this override.
#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- if not where -%} {{ return(relation) }} {%- endif -%}
    {%- if where == 'newly_arrived' -%}
        {%- set after = var('checks_after_arrival', 0) | int -%}
        {%- if after == 0 -%} {{ return(relation) }} {%- endif -%}
        {%- set files = relation.incorporate(path={'identifier': relation.identifier ~ '__files'}) -%}
        {%- set where = '_source_file in (' ~ literals(file_keys(files, after)) ~ ')' -%}
    {%- endif -%}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') as dbt_subquery') }}
{%- endmacro %}
