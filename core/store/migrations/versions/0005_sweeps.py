"""What sweeps know of services: their states, single probes, what each hour came to, and who sweeps now."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    """
    CREATE TABLE pilothouse.service_states (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        topology text NOT NULL,
        name text NOT NULL,
        position integer NOT NULL DEFAULT 0,
        title text NOT NULL DEFAULT '',
        platform text NOT NULL DEFAULT '',
        kind text NOT NULL,
        severity text NOT NULL DEFAULT 'critical',
        runbook text,
        depends_on text[] NOT NULL DEFAULT '{}',
        hints text[] NOT NULL DEFAULT '{}',
        state text NOT NULL DEFAULT 'unknown',
        since timestamptz NOT NULL,
        pending text,
        streak integer NOT NULL DEFAULT 0,
        code text NOT NULL DEFAULT '',
        message text NOT NULL DEFAULT '',
        seconds double precision,
        facts jsonb NOT NULL DEFAULT '{}',
        checked_at timestamptz,
        good_at timestamptz,
        flips integer NOT NULL DEFAULT 0,
        root text,
        looks integer NOT NULL DEFAULT 0,
        told text,
        maintenance boolean NOT NULL DEFAULT false,
        gone_at timestamptz,
        UNIQUE (topology, name)
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE pilothouse.service_samples (
        service bigint NOT NULL REFERENCES pilothouse.service_states ON DELETE CASCADE,
        at timestamptz NOT NULL,
        state text NOT NULL,
        seconds real
    )
    """,
    "CREATE INDEX service_samples_of_service ON pilothouse.service_samples (service, at)",
    "CREATE INDEX service_samples_at ON pilothouse.service_samples USING brin (at)",
    """
    CREATE TABLE pilothouse.service_hours (
        service bigint NOT NULL REFERENCES pilothouse.service_states ON DELETE CASCADE,
        hour timestamptz NOT NULL,
        up integer NOT NULL DEFAULT 0,
        degraded integer NOT NULL DEFAULT 0,
        down integer NOT NULL DEFAULT 0,
        unknown integer NOT NULL DEFAULT 0,
        answers integer NOT NULL DEFAULT 0,
        seconds double precision NOT NULL DEFAULT 0,
        slowest real,
        PRIMARY KEY (service, hour)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX service_hours_hour ON pilothouse.service_hours USING brin (hour)",
    """
    CREATE TABLE pilothouse.sweeps (
        id text PRIMARY KEY,
        origin text NOT NULL,
        started_at timestamptz NOT NULL,
        finished_at timestamptz NOT NULL,
        flow_run_id text,
        topology text,
        counts jsonb NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX sweeps_newest ON pilothouse.sweeps (started_at)",
    """
    CREATE TABLE pilothouse.sweep_lease (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        owner text NOT NULL,
        lease_until timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    """Create the tables."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in ("sweep_lease", "sweeps", "service_hours", "service_samples", "service_states"):
        op.execute(f"DROP TABLE pilothouse.{table}")
