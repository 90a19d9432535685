-- How a freshly loaded table takes the place of a served mart without a reader ever noticing.
--
-- What belongs here: the swap. What does not: loading, indexing and naming the fresh table; the dbt materialization
-- `published` does that in the same transaction, so a crash leaves nothing. What the fresh table takes over: dress.sql.
-- The functions run as the owner of the marts (SECURITY DEFINER) and are called by the writer.

-- Everything that can be refused, asked of a fresh table that is still empty: before a row is loaded.
CREATE OR REPLACE FUNCTION marts_build.prepare(mart text, fresh text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM marts_build.reserve(mart);
    PERFORM marts_build.refuse(mart, to_regclass(format('marts_build.%I', fresh)));
END
$$;

CREATE OR REPLACE FUNCTION marts_build.refuse(mart text, new_table oid)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found text[];
BEGIN
    SELECT array_agg(obstacle) INTO found
    FROM marts_build.obstacles(to_regclass(format('marts.%I', mart)), new_table) AS obstacle;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'marts.% cannot be replaced, nothing was touched: %', quote_ident(mart),
            array_to_string(found, '; ') USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;

-- Puts marts_build.<fresh>, which the caller loaded, in the place of marts.<mart>. `facts`: see note(), and keep: how
-- many former versions to keep.
CREATE OR REPLACE FUNCTION marts_build.publish(
    mart text, fresh text, facts jsonb, lock_seconds double precision DEFAULT 60
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_table oid := to_regclass(format('marts_build.%I', fresh));
BEGIN
    IF new_table IS NULL OR NOT (SELECT relkind = 'r' AND pg_has_role(session_user, relowner, 'USAGE')
                                 FROM pg_class WHERE oid = new_table) THEN
        RAISE EXCEPTION 'There is no table marts_build.% of role % to publish', quote_ident(fresh), session_user;
    END IF;
    PERFORM marts_build.reserve(mart);
    RETURN marts_build.swap(mart, fresh, facts, lock_seconds);
END
$$;

-- Puts marts_build.<fresh> in the place of marts.<mart>: views, grants, comments, owner, storage options and indexes
-- that others added stay. Readers at READ COMMITTED see the old table or the new one, whole.
--
-- A reader may hold the table for as long as its query runs, and whoever waits for it makes later readers wait too. So
-- the locks are asked for in short tries (50 ms), given back in between, for up to lock_seconds.
CREATE OR REPLACE FUNCTION marts_build.swap(mart text, fresh text, facts jsonb, lock_seconds double precision)
RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_table oid := to_regclass(format('marts_build.%I', fresh));
    served oid := to_regclass(format('marts.%I', mart));
    old pg_class%ROWTYPE;
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
    -- Before any reader's lock: dropping an old version may have to wait.
    PERFORM marts_build.forget_lost(mart);
    PERFORM marts_build.prune(mart, (facts ->> 'keep')::integer - 1);
    IF served IS NOT NULL THEN
        PERFORM marts_build.refuse(mart, new_table);
        -- First a lock that no reader minds, but who comments, indexes or vacuums does. The server ends its own vacuum for
        -- whoever has waited a second (deadlock_timeout), so the short tries below never would: the swap would wait for
        -- all of it.
        PERFORM set_config('lock_timeout', (lock_seconds * 1000)::bigint || 'ms', true);
        EXECUTE format('LOCK TABLE marts.%I IN SHARE UPDATE EXCLUSIVE MODE', mart);
        PERFORM set_config('lock_timeout', lock_timeout_before, true);
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
                -- An owner who may not create in the schema is lent that right below. Two transactions cannot change
                -- the rights of one schema at once ("tuple concurrently updated").
                SELECT NOT has_schema_privilege(relowner, 'marts', 'CREATE') INTO lends_create
                FROM pg_class WHERE oid = served;
                IF lends_create THEN
                    PERFORM pg_advisory_xact_lock(marts_build.key_of_lending());
                END IF;
                PERFORM set_config('lock_timeout', lock_timeout_before, true);
                IF views = marts_build.views_on(served) THEN
                    PERFORM marts_build.refuse(mart, new_table);
                    EXIT locking;
                END IF;
                RAISE lock_not_available;  -- one that is new is locked in its turn: all is given back first
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                IF clock_timestamp() > deadline THEN
                    SELECT string_agg(DISTINCT format('process %s of %s', process, role), ', ') INTO waited_for
                    FROM (SELECT l.pid, a.usename FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                          WHERE l.relation = ANY (views || served) AND l.granted AND l.pid <> pg_backend_pid()
                          UNION ALL
                          SELECT h.process, h.role FROM marts_build.holders_of(marts_build.key_of_lending()) h
                          WHERE lends_create) AS holders (process, role);
                    RAISE EXCEPTION 'marts.% was in use for % seconds without a gap of 50 ms, and stays as it was; '
                        'held by: %', quote_ident(mart), lock_seconds, coalesce(waited_for, 'nobody any more')
                        USING ERRCODE = 'lock_not_available', HINT = 'Let the long query end and publish again.';
                END IF;
            END;
            PERFORM pg_sleep(0.02 + random() * 0.2);
        END LOOP;

        -- As they are now, not as they were before the wait.
        SELECT * INTO old FROM pg_class WHERE oid = served;
        target_owner := pg_get_userbyid(old.relowner);
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
        PERFORM marts_build.retire(mart, served, (facts ->> 'keep')::integer);
    END IF;
    -- The names that indexes had while two tables were there.
    FOR one IN SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = new_table
               AND i.relname LIKE '%' || replace(suffix, '_', '\_') LOOP
        EXECUTE format('ALTER INDEX marts.%I RENAME TO %I', one.relname, left(one.relname, -length(suffix)));
    END LOOP;
    PERFORM marts_build.note(mart, new_table, facts);
    RETURN CASE WHEN served IS NULL THEN 'created' ELSE 'replaced' END;
END
$$;
