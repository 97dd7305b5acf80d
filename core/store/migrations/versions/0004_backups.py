"""The catalogue of backups, and what restoring them for proof has shown."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    CREATE TABLE pilothouse.backups (
        id text PRIMARY KEY,
        source text NOT NULL,
        engine text NOT NULL,
        set_name text,
        set_id text,
        set_sources text[] NOT NULL DEFAULT '{}',
        status text NOT NULL,
        owner text NOT NULL DEFAULT '',
        lease_until timestamptz,
        flow_run_id text,
        started_at timestamptz NOT NULL,
        finished_at timestamptz,
        size bigint,
        plain_size bigint,
        manifest jsonb,
        error jsonb,
        verified_at timestamptz,
        verified_result text,
        missing_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX backups_running ON pilothouse.backups (source) WHERE status = 'running'",
    "CREATE INDEX backups_newest ON pilothouse.backups (started_at, id)",
    "CREATE INDEX backups_of_source ON pilothouse.backups (source, started_at)",
    """
    CREATE TABLE pilothouse.drills (
        id text PRIMARY KEY,
        source text NOT NULL,
        backup_id text,
        result text NOT NULL,
        rows bigint,
        seconds double precision,
        at timestamptz NOT NULL DEFAULT now(),
        flow_run_id text,
        details jsonb NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX drills_of_source ON pilothouse.drills (source, at)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE pilothouse.drills")
    op.execute("DROP TABLE pilothouse.backups")
