-- How a freshly loaded table takes the place of a served mart without a reader ever noticing.
--
-- What belongs here: the swap and everything that must survive it. What does not: loading, indexing and naming the
-- fresh table; the dbt materialization `published` does that in the same transaction, so a crash leaves nothing.
-- The functions run as the owner of the marts (SECURITY DEFINER) and are called by the writer.

ALTER TABLE marts_build.publications ADD COLUMN IF NOT EXISTS relation oid;
COMMENT ON COLUMN marts_build.publications.relation IS 'OID of the table that was published; another one is not ours';

-- What is published under a name, if the table that was published is still the one being served.
CREATE OR REPLACE FUNCTION marts_build.publication_of(mart text)
RETURNS TABLE (fingerprint text, model_checksum text, row_count bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.fingerprint, p.model_checksum, p.rows
    FROM marts_build.publications p
    JOIN pg_class c ON c.oid = p.relation AND c.relname = p.mart AND c.relnamespace = 'marts'::regnamespace
    WHERE p.mart = publication_of.mart
$$;

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

-- Puts marts_build.<fresh> in the place of marts.<mart>: views, grants, comments, owner, storage options and indexes
-- that others added stay. Readers at READ COMMITTED see the old table or the new one, whole.
--
-- A reader may hold the table for as long as its query runs, and whoever waits for it makes later readers wait too. So
-- the locks are asked for in short tries (50 ms), given back in between, for up to lock_seconds.
CREATE OR REPLACE FUNCTION marts_build.publish(
    mart text, fresh text, fingerprint text, model_checksum text, row_count bigint, run_id text,
    lock_seconds double precision DEFAULT 60
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_table oid := to_regclass(format('marts_build.%I', fresh));
    served oid := to_regclass(format('marts.%I', mart));
    old pg_class%ROWTYPE;
    found text[];
    views oid[];
    definitions text[];
    one record;
    view_oid oid;
    deadline timestamptz := clock_timestamp() + make_interval(secs => lock_seconds);
    waited_for text;
    lock_timeout_before text := current_setting('lock_timeout');
    lends_create boolean := false;
    target_owner name := current_user;
    suffix text := '__' || right(fresh, 8);
BEGIN
    IF new_table IS NULL OR NOT (SELECT relkind = 'r' AND pg_has_role(session_user, relowner, 'USAGE')
                                 FROM pg_class WHERE oid = new_table) THEN
        RAISE EXCEPTION 'There is no table marts_build.% of role % to publish', quote_ident(fresh), session_user;
    END IF;
    IF served IS NOT NULL THEN
        SELECT array_agg(obstacle) INTO found FROM marts_build.obstacles(served, new_table) AS obstacle;
        IF found IS NOT NULL THEN
            RAISE EXCEPTION 'marts.% cannot be replaced, nothing was touched: %', quote_ident(mart),
                array_to_string(found, '; ') USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        SELECT * INTO old FROM pg_class WHERE oid = served;
        target_owner := pg_get_userbyid(old.relowner);
        PERFORM marts_build.dress(served, new_table, mart, suffix);

        <<locking>>
        LOOP
            views := marts_build.views_on(served);
            BEGIN
                PERFORM set_config('lock_timeout', '50ms', true);
                -- Views first: their readers lock them first, and the other order deadlocks. A change to the same owner
                -- changes nothing but takes the exclusive lock on the view alone; LOCK TABLE on a view would go on to
                -- every table it reads.
                FOREACH view_oid IN ARRAY views LOOP
                    EXECUTE format('ALTER VIEW %s OWNER TO %I', view_oid::regclass,
                                   (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = view_oid));
                END LOOP;
                EXECUTE format('LOCK TABLE marts.%I IN ACCESS EXCLUSIVE MODE', mart);
                PERFORM set_config('lock_timeout', lock_timeout_before, true);
                EXIT locking WHEN views = marts_build.views_on(served)
                    AND NOT EXISTS (SELECT 1 FROM marts_build.obstacles(served, new_table));
                RAISE EXCEPTION 'What depends on marts.% changed while it was being published; publish again',
                    quote_ident(mart);
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                IF clock_timestamp() > deadline THEN
                    SELECT string_agg(DISTINCT format('process %s of %s', l.pid, a.usename), ', ') INTO waited_for
                    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                    WHERE l.relation = ANY (views || served) AND l.granted AND l.pid <> pg_backend_pid();
                    RAISE EXCEPTION 'marts.% was in use for % seconds without a gap of 50 ms, and stays as it was; '
                        'held by: %', quote_ident(mart), lock_seconds, coalesce(waited_for, 'nobody any more')
                        USING ERRCODE = 'lock_not_available', HINT = 'Let the long query end and publish again.';
                END IF;
            END;
            PERFORM pg_sleep(0.02 + random() * 0.2);
        END LOOP;

        -- Texts with every name qualified (search_path is pg_catalog), taken before the name changes hands.
        SELECT array_agg(format('CREATE OR REPLACE VIEW %s %s AS %s', v.oid::regclass,
                                coalesce('WITH (' || array_to_string(v.reloptions, ', ') || ')', ''),
                                pg_get_viewdef(v.oid)) ORDER BY v.oid)
        INTO definitions FROM pg_class v WHERE v.oid = ANY (views);
        EXECUTE format('ALTER TABLE marts.%I RENAME TO %I', mart, 'replaced_' || served);
    END IF;

    EXECUTE format('ALTER TABLE marts_build.%I SET SCHEMA marts', fresh);
    EXECUTE format('ALTER TABLE marts.%I RENAME TO %I', fresh, mart);
    lends_create := NOT has_schema_privilege(target_owner, 'marts', 'CREATE');
    IF lends_create THEN
        EXECUTE format('GRANT CREATE ON SCHEMA marts TO %I', target_owner);
    END IF;
    EXECUTE format('ALTER TABLE marts.%I OWNER TO %I', mart, target_owner);
    IF lends_create THEN
        EXECUTE format('REVOKE CREATE ON SCHEMA marts FROM %I', target_owner);
    END IF;

    IF served IS NULL THEN
        EXECUTE format('GRANT SELECT ON marts.%I TO %I', mart, session_user);
    ELSE
        PERFORM marts_build.copy_grants(old, new_table, mart);
        IF definitions IS NOT NULL THEN
            FOR one IN SELECT text FROM unnest(definitions) AS text LOOP
                EXECUTE one.text;
            END LOOP;
        END IF;
        EXECUTE format('DROP TABLE marts.%I', 'replaced_' || served);
    END IF;
    -- The names that indexes had while two tables were there.
    FOR one IN SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = new_table
               AND i.relname LIKE '%' || replace(suffix, '_', '\_') LOOP
        EXECUTE format('ALTER INDEX marts.%I RENAME TO %I', one.relname, left(one.relname, -length(suffix)));
    END LOOP;

    INSERT INTO marts_build.publications AS p
        (mart, fingerprint, model_checksum, rows, published_at, run_id, columns, relation)
    SELECT publish.mart, publish.fingerprint, publish.model_checksum, publish.row_count, now(), publish.run_id,
           jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod))
                     ORDER BY a.attnum),
           new_table
    FROM pg_attribute a WHERE a.attrelid = new_table AND a.attnum > 0 AND NOT a.attisdropped
    ON CONFLICT ON CONSTRAINT publications_pkey DO UPDATE SET
        fingerprint = excluded.fingerprint, model_checksum = excluded.model_checksum, rows = excluded.rows,
        published_at = excluded.published_at, run_id = excluded.run_id, columns = excluded.columns,
        relation = excluded.relation;
    RETURN CASE WHEN served IS NULL THEN 'created' ELSE 'replaced' END;
END
$$;

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
        WHERE x.indrelid = served AND i.relname NOT LIKE replace(left(mart, 38), '_', '\_') || '\_\_%'
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
