-- What stands in the way of replacing a served table: asked before a row is loaded, and again under the lock.

-- Views that read a table directly. Views of these views keep working by themselves: they know them by OID.
CREATE OR REPLACE FUNCTION marts_build.views_on(served oid)
RETURNS oid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT r.ev_class ORDER BY r.ev_class), '{}')
    FROM pg_depend d
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = served AND r.ev_class <> served
$$;

-- Everything that speaks against replacing a served table by a fresh one, each with its remedy; empty: nothing.
CREATE OR REPLACE FUNCTION marts_build.obstacles(served oid, fresh oid)
RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    -- columns that views use and that the fresh table has no longer, or with another type
    SELECT format('view %s uses column %I (%s), which %s; keep the column as it was, or drop the view and create it '
                  'again afterwards',
                  v.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                  CASE WHEN n.attname IS NULL THEN 'the new version does not have'
                       ELSE 'the new version has as ' || format_type(n.atttypid, n.atttypmod) END)
    FROM unnest(marts_build.views_on(served)) AS view_oid
    JOIN pg_class v ON v.oid = view_oid
    JOIN pg_attribute a ON a.attrelid = served AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attribute n ON n.attrelid = fresh AND n.attname = a.attname AND n.attnum > 0 AND NOT n.attisdropped
    WHERE EXISTS (
            SELECT 1 FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
            WHERE r.ev_class = v.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = served
              AND d.refobjsubid = a.attnum)
      AND (n.attname IS NULL OR (n.atttypid, n.atttypmod, n.attcollation)
                                IS DISTINCT FROM (a.atttypid, a.atttypmod, a.attcollation))
    UNION ALL
    SELECT format('index %I, which somebody added, uses column %I, which the new version does not have; drop it',
                  i.relname, a.attname)
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid AND NOT marts_build.is_ours(i.relname, (
                       SELECT relname FROM pg_class WHERE oid = served))
    JOIN pg_attribute a ON a.attrelid = served AND a.attnum > 0 AND NOT a.attisdropped
    WHERE x.indrelid = served
      AND EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.oid
                  AND d.refclassid = 'pg_class'::regclass AND d.refobjid = served AND d.refobjsubid = a.attnum)
      AND NOT EXISTS (SELECT 1 FROM pg_attribute n WHERE n.attrelid = fresh AND n.attname = a.attname
                      AND n.attnum > 0 AND NOT n.attisdropped)
    UNION ALL
    -- rights that recreating needs
    SELECT format('view %s belongs to role %I, which %I may not act as; as an administrator: %s', v.oid::regclass,
                  r.rolname, current_user,
                  CASE WHEN r.rolsuper THEN format('ALTER VIEW %s OWNER TO %I', v.oid::regclass, current_user)
                       ELSE format('GRANT %I TO %I', r.rolname, current_user) END)
    FROM pg_class v JOIN pg_roles r ON r.oid = v.relowner
    WHERE v.oid = ANY (marts_build.views_on(served)) AND NOT pg_has_role(current_user, v.relowner, 'USAGE')
    UNION ALL
    SELECT format('view %s is in schema %I, where %I may not create; as the schema''s owner: GRANT USAGE, CREATE ON '
                  'SCHEMA %I TO %I', v.oid::regclass, s.nspname, current_user, s.nspname, current_user)
    FROM pg_class v JOIN pg_namespace s ON s.oid = v.relnamespace
    WHERE v.oid = ANY (marts_build.views_on(served)) AND NOT has_schema_privilege(current_user, s.oid, 'CREATE')
    UNION ALL
    SELECT format('it belongs to role %I, which %I may not act as; as an administrator: %s', r.rolname, current_user,
                  CASE WHEN r.rolsuper THEN format('ALTER TABLE %s OWNER TO %I', served::regclass, current_user)
                       ELSE format('GRANT %I TO %I', r.rolname, current_user) END)
    FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.oid = served AND NOT pg_has_role(current_user, c.relowner, 'USAGE')
    UNION ALL
    SELECT 'it is not a plain table; drop or rename it' FROM pg_class c WHERE c.oid = served AND c.relkind <> 'r'
    UNION ALL
    SELECT format('row-level security is on, which a rebuild would lose; put it on a view of %s and disable it here',
                  served::regclass)
    FROM pg_class c WHERE c.oid = served AND (c.relrowsecurity OR c.relforcerowsecurity)
    UNION ALL
    -- all else that hangs on the table and would be lost or would stop it from being dropped
    SELECT DISTINCT format('%s depends on it and would be lost; drop it, or build it on a view of %s instead',
                           pg_describe_object(d.classid, d.objid, 0), served::regclass)
    FROM pg_depend d
    LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    LEFT JOIN pg_class k ON d.classid = 'pg_class'::regclass AND d.objid = k.oid
    LEFT JOIN pg_constraint c ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
    WHERE ((d.refclassid = 'pg_class'::regclass AND d.refobjid = served)
           OR (d.refclassid = 'pg_type'::regclass
               AND d.refobjid IN (SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = served)))
      AND NOT (d.classid = 'pg_type'::regclass AND d.objid IN (
               SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = served))
      AND NOT (k.oid IS NOT NULL AND k.relkind IN ('i', 't'))            -- indexes are copied, TOAST follows
      AND NOT (d.classid = 'pg_attrdef'::regclass)                       -- defaults: nothing inserts here
      AND NOT (c.oid IS NOT NULL AND c.conrelid = served AND c.contype = 'n')  -- NOT NULL comes with the model
      AND NOT (r.oid IS NOT NULL AND r.ev_class = ANY (marts_build.views_on(served))
               AND d.refclassid = 'pg_class'::regclass)
$$;
