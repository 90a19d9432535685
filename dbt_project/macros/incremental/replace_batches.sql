{#
  Incremental by batch: the unit of recomputation is a whole batch, chosen by what arrived (its version), never by
  business time. A model of the strategy `replace_batches` first calls one of the two macros below; it leaves the batches
  to replace in a temporary table, the model selects the rows of those batches, and the strategy deletes and inserts
  them in one transaction. Rows that vanished from a file vanish here, because whole batches are replaced.

  The model that reads the files keeps a register beside its rows (<model>__batches: batch_id, _batch_version,
  _source_files), written in the same transaction, so that finding out what is new never scans history.
#}

{% macro batches_to_replace() -%}
    {{ return(adapter.quote(this.identifier ~ '__batches_to_replace')) }}
{%- endmacro %}

{% macro batch_register(relation) -%}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__batches'})) }}
{%- endmacro %}

{#
  Compares the batches in the accepted files with those that {{ this }} holds. Returns the keys of the files that hold a
  batch to replace, nothing else needs to be opened; none when everything is to be built.
    - a batch whose files differ from those it was built from is rebuilt from the files of now;
    - so is one that was built from a former version of a file, also where the present version holds it no more;
    - a batch that none of its files holds any more goes, if one of them is still there: that file was replaced;
    - a batch whose files are gone from the drop zone stays: deleting a file by accident must not erase what was
      served. `--full-refresh` builds from what is in the lake, and drops it.
#}
{% macro find_arrived_batches(files, rules) -%}
    {%- if not execute -%} {{ return(none) }} {%- endif -%}
    {%- if not is_incremental() -%}
        {%- do run_query('drop table if exists temp.' ~ batches_to_replace()) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- if not table_exists(batch_register(this)) -%} {%- do run_query(register_sql(this)) -%} {%- endif -%}
    {%- do run_query(arrived_batches_sql(files, rules)) -%}
    {%- set rows = run_query(
        'select distinct file_key from (select file_key, trim(unnest(batch_ids)) as batch_id from '
        ~ files ~ ') where batch_id in (select batch_id from ' ~ batches_to_replace() ~ ') order by 1') -%}
    {{ return(rows.columns[0].values() | list) }}
{%- endmacro %}

{% macro arrived_batches_sql(files, rules) -%}
    create or replace temporary table {{ batches_to_replace() }} as
    with now_held as (
        {{ batch_versions(files, rules) }}
    ),

    built as (
        select
            batch_id,
            _batch_version,
            string_split(_source_files, chr(10)) as source_files
        from {{ batch_register(this) }}
    ),

    built_file as (
        select
            batch_id,
            source_file,
            split_part(source_file, chr(9), 1) as file_key
        from (select batch_id, unnest(source_files) as source_file from built)
    )

    select now_held.batch_id
    from now_held
    left join built on built.batch_id = now_held.batch_id
    where
        built.batch_id is null
        or split_part(built._batch_version, '-', 2) <> split_part(now_held._batch_version, '-', 2)
        or not list_has_all(built.source_files, string_split(now_held._source_files, chr(10)))
    union
    select built_file.batch_id
    from built_file
    where
        built_file.batch_id not in (select now_held.batch_id from now_held)
        and built_file.file_key in (select file_key from {{ files }})
    union
    select built_file.batch_id
    from built_file
    inner join {{ files }} as present on present.file_key = built_file.file_key
    where present.file_key || chr(9) || present.fingerprint <> built_file.source_file
{%- endmacro %}

{% macro register_sql(rows) -%}
    create or replace table {{ batch_register(this) }} as
    select distinct batch_id, _batch_version, _source_files from {{ rows }}
{%- endmacro %}

{# Post-hook of the model that keeps the register: writes it anew when the model was built anew. #}
{% macro register_batches() -%}
    {%- if execute and not table_exists(batches_to_replace(), temporary=true) -%} {{ register_sql(this) }} {%- endif -%}
{%- endmacro %}

{# Asked of DuckDB itself: dbt's cache does not know tables that are not models. #}
{% macro table_exists(relation, temporary=false) -%}
    {%- set query -%}
    select count(*)
    from duckdb_tables()
    where
        {% if temporary -%}
        temporary and table_name = {{ literal(relation | replace('"', '')) }}
        {%- else -%}
        database_name = {{ literal(relation.database) }}
        and schema_name = {{ literal(relation.schema) }}
        and table_name = {{ literal(relation.identifier) }}
        {%- endif %}
    {%- endset -%}
    {{ return(run_query(query).columns[0].values()[0] > 0) }}
{%- endmacro %}

{#
  Compares the batch versions in the register of an upstream model with those that {{ this }} holds, so that cost follows
  new data down the line. Batches that left the upstream leave here.
#}
{% macro find_changed_batches(upstream) -%}
    {%- if execute -%}
    {%- set query -%}
    create or replace temporary table {{ batches_to_replace() }} as
    select coalesce(upstream.batch_id, built.batch_id) as batch_id
    from {{ batch_register(upstream) }} as upstream
    full join (select distinct batch_id, _batch_version from {{ this }}) as built on upstream.batch_id = built.batch_id
    where upstream._batch_version is distinct from built._batch_version
    {%- endset -%}
    {%- do run_query(query) -%}
    {%- endif -%}
{%- endmacro %}

{#
  Rows of an upstream model to build from: all of them, or in an incremental run those of the batches that changed.
  Tables built from them have no index: DuckDB checks a unique one against rows deleted in the same transaction, so
  replacing a batch fails on it; with any, two models cannot be refreshed side by side; and on tables this small it gains
  nothing. Rows lie ordered by the key, which lets DuckDB skip blocks; the test unique_combination guards the key. The
  mart has indexes.
#}
{% macro rows_to_build(upstream) -%}
    {%- if is_incremental() -%} {%- do find_changed_batches(upstream) -%} {%- endif -%}
    select *
    from {{ upstream }}
    {%- if is_incremental() %}
    where batch_id in (select batch_id from {{ batches_to_replace() }})
    {%- endif %}
{%- endmacro %}

{# The strategy itself; dbt calls it. Nothing to replace: nothing is written. #}
{% macro get_incremental_replace_batches_sql(arg_dict) -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- if run_query('select count(*) from ' ~ batches_to_replace()).columns[0].values()[0] == 0 -%}
    select 'no batch arrived' as nothing_to_do
    {%- else -%}
    delete from {{ arg_dict['target_relation'] }}
    where batch_id in (select batch_id from {{ batches_to_replace() }});

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }};

    {% if config.get('keeps_batch_register') -%}
    delete from {{ batch_register(this) }}
    where batch_id in (select batch_id from {{ batches_to_replace() }});

    insert into {{ batch_register(this) }}
    select distinct batch_id, _batch_version, _source_files from {{ arg_dict['temp_relation'] }};
    {%- endif %}
    {%- endif -%}
{%- endmacro %}
