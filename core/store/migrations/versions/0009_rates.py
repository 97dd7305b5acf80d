"""How often somebody has asked lately."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table; what it holds is worth a minute, so that a crash may empty it."""
    op.execute(
        "CREATE UNLOGGED TABLE pilothouse.rates (key text PRIMARY KEY, began_at timestamptz NOT NULL, used bigint NOT NULL)"
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE pilothouse.rates")
