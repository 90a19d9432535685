-- How the rows that changed reach a served mart in place: one transaction, no lock that a reader waits for.

-- Applies marts_build.<delta> (the mart's columns and `is gone`) to marts.<mart>. `facts`: see note(), and
-- base: the publication that the delta was computed against; keep: how many former versions to keep.
CREATE OR REPLACE FUNCTION marts_build.upsert(
    mart text, delta text, facts jsonb, lock_seconds double precision DEFAULT 60
)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed_rows oid := to_regclass(format('marts_build.%I', delta));
    key text[] := ARRAY(SELECT jsonb_array_elements_text(facts -> 'key'));
    keep integer := facts ->> 'keep';
    base marts_build.publications%ROWTYPE;
    columns text;
    assignments text;
    key_columns text;
    undo text;
    counted bigint;
    total bigint;
BEGIN
    IF changed_rows IS NULL OR NOT (SELECT relkind = 'r' AND pg_has_role(session_user, relowner, 'USAGE')
                                    FROM pg_class WHERE oid = changed_rows) THEN
        RAISE EXCEPTION 'There is no table marts_build.% of role % to publish', quote_ident(delta), session_user;
    END IF;
    PERFORM marts_build.reserve(mart);
    PERFORM set_config('lock_timeout', (lock_seconds * 1000)::bigint || 'ms', true);
    -- Other writers wait, readers do not.
    EXECUTE format('LOCK TABLE marts.%I IN SHARE ROW EXCLUSIVE MODE', mart);
    SELECT * INTO base FROM marts_build.publications p WHERE p.mart = upsert.mart;
    IF base.publication_id <> (facts ->> 'base')::uuid
       OR NOT (SELECT p.untouched FROM marts_build.publication_of(mart) p) THEN
        RAISE EXCEPTION 'marts.% was changed by somebody else while it was being published, and stays as it is; '
            'publish again', quote_ident(mart) USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum),
           string_agg(format('%1$I = excluded.%1$I', attname), ', ') FILTER (WHERE attname <> ALL (key))
    INTO columns, assignments
    FROM pg_attribute WHERE attrelid = base.relation AND attnum > 0 AND NOT attisdropped;
    SELECT string_agg(quote_ident(name), ', ') INTO key_columns FROM unnest(key) AS name;
    EXECUTE format('ANALYZE %s', changed_rows::regclass);

    PERFORM marts_build.forget_lost(mart);
    PERFORM marts_build.prune(mart, keep - 1);
    IF keep > 0 THEN
        undo := 'undo__' || marts_build.next_version();
        EXECUTE format('CREATE TABLE marts_build.%I AS SELECT m.%I IS NOT NULL AS "was there", %s FROM %s d '
                       'LEFT JOIN marts.%I m ON %s', undo, key[1],
                       (SELECT string_agg(format('%s.%I', CASE WHEN attname = ANY (key) THEN 'd' ELSE 'm' END, attname),
                                          ', ' ORDER BY attnum)
                        FROM pg_attribute WHERE attrelid = base.relation AND attnum > 0 AND NOT attisdropped),
                       changed_rows::regclass, mart, marts_build.same_key(key, 'm', 'd'));
        INSERT INTO marts_build.versions (number, publication_id, mart, kind, relation, base, run_id, published_at,
                                          rows, fingerprint, model_checksum, model, key, changes)
        VALUES (right(undo, -6)::bigint, base.publication_id, mart, 'undo', undo,
                (facts ->> 'publication_id')::uuid, base.run_id, base.published_at, base.rows, base.fingerprint,
                base.model_checksum, base.model, base.key, base.changes);
    END IF;

    EXECUTE format('DELETE FROM marts.%I m USING %s d WHERE d."is gone" AND %s', mart, changed_rows::regclass,
                   marts_build.same_key(key, 'm', 'd'));
    GET DIAGNOSTICS total = ROW_COUNT;
    EXECUTE format('INSERT INTO marts.%I (%s) SELECT %s FROM %s WHERE NOT "is gone" ON CONFLICT (%s) DO %s', mart,
                   columns, columns, changed_rows::regclass, key_columns,
                   coalesce('UPDATE SET ' || assignments, 'NOTHING'));
    GET DIAGNOSTICS counted = ROW_COUNT;
    EXECUTE format('DROP TABLE %s', changed_rows::regclass);
    PERFORM marts_build.note(mart, base.relation,
                             facts || jsonb_build_object('changes', base.changes + total + counted));
END
$$;
