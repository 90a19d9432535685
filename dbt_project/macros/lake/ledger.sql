{#
  What dbt knows about the files of the lake: the ledger's copy that ingestion writes after every run, one row per
  accepted file (file_key, batch_key, fingerprint, arrival_seq, ingested_at, row_count, batch_ids).
  Files are never found by a pattern: what is not in the ledger was not accepted.
#}

{% macro lake_root() -%}
    {{ return(env_var('LAKEHOUSE_LAKE_ROOT', env_var('PWD', '.') ~ '/../data/lake')) }}
{%- endmacro %}

{# A text as an SQL literal. #}
{% macro literal(text) -%}
    {{ return("'" ~ (text | string | replace("'", "''")) ~ "'") }}
{%- endmacro %}

{# Texts as SQL literals for `in (…)`; none of them: a null, which nothing equals. #}
{% macro literals(texts) -%}
    {%- set written = [] -%}
    {%- for text in texts -%} {%- do written.append(literal(text)) -%} {%- endfor -%}
    {{ return(written | join(', ') or 'null') }}
{%- endmacro %}

{#
  A file's full name as DuckDB takes it literally. Names may hold * ? and [, which DuckDB reads as a pattern; each is
  literal inside brackets. DuckDB knows no way to write a backslash in a pattern, so the two together are refused.
#}
{% macro lake_uri(file_key) -%}
    {%- set uri = lake_root() ~ '/' ~ file_key -%}
    {%- if '*' in uri or '?' in uri or '[' in uri -%}
        {%- if '\\' in uri -%}
            {%- do lake_uri_refused(uri) -%}
        {%- endif -%}
        {%- set parts = [] -%}
        {%- for sign in uri -%}
            {%- do parts.append('[' ~ sign ~ ']' if sign in '*?[' else sign) -%}
        {%- endfor -%}
        {%- set uri = parts | join -%}
    {%- endif -%}
    {{ return(uri) }}
{%- endmacro %}

{% macro lake_uri_refused(uri) -%}
    {{ exceptions.raise_compiler_error(
        'DuckDB cannot open ' ~ uri ~ ': its name holds a backslash and one of * ? [. Rename the file.') }}
{%- endmacro %}

{# The ledger of a source as a relation; an empty one of the same shape where nothing was ingested yet. #}
{% macro ledger(source_name) -%}
    {%- set uri = literal(lake_uri('raw/_ledger/' ~ source_name ~ '.parquet')) -%}
    {%- if execute and run_query('select count(*) from glob(' ~ uri ~ ')').columns[0].values()[0] > 0 -%}
        {{ return('read_parquet(' ~ uri ~ ')') }}
    {%- endif -%}
    {{ return("(select null::varchar as file_key, null::varchar as batch_key, null::varchar as fingerprint, "
        ~ "null::bigint as arrival_seq, null::timestamp as ingested_at, null::bigint as row_count, "
        ~ "null::varchar[] as batch_ids where false)") }}
{%- endmacro %}

{#
  Accepted files whose content is not where their key says: they left the drop zone before they were built, and their
  kept copy is read. Rows of file_key, read_key; none for a ledger that was written before there was such a thing.
#}
{% macro moved_files(source_name) -%}
    {%- if not execute -%} {{ return([]) }} {%- endif -%}
    {%- set relation = ledger(source_name) -%}
    {%- if 'read_key' not in run_query('describe select * from ' ~ relation).columns[0].values() -%}
        {{ return([]) }}
    {%- endif -%}
    {{ return(run_query(
        'select file_key, read_key from ' ~ relation ~ ' where read_key <> file_key order by file_key').rows) }}
{%- endmacro %}

{# A key as SQL, exchanged for the right one of a pair where it is the left one. #}
{% macro exchanged(key, pairs) -%}
    {%- if not pairs -%} {{ return(key) }} {%- endif -%}
    {%- set cases = [] -%}
    {%- for pair in pairs -%}
        {%- do cases.append('when ' ~ literal(pair[0]) ~ ' then ' ~ literal(pair[1])) -%}
    {%- endfor -%}
    {{ return('case ' ~ key ~ ' ' ~ cases | join(' ') ~ ' else ' ~ key ~ ' end') }}
{%- endmacro %}

{# Keys of the files in a `…__files` relation, in order of arrival; only those that arrived after a number, if given. #}
{% macro file_keys(files, after=0) -%}
    {%- if not execute or not load_relation(files) -%} {{ return([]) }} {%- endif -%}
    {%- set rows = run_query(
        'select file_key from ' ~ files ~ ' where arrival_seq > ' ~ (after | int) ~ ' order by arrival_seq') -%}
    {{ return(rows.columns[0].values() | list) }}
{%- endmacro %}

{#
  The files of a `…__files` relation as DuckDB takes them literally: SQL literals, one per line, in order of arrival;
  none where there is no file. Written by DuckDB, because a thousand names take Jinja a quarter of a second.
  The rules are those of lake_uri(). `moved`: see moved_files().
#}
{% macro lake_uris(files, moved=[]) -%}
    {%- if not execute or not load_relation(files) -%} {{ return(none) }} {%- endif -%}
    {%- set query -%}
    select
        string_agg(
            '''' || replace(regexp_replace(uri, '([*?\[])', '[\1]', 'g'), '''', '''''') || '''',
            ',' || chr(10)
            order by arrival_seq
        ),
        min(uri) filter (where contains(uri, chr(92)) and regexp_matches(uri, '[*?\[]'))
    from (
        select
            arrival_seq,
            {{ literal(lake_root() ~ '/') }} || {{ exchanged('file_key', moved) }} as uri
        from {{ files }}
    )
    {%- endset -%}
    {%- set found = run_query(query).rows[0] -%}
    {%- if found[1] -%} {%- do lake_uri_refused(found[1]) -%} {%- endif -%}
    {{ return(found[0]) }}
{%- endmacro %}

{#
  Which version of each batch a `…__files` relation holds, as SQL:
    batch_id, _batch_version, _source_files ("file<tab>fingerprint" lines, by name), _ingested_at.
  The version is made of the files that hold the batch and their fingerprints, so it changes exactly when a file with
  this batch arrives, is replaced or goes; and of `rules`, for what else the result depends on.
#}
{% macro batch_versions(files, rules='') -%}
    select
        batch_id,
        md5(string_agg(file_key || chr(9) || fingerprint, chr(10) order by file_key))
        || '-' || {{ literal(local_md5(rules)[:8]) }} as _batch_version,
        string_agg(file_key || chr(9) || fingerprint, chr(10) order by file_key) as _source_files,
        max(ingested_at) as _ingested_at
    from (
        select distinct
            file_key,
            fingerprint,
            ingested_at,
            trim(unnest(batch_ids)) as batch_id
        from {{ files }}
    )
    group by batch_id
{%- endmacro %}
