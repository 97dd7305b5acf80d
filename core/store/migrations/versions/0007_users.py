"""People who log in, their logins and wrong guesses; and what tells this installation from others on one Prefect server."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    """
    CREATE TABLE pilothouse.users (
        id text PRIMARY KEY,
        source text NOT NULL,
        login text NOT NULL,
        email text NOT NULL,
        name text NOT NULL,
        role text NOT NULL,
        password text,
        disabled boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_login_at timestamptz,
        UNIQUE (source, login)
    )
    """,
    """
    CREATE TABLE pilothouse.logins (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES pilothouse.users ON DELETE CASCADE,
        kind text NOT NULL,
        address text NOT NULL,
        agent text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        used_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        ended_at timestamptz
    )
    """,
    "CREATE INDEX logins_of_user ON pilothouse.logins (user_id)",
    """
    CREATE TABLE pilothouse.login_tokens (
        hash bytea PRIMARY KEY,
        login_id text NOT NULL REFERENCES pilothouse.logins ON DELETE CASCADE,
        used_at timestamptz
    )
    """,
    "CREATE INDEX login_tokens_of_login ON pilothouse.login_tokens (login_id)",
    """
    CREATE TABLE pilothouse.login_failures (
        key text PRIMARY KEY,
        failures integer NOT NULL,
        at timestamptz NOT NULL,
        blocked_until timestamptz
    )
    """,
    "CREATE TABLE pilothouse.installation (id text PRIMARY KEY DEFAULT gen_random_uuid())",
    "INSERT INTO pilothouse.installation DEFAULT VALUES",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in ("installation", "login_failures", "login_tokens", "logins", "users"):
        op.execute(f"DROP TABLE pilothouse.{table}")
