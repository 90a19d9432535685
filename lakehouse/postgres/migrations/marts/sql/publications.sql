-- What is published under a name, since when, and whether it is still what we left there.

-- Name and type of each column, in order.
CREATE OR REPLACE FUNCTION marts_build.columns_of(relation oid)
RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_build_object('name', attname, 'type', format_type(atttypid, atttypmod)) ORDER BY attnum)
    FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
$$;

-- A condition that two rows, by the aliases given, have the same key.
CREATE OR REPLACE FUNCTION marts_build.same_key(key text[], one text, other text)
RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT string_agg(format('%s.%I = %s.%I', one, name, other, name), ' AND ') FROM unnest(key) AS name $$;

-- Whether a unique index over exactly these columns is there: what ON CONFLICT needs.
CREATE OR REPLACE FUNCTION marts_build.has_key(relation oid, key text[])
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT 1 FROM pg_index x
        WHERE x.indrelid = relation AND x.indisunique AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
          AND (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
               WHERE attrelid = x.indexrelid) = (SELECT array_agg(name ORDER BY name) FROM unnest(key) AS name))
$$;

-- Rows ever inserted, updated and deleted, rolled back ones included.
CREATE OR REPLACE FUNCTION marts_build.changes_of(relation oid)
RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_stat_get_tuples_inserted(relation) + pg_stat_get_tuples_updated(relation)
           + pg_stat_get_tuples_deleted(relation)
$$;

-- What is published under a name. The fingerprint is NULL where the table that was published is no longer the one being
-- served. `untouched` says that it holds just what we published, and can be changed in place: nobody wrote to it (the
-- counters of pg_stat, TRUNCATE's new file), nobody altered it. The counters are lost in a crash of the server; then
-- the answer is false, and a whole replacement makes it true again.
CREATE OR REPLACE FUNCTION marts_build.publication_of(mart text)
RETURNS TABLE (publication_id uuid, fingerprint text, model_checksum text, row_count bigint, held text,
               untouched boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.publication_id, CASE WHEN c.oid IS NOT NULL THEN p.fingerprint END, p.model_checksum, p.rows,
           CASE WHEN p.held_at IS NOT NULL THEN p.held_reason END,
           coalesce(c.relkind = 'r' AND pg_has_role(current_user, c.relowner, 'USAGE')
                    AND NOT (c.relhastriggers OR c.relrowsecurity OR c.relforcerowsecurity)
                    AND p.changes = marts_build.changes_of(c.oid)
                    AND p.filenode = pg_relation_filenode(c.oid)
                    AND p.columns = marts_build.columns_of(c.oid)
                    AND marts_build.has_key(c.oid, p.key), false)
    FROM marts_build.publications p
    LEFT JOIN pg_class c ON c.oid = p.relation AND c.relname = p.mart AND c.relnamespace = 'marts'::regnamespace
    WHERE p.mart = publication_of.mart
$$;

-- The advisory lock of a mart, and the one of whoever lends a right on the schema marts (swap()).
CREATE OR REPLACE FUNCTION marts_build.key_of(mart text)
RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT hashtextextended('lakehouse mart ' || mart, 0) $$;

CREATE OR REPLACE FUNCTION marts_build.key_of_lending()
RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT hashtextextended('lakehouse lends on marts', 0) $$;

-- Who else holds an advisory lock, and since when its transaction runs (NULL where the caller may not know that).
CREATE OR REPLACE FUNCTION marts_build.holders_of(key bigint)
RETURNS TABLE (process integer, role name, since timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.pid, a.usename, a.xact_start
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = key
$$;

-- One publication or rollback of a mart at a time, until the transaction ends. A mart that is held is refused.
CREATE OR REPLACE FUNCTION marts_build.reserve(mart text, also_held boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'marts.% is published in a transaction of level %, which would not see what others did to it '
            'meanwhile; use READ COMMITTED', quote_ident(mart), upper(current_setting('transaction_isolation'));
    END IF;
    PERFORM pg_advisory_xact_lock(marts_build.key_of(mart));
    SELECT held_reason INTO reason FROM marts_build.publications p WHERE p.mart = reserve.mart AND held_at IS NOT NULL;
    IF FOUND AND NOT also_held THEN
        RAISE EXCEPTION 'marts.% is held and was not touched: %', quote_ident(mart), reason
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;

-- Notes what is served under a name from now on. `facts`: publication_id, fingerprint, model_checksum, rows, run_id,
-- model, key, changes.
CREATE OR REPLACE FUNCTION marts_build.note(mart text, served oid, facts jsonb)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM marts_build.publications p WHERE p.mart = note.mart;
    INSERT INTO marts_build.publications (mart, publication_id, fingerprint, model_checksum, rows, run_id, model, key,
                                          changes, columns, relation, filenode)
    SELECT note.mart, f.publication_id, f.fingerprint, f.model_checksum, f.rows, f.run_id, f.model, f.key, f.changes,
           marts_build.columns_of(served), served, pg_relation_filenode(served)
    FROM jsonb_to_record(facts) AS f(publication_id uuid, fingerprint text, model_checksum text, rows bigint,
                                     run_id text, model text, key text[], changes bigint);
    PERFORM pg_stat_force_next_flush();  -- else the counters may lag behind by a second
END
$$;
