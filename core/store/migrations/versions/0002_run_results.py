"""Results of flow runs; a trigger key is taken before its run is known."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE pilothouse.trigger_keys ALTER COLUMN run_id DROP NOT NULL",
    "CREATE INDEX ix_pilothouse_trigger_keys_created_at ON pilothouse.trigger_keys (created_at)",
    """
    CREATE TABLE pilothouse.run_results (
        run_id text PRIMARY KEY,
        flow text NOT NULL,
        result jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX ix_pilothouse_run_results_created_at ON pilothouse.run_results (created_at)",
)


def upgrade() -> None:
    """Create the table, loosen the column."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Back to keys that always name a run."""
    op.execute("DROP TABLE pilothouse.run_results")
    op.execute("DROP INDEX pilothouse.ix_pilothouse_trigger_keys_created_at")
    op.execute("DELETE FROM pilothouse.trigger_keys WHERE run_id IS NULL")
    op.execute("ALTER TABLE pilothouse.trigger_keys ALTER COLUMN run_id SET NOT NULL")
