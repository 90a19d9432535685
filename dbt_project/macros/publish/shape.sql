{# The shape of a published table: NOT NULL, indexes, comments. SQL for Postgres, as text. #}

{% macro publish_table(fresh) -%}
    {{ return('marts_build.' ~ adapter.quote(fresh)) }}
{%- endmacro %}

{# Columns that the model's YAML declares not_null. #}
{% macro publish_not_null() -%}
    {%- set names = [] -%}
    {%- for column in model.columns.values() if 'not_null' in (column.constraints | map(attribute='type') | list) -%}
        {%- do names.append(column.name) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{# NOT NULL, set while the table is empty: no scan. #}
{% macro publish_shape(fresh) -%}
    {%- for column in publish_not_null() %}
    {{ 'alter table ' ~ publish_table(fresh) if loop.first }} alter {{ adapter.quote(column) }} set not null
    {{- ';' if loop.last else ',' }}
    {%- endfor %}
{%- endmacro %}

{# Indexes, built once the rows are there. #}
{% macro publish_indexes(fresh) -%}
    {%- set key = {'columns': config.get('publish_key', []), 'unique': true} -%}
    {%- for index in [key] + config.get('indexes', []) if index.columns %}
    {%- set columns = [] -%}
    {%- for column in index.columns -%} {%- do columns.append(adapter.quote(column)) -%} {%- endfor -%}
    {#- The name ends in the token of this load until publish() takes it off: two tables are there for a moment. -#}
    {%- set name = this.identifier[:38] ~ '__' ~ local_md5(tojson([index.columns, index.get('unique', false)]))[:8]
        ~ '__' ~ fresh[-8:] %}
    create {{ 'unique ' if index.get('unique') }}index {{ adapter.quote(name) }}
    on {{ publish_table(fresh) }} ({{ columns | join(', ') }});
    {%- endfor %}
{%- endmacro %}

{# Descriptions from the model's YAML, where persist_docs asks for them. #}
{% macro publish_comments(fresh) -%}
    {%- if config.persist_relation_docs() and model.description %}
    comment on table {{ publish_table(fresh) }} is {{ literal(model.description) }};
    {%- endif %}
    {%- if config.persist_column_docs() %}
    {%- for column in model.columns.values() if column.description %}
    comment on column {{ publish_table(fresh) }}.{{ adapter.quote(column.name) }} is {{ literal(column.description) }};
    {%- endfor %}
    {%- endif %}
{%- endmacro %}
