"""Workspaces: who is in which, and row-level security that keeps what belongs to them apart."""

from alembic import op

revision = "0010"
down_revision = "0009"

APART = ("sessions", "turns", "messages", "tool_runs", "files", "alerts", "alert_standings", "silences", "backups", "drills")
"""Tables whose rows each belong to a workspace."""
STATEMENTS = (
    """
    CREATE TABLE pilothouse.workspaces (
        name text PRIMARY KEY,
        title text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO pilothouse.workspaces (name, title) VALUES ('default', 'Default')",
    """
    CREATE TABLE pilothouse.members (
        workspace text NOT NULL REFERENCES pilothouse.workspaces ON DELETE CASCADE,
        user_id text NOT NULL REFERENCES pilothouse.users ON DELETE CASCADE,
        role text NOT NULL,
        by_group boolean NOT NULL DEFAULT false,
        PRIMARY KEY (workspace, user_id)
    )
    """,
    "CREATE INDEX members_by_user ON pilothouse.members (user_id)",
    """
    CREATE TABLE pilothouse.invitations (
        workspace text NOT NULL REFERENCES pilothouse.workspaces ON DELETE CASCADE,
        group_name text NOT NULL,
        role text NOT NULL,
        PRIMARY KEY (workspace, group_name)
    )
    """,
    "ALTER TABLE pilothouse.tokens ADD COLUMN workspace text NOT NULL DEFAULT 'default' REFERENCES pilothouse.workspaces",
    "ALTER TABLE pilothouse.installation ADD COLUMN role_secret text NOT NULL"
    " DEFAULT gen_random_uuid()::text || gen_random_uuid()::text",
    # Where nobody says otherwise, as in psql, it is the default one; what is made for the whole installation has to name its own.
    """
    CREATE FUNCTION pilothouse.current_workspace() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT nullif(coalesce(nullif(current_setting('pilothouse.workspace', true), ''), 'default'), '*') $$
    """,
    # Whoever may read the installation's own row is one of us; the role that requests come as may not.
    """
    CREATE FUNCTION pilothouse.sees_every_workspace() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT current_setting('pilothouse.workspace', true) = '*' AND has_table_privilege('pilothouse.installation', 'SELECT') $$
    """,
)


def upgrade() -> None:
    """What there is belongs to the default workspace."""
    for statement in STATEMENTS:
        op.execute(statement)
    for table in APART:
        op.execute(f"ALTER TABLE pilothouse.{table} ADD COLUMN workspace text NOT NULL DEFAULT 'default'")
        op.execute(f"ALTER TABLE pilothouse.{table} ALTER COLUMN workspace SET DEFAULT pilothouse.current_workspace()")
        apart(table)
    op.execute("CREATE INDEX sessions_of_workspace ON pilothouse.sessions (workspace, seq)")
    op.execute("CREATE INDEX files_of_workspace ON pilothouse.files (workspace)")


def apart(table: str) -> None:
    """Row-level security of a table with a column ``workspace``, its owner included."""
    op.execute(f"ALTER TABLE pilothouse.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY workspace ON pilothouse.{table} USING (workspace = (SELECT pilothouse.current_workspace())"
        " OR (SELECT pilothouse.sees_every_workspace()))"
    )


def downgrade() -> None:
    """All workspaces become one again."""
    for table in APART:
        op.execute(f"DROP POLICY workspace ON pilothouse.{table}")
        op.execute(f"ALTER TABLE pilothouse.{table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE pilothouse.{table} DROP COLUMN workspace")
    op.execute("DROP FUNCTION pilothouse.sees_every_workspace, pilothouse.current_workspace")
    op.execute("ALTER TABLE pilothouse.installation DROP COLUMN role_secret")
    op.execute("ALTER TABLE pilothouse.tokens DROP COLUMN workspace")
    for table in ("invitations", "members", "workspaces"):
        op.execute(f"DROP TABLE pilothouse.{table}")
