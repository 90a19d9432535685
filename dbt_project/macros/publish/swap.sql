{#
  Replaces the whole table: an empty one first, so that everything that can be refused is refused before a row is
  loaded; then binary COPY, indexes, statistics, and marts_build.publish() puts it in place.
#}
{% macro publish_by_swap(computed, facts) -%}
    {%- set fresh = this.identifier[:50] ~ '__' ~ facts.publication_id[:8] -%}
    {%- set relation = adapter.quote(this.database) ~ '.marts_build.' ~ adapter.quote(fresh) -%}
    {%- call statement('load') %} create table {{ relation }} as select * from {{ computed }} limit 0 {%- endcall -%}
    {%- do publish_execute('select marts_build.prepare(' ~ literal(this.identifier) ~ ', ' ~ literal(fresh) ~ ')') -%}
    {%- for script in [publish_shape(fresh), publish_comments(fresh)] if script | trim -%}
        {%- do publish_execute(script) -%}
    {%- endfor -%}
    {%- call statement('load') %} insert into {{ relation }} select * from {{ computed }} {%- endcall -%}
    {%- for script in [
        publish_indexes(fresh),
        'analyze ' ~ publish_table(fresh),
        'select marts_build.publish(' ~ [literal(this.identifier), literal(fresh), literal(tojson(facts))] | join(', ')
        ~ ')',
    ] if script | trim -%}
        {%- do publish_execute(script) -%}
    {%- endfor -%}
    {%- do publish_commit() -%}
    {{ return('') }}
{%- endmacro %}
