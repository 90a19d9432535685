-- What a fresh table takes over from the served one that it replaces: comments, options, indexes of others, grants.

-- Whether an index comes from the model: those are called <mart>__….
CREATE OR REPLACE FUNCTION marts_build.is_ours(index_name text, mart text)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT index_name LIKE replace(left(mart, 38), '_', '\_') || '\_\_%' $$;

-- Before the swap, while readers read on: comments the model does not give, storage options, and indexes that others
-- added (ours are called <mart>__…, come with the fresh table, and go when the model drops them).
CREATE OR REPLACE FUNCTION marts_build.dress(served oid, fresh oid, mart text, suffix text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    IF obj_description(fresh, 'pg_class') IS NULL AND obj_description(served, 'pg_class') IS NOT NULL THEN
        EXECUTE format('COMMENT ON TABLE %s IS %L', fresh::regclass, obj_description(served, 'pg_class'));
    END IF;
    FOR one IN
        SELECT n.attname, col_description(served, a.attnum) AS comment
        FROM pg_attribute a JOIN pg_attribute n ON n.attrelid = fresh AND n.attname = a.attname AND n.attnum > 0
        WHERE a.attrelid = served AND a.attnum > 0 AND NOT a.attisdropped
          AND col_description(served, a.attnum) IS NOT NULL AND col_description(fresh, n.attnum) IS NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', fresh::regclass, one.attname, one.comment);
    END LOOP;
    FOR one IN SELECT array_to_string(reloptions, ', ') AS options FROM pg_class
               WHERE oid = served AND reloptions IS NOT NULL LOOP
        EXECUTE format('ALTER TABLE %s SET (%s)', fresh::regclass, one.options);
    END LOOP;
    FOR one IN
        SELECT i.relname, x.indisunique, pg_get_indexdef(i.oid) AS definition
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = served AND NOT marts_build.is_ours(i.relname, mart)
    LOOP
        BEGIN
            EXECUTE format('CREATE %sINDEX %I ON %s%s', CASE WHEN one.indisunique THEN 'UNIQUE ' END,
                           left(one.relname, 53) || suffix, fresh::regclass,
                           substr(one.definition, strpos(one.definition, ' USING ')));
        EXCEPTION WHEN undefined_column OR undefined_function OR datatype_mismatch OR unique_violation THEN
            RAISE EXCEPTION 'marts.% cannot be replaced, nothing was touched: index %, which somebody added, does not '
                'fit the new version (%); drop it', quote_ident(mart), quote_ident(one.relname), SQLERRM
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END;
    END LOOP;
END
$$;

-- Exactly the grants the replaced table had, on the table and on columns that still exist; default privileges of the
-- schema count for a new mart only, because what an administrator took away must stay away.
CREATE OR REPLACE FUNCTION marts_build.copy_grants(old pg_class, fresh oid, mart text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT DISTINCT g.grantee FROM pg_class c, aclexplode(c.relacl) g
        WHERE c.oid = fresh AND g.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON marts.%I FROM %s', mart, marts_build.role_text(one.grantee));
    END LOOP;
    FOR one IN
        SELECT g.grantee, g.privilege_type, g.is_grantable, '' AS columns FROM aclexplode(old.relacl) g
        WHERE g.grantee <> old.relowner
        UNION ALL
        SELECT g.grantee, g.privilege_type, g.is_grantable, format(' (%I)', a.attname)
        FROM pg_attribute a JOIN pg_attribute n ON n.attrelid = fresh AND n.attname = a.attname AND n.attnum > 0,
             aclexplode(a.attacl) g
        WHERE a.attrelid = old.oid AND a.attnum > 0 AND NOT a.attisdropped AND g.grantee <> old.relowner
    LOOP
        EXECUTE format('GRANT %s%s ON marts.%I TO %s%s', one.privilege_type, one.columns, mart,
                       marts_build.role_text(one.grantee), CASE WHEN one.is_grantable THEN ' WITH GRANT OPTION' END);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION marts_build.role_text(role oid)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN role = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END $$;
