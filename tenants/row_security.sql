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

-- The client in scope; or, asked for `everyone`, the lowest id there can be if the scope is everyone's. NULL, so no rows,
-- for the other kind of scope and for one that is not valid.
CREATE OR REPLACE FUNCTION tenancy.scope(everyone boolean) RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    setting text := current_setting('tenancy.scope', true);
    scope text := left(setting, -65);
    inner_pad bytea;
    outer_pad bytea;
BEGIN
    IF (scope = '*') IS DISTINCT FROM everyone THEN
        RETURN NULL;
    END IF;
    -- The ticket again. The key alone is asked for in SQL: an expression by itself costs plpgsql a third of a query.
    SELECT k.inner_pad, k.outer_pad INTO inner_pad, outer_pad FROM tenancy.keys k WHERE k.purpose = 'ticket';
    IF setting = scope || ' ' || encode(
        sha256(outer_pad || sha256(inner_pad || convert_to(
            scope || ' ' || pg_backend_pid() || ' ' || extract(epoch FROM transaction_timestamp()), 'UTF8'
        ))), 'hex')
    THEN
        RETURN CASE WHEN everyone THEN '00000000-0000-0000-0000-000000000000'::uuid ELSE scope::uuid END;
    END IF;
    RETURN NULL;  -- also when there is no key
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tenancy FROM PUBLIC;
