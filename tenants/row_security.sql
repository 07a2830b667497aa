-- The barrier underneath the scoped managers (tenants/row_security.py). Applied by tenants/policies.py.
-- Functions run as the owner of this schema, so that they can read `keys`; nobody else can.

CREATE SCHEMA IF NOT EXISTS tenancy;

-- HMAC-SHA-256 keys, each as its two padded halves. `process` keys are derived from SECRET_KEY (and its
-- fallbacks): who knows one may open a scope. The `ticket` key is random and never leaves the database.
CREATE TABLE IF NOT EXISTS tenancy.keys (
    purpose text NOT NULL CHECK (purpose IN ('process', 'ticket')),
    inner_pad bytea NOT NULL,
    outer_pad bytea NOT NULL
);
REVOKE ALL ON tenancy.keys FROM PUBLIC;

-- HMACs are written out below: a function for them would triple the cost of every query.
DROP FUNCTION IF EXISTS tenancy.hmac(text, bytea, bytea);

-- Open a scope for the rest of the transaction: a client's id, or '*'. `issued` is in Unix seconds.
CREATE OR REPLACE FUNCTION tenancy.enter(scope text, issued bigint, signature bytea) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF abs(extract(epoch FROM clock_timestamp()) - issued) > 3600 OR NOT EXISTS (
        SELECT FROM tenancy.keys k
        WHERE k.purpose = 'process'
        AND sha256(k.outer_pad || sha256(k.inner_pad || convert_to(scope || '@' || issued, 'UTF8'))) = signature
    ) THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'the scope is not signed with a key that this database knows',
            HINT = 'Run "manage.py migrate" after a change of SECRET_KEY; compare the clocks of both machines.';
    END IF;
    -- The ticket binds the scope to this transaction of this backend: kept for another one it is worth nothing.
    PERFORM set_config('tenancy.scope', scope || ' ' || encode(
        sha256(k.outer_pad || sha256(k.inner_pad || convert_to(
            scope || ' ' || pg_backend_pid() || ' ' || extract(epoch FROM transaction_timestamp()), 'UTF8'
        ))), 'hex'), true)
    FROM tenancy.keys k WHERE k.purpose = 'ticket';
END
$$;

-- The lowest (or highest) client whose rows may be touched now; NULL, so no rows, without a valid scope.
-- A range rather than `client_id = x OR everyone`, because the planner can look up a range in an index.
CREATE OR REPLACE FUNCTION tenancy.bound(lowest boolean) RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting text := current_setting('tenancy.scope', true);
    scope text := split_part(setting, ' ', 1);
BEGIN
    -- The ticket again, in one expression: this runs twice in every query, and each call inside would double its cost.
    IF setting IS NULL OR NOT EXISTS (
        SELECT FROM tenancy.keys k WHERE k.purpose = 'ticket'
        AND setting = scope || ' ' || encode(
            sha256(k.outer_pad || sha256(k.inner_pad || convert_to(
                scope || ' ' || pg_backend_pid() || ' ' || extract(epoch FROM transaction_timestamp()), 'UTF8'
            ))), 'hex')
    ) THEN
        RETURN NULL;
    END IF;
    IF scope <> '*' THEN
        RETURN scope::uuid;
    END IF;
    RETURN CASE WHEN lowest THEN '00000000-0000-0000-0000-000000000000'::uuid
                ELSE 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid END;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tenancy FROM PUBLIC;
