{#
  Materialization `published`: serves a model in Postgres (schema marts) without a reader ever seeing it missing,
  partial or empty, and without losing what others hung on it.

    1. A mart that is held after a rollback is left alone.
    2. The model is computed in DuckDB, checked against its contract and its key, and fingerprinted independent of row
       order. The same content, the same definition, the same table in place: nothing is written.
    3. Else, in one Postgres transaction, the whole table is replaced (swap.sql), or what changed is written
       (upsert.sql). Any failure rolls all of it back. The Postgres side of both is in
       lakehouse/postgres/migrations/marts/sql/.

  Configuration: publish_mode (swap, the default, or upsert), publish_key (columns of a unique index; upsert needs it),
  indexes ([{columns, unique}]).
#}
{% materialization published, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set computed = adapter.quote('published__' ~ this.identifier) -%}
    {%- set mode = config.get('publish_mode', 'swap') -%}
    {%- if mode not in ['swap', 'upsert'] -%}
        {{ exceptions.raise_compiler_error('There is no publish_mode ' ~ mode ~ '; there are swap and upsert') }}
    {%- elif mode == 'upsert' and not config.get('publish_key') -%}
        {{ exceptions.raise_compiler_error('publish_mode upsert needs a publish_key: the columns that name a row') }}
    {%- endif -%}

    {{ run_hooks(pre_hooks) }}

    {%- set found = publish_state() -%}
    {%- if found and found['held'] is not none -%}
        {%- call noop_statement('main', 'HELD ' ~ found['held'], 'HELD', found['row_count'] | int) -%} {{ sql }} {%- endcall -%}
    {%- else -%}
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
        {%- do publish_check_key(computed) -%}

        {%- set columns = run_query('describe ' ~ computed) -%}
        {%- set content = run_query(fingerprint_sql(computed, columns.columns[0].values())).rows[0] -%}
        {%- set facts = {
            'publication_id': run_query('select uuid()::varchar').rows[0][0],
            'fingerprint': content[1],
            'model_checksum': local_md5(tojson([
                columns.columns[0].values() | list, columns.columns[1].values() | list, model.description,
                model.columns.values() | map(attribute='description') | list, config.get('indexes'),
                config.get('publish_key'), mode, publish_not_null()
            ])),
            'rows': content[0] | int,
            'changes': content[0] | int,
            'run_id': var('run_id', none) or invocation_id,
            'model': model.name,
            'key': config.get('publish_key', []),
            'keep': env_var('LAKEHOUSE_MARTS_KEEP_VERSIONS', '2') | int,
        } -%}

        {%- if found and found['fingerprint'] == facts.fingerprint
               and found['model_checksum'] == facts.model_checksum -%}
            {%- call noop_statement('main', 'UNCHANGED ' ~ facts.rows, 'UNCHANGED', facts.rows) -%} {{ sql }} {%- endcall -%}
        {%- else -%}
            {%- set written = publish_by_upsert(computed, found, facts) if mode == 'upsert'
                              else publish_by_swap(computed, facts) -%}
            {%- call noop_statement('main', 'PUBLISHED ' ~ facts.rows ~ written, 'PUBLISHED', facts.rows) -%} {{ sql }} {%- endcall -%}
        {%- endif -%}
        {%- call statement('forget', auto_begin=False) %} drop table if exists {{ computed }} {%- endcall -%}
    {%- endif -%}

    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# What Postgres says is published under this name: a row of marts_build.publication_of(), or nothing. #}
{% macro publish_state() -%}
    {%- set rows = run_query(
        "select publication_id::varchar as publication_id, fingerprint, model_checksum, row_count, held, untouched "
        ~ "from postgres_query(" ~ literal(this.database) ~ ", "
        ~ literal("select * from marts_build.publication_of(" ~ literal(this.identifier) ~ ")") ~ ")").rows -%}
    {{ return(rows[0] if rows | length else none) }}
{%- endmacro %}

{# Refuses, by name and with examples, keys that are not unique or empty. #}
{% macro publish_check_key(computed) -%}
    {%- set key = [] -%}
    {%- for column in config.get('publish_key', []) -%} {%- do key.append(adapter.quote(column)) -%} {%- endfor -%}
    {%- if not key -%} {{ return('') }} {%- endif -%}
    {%- set keys = key | join(', ') -%}
    {%- set bad = run_query(
        "select concat_ws(', ', " ~ ("coalesce(" ~ key | join("::varchar, 'NULL'), coalesce(") ~ "::varchar, 'NULL')")
        ~ ") || ' (' || count(*) || ' rows)' from " ~ computed ~ " group by " ~ keys
        ~ " having count(*) > 1 or " ~ key | join(' is null or ') ~ " is null order by all limit 5") -%}
    {%- if bad | length -%}
        {{ exceptions.raise_compiler_error(
            'The publish_key (' ~ keys ~ ') does not name one row each, nothing was touched: '
            ~ bad.columns[0].values() | join('; ') ~ '. Mend the model, or widen its publish_key.') }}
    {%- endif -%}
{%- endmacro %}

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

{# Runs one statement in Postgres, inside dbt's transaction. One call each: an error comes with the text of the call. #}
{% macro publish_execute(script) -%}
    {%- call statement('publish') %}
        call postgres_execute({{ literal(this.database) }}, {{ literal(script) }})
    {%- endcall -%}
{%- endmacro %}

{# Ends the transaction. DuckDB remembers the attached catalog: forget the tables that are no longer there. #}
{% macro publish_commit() -%}
    {%- do adapter.commit() -%}
    {%- call statement('clear', auto_begin=False) %} call pg_clear_cache() {%- endcall -%}
{%- endmacro %}
