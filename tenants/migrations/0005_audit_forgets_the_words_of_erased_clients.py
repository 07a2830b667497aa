"""A row of the audit may lose its words, and nothing else, while the client that it is about is being erased."""

from django.db import migrations

POSTGRES = """
CREATE OR REPLACE FUNCTION tenants_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND EXISTS (SELECT FROM tenants_erasure e WHERE e.id = OLD.client_id AND e.finished IS NULL)
    THEN
        OLD.name := '';
        OLD.before := '{}';
        OLD.after := '{}';
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME;
END
$$
"""
POSTGRES_BEFORE = """
CREATE OR REPLACE FUNCTION tenants_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME;
END
$$
"""
DROP = "DROP TRIGGER IF EXISTS audit_no_update"
REFUSE = "BEGIN SELECT RAISE(ABORT, 'rows of tenants_auditevent are never changed'); END"
KEPT = ("id", "at", "actor", "address", "action", "client_id", "object")
SQLITE = (
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON tenants_auditevent WHEN NOT ("
    + " AND ".join(f"NEW.{name} IS OLD.{name}" for name in KEPT)
    + " AND NEW.name = '' AND NEW.before = '{}' AND NEW.after = '{}'"
    " AND EXISTS (SELECT 1 FROM tenants_erasure e WHERE e.id = OLD.client_id AND e.finished IS NULL)) " + REFUSE
)


def allow(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES, params=None)
    else:
        schema_editor.execute(DROP)
        schema_editor.execute(SQLITE, params=None)


def refuse(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES_BEFORE, params=None)
    else:
        schema_editor.execute(DROP)
        schema_editor.execute("CREATE TRIGGER audit_no_update BEFORE UPDATE ON tenants_auditevent " + REFUSE, params=None)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_audit_is_append_only")]
    operations = [migrations.RunPython(allow, refuse)]
