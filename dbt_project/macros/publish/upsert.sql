{#
  Writes only what changed, deletes included. The warehouse keeps a register: the key and a hash of each row as
  published, under the id of that publication (the comment on the table published.<mart>). Where id and definition agree
  with Postgres and nobody else wrote to the mart, the difference to the register is the difference to the mart. In
  all other cases (first time, other columns or indexes, a crash between the two commits, a backup that was restored, a
  rollback, foreign hands), and where so much changed that it is cheaper, the whole table is replaced and the register
  written anew. So does `--full-refresh`.
#}
{% macro publish_by_upsert(computed, found, facts) -%}
    {%- set register = adapter.quote(target.database) ~ '.published.' ~ adapter.quote(this.identifier) -%}
    {%- set delta = adapter.quote('delta__' ~ this.identifier) -%}
    {%- set written = [] -%}
    {%- if found and found['untouched'] and found['model_checksum'] == facts.model_checksum
           and publish_registered() == found['publication_id'] and not should_full_refresh() -%}
        {%- call statement('delta', auto_begin=False) %}
            create or replace temporary table {{ delta }} as {{ publish_delta_sql(computed, register) }}
        {%- endcall -%}
        {%- set counts = run_query('select count(*) filter (not "is gone"), count(*) filter ("is gone") from ' ~ delta).rows[0] -%}
        {%- if counts[0] + counts[1] <= publish_swap_above() * facts.rows -%}
            {%- do publish_apply(delta, found, facts) -%}
            {%- do written.append(' (' ~ counts[0] ~ ' written, ' ~ counts[1] ~ ' deleted)') -%}
        {%- endif -%}
        {%- call statement('forget', auto_begin=False) %} drop table if exists {{ delta }} {%- endcall -%}
    {%- endif -%}
    {%- if not written -%} {%- do publish_by_swap(computed, facts) -%} {%- endif -%}
    {%- do publish_register(computed, register, facts) -%}
    {{ return(written | join) }}
{%- endmacro %}

{# Share of the rows above which replacing the table is cheaper than changing it in place. #}
{% macro publish_swap_above() -%} {{ return(0.2) }} {%- endmacro %}

{# Id of the publication that the register is about; none where there is no register. #}
{% macro publish_registered() -%}
    {%- set rows = run_query(
        "select comment from duckdb_tables() where database_name = " ~ literal(target.database)
        ~ " and schema_name = 'published' and table_name = " ~ literal(this.identifier)).rows -%}
    {{ return(rows[0][0] if rows | length else none) }}
{%- endmacro %}

{# Rows that are new or differ, and the keys of those that vanished ("is gone"; their other columns are empty). #}
{% macro publish_delta_sql(computed, register) -%}
    {%- set same = [] -%}
    {%- for column in config.get('publish_key') -%}
        {%- set name = adapter.quote(column) -%}
        {%- do same.append('now.' ~ name ~ ' = before.' ~ name) -%}
    {%- endfor -%}
    select now.*, false as "is gone"
    from {{ computed }} as now
    left join {{ register }} as before on {{ same | join(' and ') }}
    where before._row_hash is null or before._row_hash <> {{ publish_row_hash('now', computed) }}
    union all by name
    select before.* exclude (_row_hash), true as "is gone"
    from {{ register }} as before
    anti join {{ computed }} as now on {{ same | join(' and ') }}
{%- endmacro %}

{# Hash over all columns of a row. #}
{% macro publish_row_hash(alias, computed) -%}
    {%- set names = [] -%}
    {%- for name in run_query('describe ' ~ computed).columns[0].values() -%}
        {%- do names.append(alias ~ '.' ~ adapter.quote(name)) -%}
    {%- endfor -%}
    hash({{ names | join(', ') }})
{%- endmacro %}

{# Loads the delta beside the mart and has it applied, in one transaction. #}
{% macro publish_apply(delta, found, facts) -%}
    {%- set fresh = this.identifier[:50] ~ '__' ~ facts.publication_id[:8] -%}
    {%- call statement('load') %}
        create table {{ adapter.quote(this.database) }}.marts_build.{{ adapter.quote(fresh) }} as
        select * from {{ delta }}
    {%- endcall -%}
    {%- do facts.update({'base': found['publication_id']}) -%}
    {%- do publish_execute(
        'select marts_build.upsert(' ~ [literal(this.identifier), literal(fresh), literal(tojson(facts))] | join(', ')
        ~ ')') -%}
    {%- do publish_commit() -%}
{%- endmacro %}

{# Writes the register, after Postgres has committed: a crash in between leaves two different ids. #}
{% macro publish_register(computed, register, facts) -%}
    {%- set key = [] -%}
    {%- for column in config.get('publish_key') -%} {%- do key.append('now.' ~ adapter.quote(column)) -%} {%- endfor -%}
    {%- for sql in [
        'create schema if not exists ' ~ adapter.quote(target.database) ~ '.published',
        'create or replace table ' ~ register ~ ' as select ' ~ key | join(', ') ~ ', '
        ~ publish_row_hash('now', computed) ~ ' as _row_hash from ' ~ computed ~ ' as now',
        'comment on table ' ~ register ~ ' is ' ~ literal(facts.publication_id),
    ] -%}
        {%- call statement('register') %} {{ sql }} {%- endcall -%}
    {%- endfor -%}
    {%- do adapter.commit() -%}
{%- endmacro %}
