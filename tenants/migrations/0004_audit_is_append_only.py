"""The database itself refuses to change or delete a row of the audit, whoever asks."""

from django.db import migrations

POSTGRES = (
    """
    CREATE OR REPLACE FUNCTION tenants_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME;
    END
    $$
    """,
    "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON tenants_auditevent"
    " FOR EACH ROW EXECUTE FUNCTION tenants_refuse_change()",
)
SQLITE = tuple(
    f"CREATE TRIGGER audit_no_{verb} BEFORE {verb} ON tenants_auditevent"
    " BEGIN SELECT RAISE(ABORT, 'rows of tenants_auditevent are never changed'); END"
    for verb in ("update", "delete")
)


def create(apps, schema_editor):
    for statement in POSTGRES if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement, params=None)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER IF EXISTS audit_append_only ON tenants_auditevent")
        schema_editor.execute("DROP FUNCTION IF EXISTS tenants_refuse_change()")
    else:
        for verb in ("update", "delete"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS audit_no_{verb}")


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_staff_and_audit")]
    operations = [migrations.RunPython(create, drop)]
