"""The audit log: entries that nobody changes, and the seals over them."""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    """
    CREATE TABLE pilothouse.audit (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        action text NOT NULL,
        outcome text NOT NULL,
        actor text NOT NULL,
        actor_name text NOT NULL,
        address text NOT NULL,
        object text NOT NULL,
        request_id text NOT NULL,
        details jsonb NOT NULL,
        batch bigint
    )
    """,
    "CREATE INDEX audit_unsealed ON pilothouse.audit (seq) WHERE batch IS NULL",
    "CREATE INDEX audit_of_batch ON pilothouse.audit (batch, seq)",
    "CREATE INDEX audit_at ON pilothouse.audit (at)",
    "CREATE INDEX audit_of_actor ON pilothouse.audit (actor, seq)",
    """
    CREATE TABLE pilothouse.audit_seals (
        batch bigint PRIMARY KEY,
        entries integer NOT NULL,
        digest bytea NOT NULL,
        signature bytea NOT NULL,
        first_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        checkpoint boolean NOT NULL DEFAULT false
    )
    """,
    # Against mistakes; against people who may drop it, the seals.
    """
    CREATE FUNCTION pilothouse.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND OLD.batch IS NULL AND NEW.batch IS NOT NULL
            AND to_jsonb(OLD) - 'batch' = to_jsonb(NEW) - 'batch' THEN
            RETURN NEW;
        END IF;
        IF TG_OP = 'DELETE' AND current_setting('pilothouse.audit_expires', true) = 'yes' THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'the audit log is only added to';
    END $$
    """,
    """
    CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON pilothouse.audit
        FOR EACH ROW EXECUTE FUNCTION pilothouse.audit_is_append_only()
    """,
)


def upgrade() -> None:
    """Create the tables and what guards them."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE pilothouse.audit_seals")
    op.execute("DROP TABLE pilothouse.audit")
    op.execute("DROP FUNCTION pilothouse.audit_is_append_only")
