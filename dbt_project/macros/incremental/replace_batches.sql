{#
  Incremental by batch: the unit of recomputation is a whole batch, chosen by what arrived (its version), never by
  business time. A model that uses the strategy `replace_batches` first calls one of the two macros below; it leaves
  the batches to replace in a temporary table, the model selects the rows of those batches, and the strategy deletes
  and inserts them in one transaction. Rows that vanished from a file vanish here, because whole batches are replaced.
#}

{% macro batches_to_replace() -%}
    {{ return(adapter.quote(this.identifier ~ '__batches_to_replace')) }}
{%- endmacro %}

{#
  Compares the batches in the accepted files with those that {{ this }} holds. Returns the keys of the files that hold a batch
  to replace; nothing else needs to be opened.
    - a batch whose files differ from those it was built from is rebuilt from the files of now;
    - a batch that none of its files holds any more goes, if one of them is still there: that file was replaced;
    - a batch whose files are gone from the drop zone stays: deleting a file by accident must not erase what was
      served. `--full-refresh` builds from what is in the lake, and drops it.
#}
{% macro find_arrived_batches(files, rules) -%}
    {%- if not execute -%} {{ return([]) }} {%- endif -%}
    {%- do run_query(_arrived_batches_sql(files, rules)) -%}
    {%- set rows = run_query(
        'select distinct file_key from (select file_key, trim(unnest(batch_ids)) as batch_id from '
        ~ files ~ ') where batch_id in (select batch_id from ' ~ batches_to_replace() ~ ') order by 1') -%}
    {{ return(rows.columns[0].values() | list) }}
{%- endmacro %}

{% macro _arrived_batches_sql(files, rules) -%}
    create or replace temporary table {{ batches_to_replace() }} as
    with now_held as (
        {{ batch_versions(files, rules) }}
    ),

    built as (
        select
            batch_id,
            any_value(_batch_version) as _batch_version,
            string_split(any_value(_source_files), chr(10)) as source_files
        from {{ this }}
        group by batch_id
    ),

    built_file as (
        select
            batch_id,
            split_part(unnest(source_files), chr(9), 1) as file_key
        from built
    )

    select now_held.batch_id
    from now_held
    left join built on built.batch_id = now_held.batch_id
    where
        built.batch_id is null
        or split_part(built._batch_version, '-', 2) <> split_part(now_held._batch_version, '-', 2)
        or not list_has_all(built.source_files, string_split(now_held._source_files, chr(10)))
    union all
    select distinct built_file.batch_id
    from built_file
    where
        built_file.batch_id not in (select now_held.batch_id from now_held)
        and built_file.file_key in (select file_key from {{ files }})
{%- endmacro %}

{#
  Compares the batch versions of an upstream model with those that {{ this }} holds, so that cost follows new data
  down the line. Batches that left the upstream leave here.
#}
{% macro find_changed_batches(upstream) -%}
    {%- if execute -%}
    {%- do run_query(
        'create or replace temporary table ' ~ batches_to_replace() ~ ' as '
        ~ 'select distinct batch_id from ('
        ~ '(select distinct batch_id, _batch_version from ' ~ upstream ~ ' except '
        ~ 'select distinct batch_id, _batch_version from ' ~ this ~ ') union all '
        ~ '(select distinct batch_id, _batch_version from ' ~ this ~ ' except '
        ~ 'select distinct batch_id, _batch_version from ' ~ upstream ~ '))') -%}
    {%- endif -%}
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
    {%- endif -%}
{%- endmacro %}
