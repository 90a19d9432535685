-- Former versions of marts: how they are kept, which ones go, and how one comes back.
--
-- A replaced table is kept as it is, out of readers' sight in marts_build. An upserted mart keeps the rows that lead
-- back ("undo"): one row per key that the upsert touched, with `was there` and, if so, the old row. An undo belongs to
-- the publication that came next (base): a chain that ends at a kept table or at what is served.

-- Names of tables and indexes of kept versions end in eight digits, as those of a fresh table end in its token.
CREATE OR REPLACE FUNCTION marts_build.next_version()
RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT lpad(nextval('marts_build.version_numbers')::text, 8, '0') $$;

-- Takes the table that was served (renamed and without readers) out of sight, or drops it where it is not to be kept:
-- no versions wanted, or not a table that we published.
CREATE OR REPLACE FUNCTION marts_build.retire(mart text, served oid, keep integer)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
    token text;
BEGIN
    IF keep < 1 OR NOT EXISTS (SELECT 1 FROM marts_build.publications p WHERE p.mart = retire.mart
                               AND p.relation = served) THEN
        EXECUTE format('DROP TABLE %s', served::regclass);
        RETURN;
    END IF;
    token := marts_build.next_version();
    -- Grants first: what the new owner grants himself is not to be taken away.
    FOR one IN
        SELECT DISTINCT g.grantee FROM (
            SELECT (aclexplode(c.relacl)).grantee, c.relowner FROM pg_class c WHERE c.oid = served
            UNION ALL
            SELECT (aclexplode(a.attacl)).grantee, c.relowner FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE a.attrelid = served) g WHERE g.grantee <> g.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', served::regclass, marts_build.role_text(one.grantee));
    END LOOP;
    EXECUTE format('ALTER TABLE %s SET SCHEMA marts_build', served::regclass);
    EXECUTE format('ALTER TABLE %s RENAME TO %I', served::regclass, 'kept__' || token);
    EXECUTE format('ALTER TABLE %s OWNER TO %I', served::regclass, current_user);
    -- Indexes of others are made anew on whatever is served.
    FOR one IN
        SELECT i.oid, i.relname, marts_build.is_ours(i.relname, mart) AS ours
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = served
    LOOP
        IF one.ours THEN
            EXECUTE format('ALTER INDEX %s RENAME TO %I', one.oid::regclass, one.relname || '__' || right(token, 8));
        ELSE
            EXECUTE format('DROP INDEX %s', one.oid::regclass);
        END IF;
    END LOOP;
    INSERT INTO marts_build.versions (number, publication_id, mart, kind, relation, run_id, published_at, rows,
                                      fingerprint, model_checksum, model, key, changes)
    SELECT token::bigint, p.publication_id, p.mart, 'table', 'kept__' || token, p.run_id, p.published_at, p.rows,
           p.fingerprint, p.model_checksum, p.model, p.key, p.changes
    FROM marts_build.publications p WHERE p.mart = retire.mart;
END
$$;

-- Drops all but the newest `keep` versions. One that is in use (a dump, a view on it) stays until next time: nobody
-- waits for it.
CREATE OR REPLACE FUNCTION marts_build.prune(mart text, keep integer)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
    lock_timeout_before text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    FOR one IN SELECT v.number FROM marts_build.versions v WHERE v.mart = prune.mart
               ORDER BY v.number DESC OFFSET greatest(keep, 0) LOOP
        BEGIN
            PERFORM marts_build.drop_version(one.number);
        EXCEPTION WHEN lock_not_available OR dependent_objects_still_exist THEN
            NULL;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', lock_timeout_before, true);
END
$$;

CREATE OR REPLACE FUNCTION marts_build.drop_version(version bigint)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone text;
BEGIN
    DELETE FROM marts_build.versions WHERE number = version RETURNING relation INTO gone;
    EXECUTE format('DROP TABLE IF EXISTS marts_build.%I', gone);
END
$$;

-- What somebody dropped or put in the place of our table takes the versions with it that are counted back from it.
CREATE OR REPLACE FUNCTION marts_build.forget_lost(mart text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM marts_build.drop_version(v.number)
    FROM marts_build.versions v
    WHERE v.number IN (
        WITH RECURSIVE lost AS (
            SELECT n.number, n.publication_id FROM marts_build.versions n
            JOIN marts_build.publications p ON p.publication_id = n.base
            WHERE p.mart = forget_lost.mart AND p.relation IS DISTINCT FROM to_regclass(format('marts.%I', p.mart))
            UNION ALL
            SELECT n.number, n.publication_id FROM marts_build.versions n JOIN lost ON lost.publication_id = n.base)
        SELECT number FROM lost);
END
$$;
