"""Entries of the audit log added by a function, so that whoever may not read the log can still add to it."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create it. It works as the tables' owner: who calls it needs no right to the table."""
    op.execute(
        """
        CREATE FUNCTION pilothouse.add_to_audit(entries jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp AS $$
            INSERT INTO pilothouse.audit (at, action, outcome, actor, actor_name, address, object, request_id, details)
            SELECT now() - make_interval(secs => r.ago), r.action, r.outcome, r.actor, r.actor_name, r.address, r.object,
                r.request_id, r.details
            FROM ROWS FROM (jsonb_to_recordset(entries) AS (action text, outcome text, actor text, actor_name text, address text,
                object text, request_id text, details jsonb, ago float8)) WITH ORDINALITY AS r ORDER BY r.ordinality
        $$
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP FUNCTION pilothouse.add_to_audit")
