"""How fast and how sound each model answers, and which version of it there is."""

from alembic import op

revision = "0011"
down_revision = "0010"

STATEMENTS = (
    """
    ALTER TABLE pilothouse.turns
        ADD COLUMN attempts jsonb,
        ADD COLUMN model_first_ms integer,
        ADD COLUMN model_ms integer,
        ADD COLUMN model_tokens integer
    """,
    # All that figures are made of is in the index, the workspace for its policy; so no answer is read for them.
    """
    CREATE INDEX turns_of_model ON pilothouse.turns (provider, model, finished_at)
        INCLUDE (model_first_ms, model_ms, model_tokens, workspace)
        WHERE provider IS NOT NULL AND finished_at IS NOT NULL
    """,
    "CREATE INDEX turns_troubled ON pilothouse.turns (finished_at) WHERE attempts IS NOT NULL",
    """
    CREATE TABLE pilothouse.models (
        provider text NOT NULL,
        model text NOT NULL,
        kind text NOT NULL,
        digest text NOT NULL,
        details jsonb NOT NULL,
        first_seen timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now(),
        changed_at timestamptz,
        gone_at timestamptz,
        PRIMARY KEY (provider, model)
    )
    """,
    """
    CREATE TABLE pilothouse.model_changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        provider text NOT NULL,
        model text NOT NULL,
        change text NOT NULL,
        before text NOT NULL,
        after text NOT NULL,
        what text[] NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        told boolean NOT NULL
    )
    """,
    "CREATE INDEX model_changes_of ON pilothouse.model_changes (provider, model, id)",
    "CREATE INDEX model_changes_untold ON pilothouse.model_changes (id) WHERE NOT told",
)


def upgrade() -> None:
    """Turns from before have no figures."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Forget the figures and the versions."""
    op.execute("DROP TABLE pilothouse.model_changes, pilothouse.models")
    op.execute("DROP INDEX pilothouse.turns_troubled, pilothouse.turns_of_model")
    op.execute(
        "ALTER TABLE pilothouse.turns DROP COLUMN attempts, DROP COLUMN model_first_ms, DROP COLUMN model_ms,"
        " DROP COLUMN model_tokens"
    )
