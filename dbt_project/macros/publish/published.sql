{#
  Materialization `published`: serves a model in Postgres (schema marts) without a reader ever seeing it missing,
  partial or empty, and without losing what others hung on it.

    1. The model is computed in DuckDB, checked against its contract, and fingerprinted independent of row order.
    2. The same content, the same definition, the same table in place: nothing is written.
    3. Else, in one Postgres transaction: load a fresh table (binary COPY), index and comment it, then
       marts_build.publish() puts it in place (lakehouse/postgres/migrations/marts/sql/publish.sql). Any failure rolls
       all of it back.

  Configuration: publish_key (columns of a unique index), indexes ([{columns, unique}]), publish_mode (how step 3
  writes: a macro publish_by_<mode>; `swap` replaces the whole table).
#}
{% materialization published, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set computed = adapter.quote('published__' ~ this.identifier) -%}
    {%- set publisher = context.get('publish_by_' ~ config.get('publish_mode', 'swap')) -%}
    {%- if not publisher -%}
        {{ exceptions.raise_compiler_error('There is no publish_mode ' ~ config.get('publish_mode')) }}
    {%- endif -%}

    {{ run_hooks(pre_hooks) }}

    {%- set select_sql = sql -%}
    {%- if config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
        {%- set select_sql = get_select_subquery(sql) -%}
    {%- endif -%}
    {%- call statement('compute', auto_begin=False) %}
        create or replace temporary table {{ computed }} as (
            {{ select_sql }}
        )
    {%- endcall -%}

    {%- set columns = run_query('describe ' ~ computed) -%}
    {%- set content = run_query(fingerprint_sql(computed, columns.columns[0].values())).rows[0] -%}
    {%- set checksum = local_md5(tojson([
        columns.columns[0].values() | list, columns.columns[1].values() | list, model.description,
        model.columns.values() | map(attribute='description') | list, config.get('indexes'),
        config.get('publish_key'), config.get('publish_mode'), publish_not_null()
    ])) -%}
    {%- set published = run_query(
        "select fingerprint, model_checksum from postgres_query(" ~ literal(this.database) ~ ", "
        ~ literal("select * from marts_build.publication_of(" ~ literal(this.identifier) ~ ")") ~ ")") -%}

    {%- if published | length == 1 and published.rows[0][0] == content[1] and published.rows[0][1] == checksum -%}
        {%- call noop_statement('main', 'UNCHANGED ' ~ content[0], 'UNCHANGED', content[0] | int) -%} {{ sql }} {%- endcall -%}
    {%- else -%}
        {%- do publisher(computed, content[1], checksum, content[0] | int) -%}
        {%- call noop_statement('main', 'PUBLISHED ' ~ content[0], 'PUBLISHED', content[0] | int) -%} {{ sql }} {%- endcall -%}
    {%- endif -%}
    {%- call statement('forget', auto_begin=False) %} drop table if exists {{ computed }} {%- endcall -%}

    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# Number of rows, and a fingerprint of the content that does not depend on their order. #}
{% macro fingerprint_sql(relation, columns) -%}
    {%- set quoted = [] -%}
    {%- for column in columns -%} {%- do quoted.append(adapter.quote(column)) -%} {%- endfor -%}
    with hashed as (select hash({{ quoted | join(', ') }}) as row_hash from {{ relation }})
    select
        count(*) as row_count,
        count(*) || ':' || coalesce(sum(row_hash::hugeint), 0) || ':' || coalesce(bit_xor(row_hash), 0) as fingerprint
    from hashed
{%- endmacro %}

{# Columns that the model's YAML declares not_null. #}
{% macro publish_not_null() -%}
    {%- set names = [] -%}
    {%- for column in model.columns.values() if 'not_null' in (column.constraints | map(attribute='type') | list) -%}
        {%- do names.append(column.name) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{# Replaces the whole table. #}
{% macro publish_by_swap(computed, fingerprint, checksum, row_count) -%}
    {%- set fresh = this.identifier[:50] ~ '__' ~ invocation_id[:8] -%}
    {%- call statement('load') %}
        create table {{ adapter.quote(this.database) }}.marts_build.{{ adapter.quote(fresh) }} as
        select * from {{ computed }}
    {%- endcall -%}
    {#- One call each, because Postgres' message comes with the text of the call. -#}
    {%- for script in [
        publish_shape(fresh),
        publish_comments(fresh),
        'analyze ' ~ publish_table(fresh),
        'select marts_build.publish(' ~ [
            literal(this.identifier), literal(fresh), literal(fingerprint), literal(checksum), row_count,
            literal(invocation_id)
        ] | join(', ') ~ ')',
    ] if script | trim %}
    {%- call statement('publish') %}
        call postgres_execute({{ literal(this.database) }}, {{ literal(script) }})
    {%- endcall -%}
    {%- endfor -%}
    {%- do adapter.commit() -%}
    {#- DuckDB remembers the attached catalog: forget the table that is no longer there. -#}
    {%- call statement('clear', auto_begin=False) %} call pg_clear_cache() {%- endcall -%}
{%- endmacro %}

{% macro publish_table(fresh) -%}
    {{ return('marts_build.' ~ adapter.quote(fresh)) }}
{%- endmacro %}

{# Indexes and NOT NULL of the fresh table. #}
{% macro publish_shape(fresh) -%}
    {%- for column in publish_not_null() %}
    {{ 'alter table ' ~ publish_table(fresh) if loop.first }} alter {{ adapter.quote(column) }} set not null
    {{- ';' if loop.last else ',' }}
    {%- endfor %}
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
