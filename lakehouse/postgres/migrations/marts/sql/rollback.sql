-- How a former version comes back: as a fresh table that is swapped in like any other.

-- Serves a former version again, by its number, and holds the mart. `keep`: see publish(); `reason`: why it is held.
CREATE OR REPLACE FUNCTION marts_build.roll_back(
    mart text, version bigint, keep integer, reason text, lock_seconds double precision DEFAULT 60
)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target marts_build.versions%ROWTYPE;
    restored text;
    counted bigint;
    new_id uuid := gen_random_uuid();
    changed bigint;
BEGIN
    PERFORM marts_build.reserve(mart, also_held => true);
    SELECT * INTO target FROM marts_build.versions v WHERE v.mart = roll_back.mart AND v.number = version;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'marts.% has no version % any more; list them again', quote_ident(mart), version;
    END IF;
    IF target.kind = 'table' THEN
        restored := target.relation;
        changed := target.changes;
    ELSE
        SELECT r.restored, r.changes INTO restored, changed FROM marts_build.rebuild(target) AS r;
    END IF;
    IF to_regclass(format('marts_build.%I', restored)) IS NULL THEN
        RAISE EXCEPTION 'Somebody dropped the table of version % of marts.%', version, quote_ident(mart);
    END IF;
    EXECUTE format('SELECT count(*) FROM marts_build.%I', restored) INTO counted;
    IF counted <> target.rows THEN
        RAISE EXCEPTION 'marts.% cannot be brought back exactly, and stays as it is: version % had % rows, this would '
            'have %. Somebody else wrote to the mart.', quote_ident(mart), version, target.rows, counted;
    END IF;
    -- It is no former version any more; those counted back from it are counted back from its return.
    UPDATE marts_build.versions SET base = new_id WHERE base = target.publication_id;
    IF target.kind = 'table' THEN
        DELETE FROM marts_build.versions WHERE number = version;
    ELSE
        PERFORM marts_build.drop_version(version);
    END IF;
    PERFORM marts_build.swap(mart, restored, jsonb_build_object(
        'publication_id', new_id, 'fingerprint', target.fingerprint, 'model_checksum', target.model_checksum,
        'rows', target.rows, 'run_id', target.run_id, 'model', target.model, 'key', target.key, 'changes', changed,
        'keep', keep), lock_seconds);
    UPDATE marts_build.publications p SET held_at = now(), held_reason = reason WHERE p.mart = roll_back.mart;
    RETURN restored;
END
$$;

-- A table marts_build.<restored> with the content of an undo version: a copy of the nearest whole table that came
-- later, and on it one undo after the other.
CREATE OR REPLACE FUNCTION marts_build.rebuild(target marts_build.versions, OUT restored text, OUT changes bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    token text := marts_build.next_version();
    chain marts_build.versions[] := ARRAY[target];
    step marts_build.versions := target;
    whole oid;
    kept boolean := false;  -- a kept table's indexes end in its number: __ and eight digits
    columns text;
    counted bigint;
    one record;
BEGIN
    LOOP
        SELECT p.relation INTO whole FROM marts_build.publications p
        WHERE p.publication_id = step.base AND p.relation = to_regclass(format('marts.%I', p.mart));
        EXIT WHEN FOUND;
        SELECT * INTO step FROM marts_build.versions v WHERE v.publication_id = (chain[1]).base;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'What version % of marts.% is counted back from is gone', target.number,
                quote_ident(target.mart);
        END IF;
        whole := to_regclass(format('marts_build.%I', step.relation));
        kept := step.kind = 'table';
        EXIT WHEN kept;
        chain := step || chain;
    END LOOP;
    restored := 'restored__' || token;
    EXECUTE format('CREATE TABLE marts_build.%I (LIKE %s INCLUDING ALL EXCLUDING INDEXES)', restored, whole::regclass);
    EXECUTE format('INSERT INTO marts_build.%I SELECT * FROM %s', restored, whole::regclass);
    GET DIAGNOSTICS changes = ROW_COUNT;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
    FROM pg_attribute WHERE attrelid = whole AND attnum > 0 AND NOT attisdropped;
    FOREACH step IN ARRAY chain LOOP
        EXECUTE format('DELETE FROM marts_build.%I m USING marts_build.%I u WHERE %s', restored, step.relation,
                       marts_build.same_key(step.key, 'm', 'u'));
        GET DIAGNOSTICS counted = ROW_COUNT;
        changes := changes + counted;
        EXECUTE format('INSERT INTO marts_build.%1$I (%2$s) SELECT %2$s FROM marts_build.%3$I WHERE "was there"', restored,
                       columns, step.relation);
        GET DIAGNOSTICS counted = ROW_COUNT;
        changes := changes + counted;
    END LOOP;
    FOR one IN
        SELECT i.relname, x.indisunique, pg_get_indexdef(i.oid) AS definition
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = whole AND marts_build.is_ours(i.relname, target.mart)
    LOOP
        EXECUTE format('CREATE %sINDEX %I ON marts_build.%I%s', CASE WHEN one.indisunique THEN 'UNIQUE ' END,
                       CASE WHEN kept THEN left(one.relname, -10) ELSE one.relname END || '__' || right(token, 8), restored,
                       substr(one.definition, strpos(one.definition, ' USING ')));
    END LOOP;
    IF obj_description(whole, 'pg_class') IS NOT NULL THEN
        EXECUTE format('COMMENT ON TABLE marts_build.%I IS %L', restored, obj_description(whole, 'pg_class'));
    END IF;
    EXECUTE format('ANALYZE marts_build.%I', restored);
END
$$;
