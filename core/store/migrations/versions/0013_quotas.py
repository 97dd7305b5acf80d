"""Quotas, what is counted against them, and the ledger of what was used."""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = (
    "ALTER TABLE pilothouse.turns ADD COLUMN token_id text",
    """
    CREATE TABLE pilothouse.usage (
        id text PRIMARY KEY,
        workspace text NOT NULL DEFAULT pilothouse.current_workspace(),
        at timestamptz NOT NULL DEFAULT now(),
        token_id text NOT NULL DEFAULT '',
        provider text NOT NULL DEFAULT '',
        model text NOT NULL DEFAULT '',
        tool text NOT NULL DEFAULT '',
        turns bigint NOT NULL DEFAULT 0,
        tool_runs bigint NOT NULL DEFAULT 0,
        errors bigint NOT NULL DEFAULT 0,
        prompt_tokens bigint NOT NULL DEFAULT 0,
        completion_tokens bigint NOT NULL DEFAULT 0,
        cost numeric(20, 8),
        currency text NOT NULL DEFAULT '',
        folded boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE INDEX usage_of_workspace ON pilothouse.usage (workspace, at)"
    " INCLUDE (turns, tool_runs, prompt_tokens, completion_tokens)",
    "CREATE INDEX usage_of_token ON pilothouse.usage (token_id, at) INCLUDE (turns, tool_runs, prompt_tokens, completion_tokens)",
    "CREATE INDEX usage_unfolded ON pilothouse.usage (at) WHERE NOT folded",
    """
    CREATE TABLE pilothouse.quotas (
        kind text NOT NULL,
        name text NOT NULL,
        limits jsonb NOT NULL,
        set_by text NOT NULL,
        set_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (kind, name)
    )
    """,
    "CREATE TABLE pilothouse.quota_counters (key text PRIMARY KEY, used bigint NOT NULL, over_at timestamptz)",
    """
    CREATE TABLE pilothouse.quota_holds (
        id text NOT NULL,
        key text NOT NULL,
        metric text NOT NULL,
        amount bigint NOT NULL,
        owner text NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (id, key)
    )
    """,
    "CREATE INDEX quota_holds_of_key ON pilothouse.quota_holds (key)",
    "CREATE INDEX quota_holds_of_owner ON pilothouse.quota_holds (owner)",
    # A counter is the sum of what ended, by the ledger, and of what is held; kept, so that it need not be summed up each time.
    """
    CREATE FUNCTION pilothouse.quota_counted(item jsonb) RETURNS bigint LANGUAGE sql STABLE AS $$
        SELECT coalesce((
            SELECT sum(CASE item->>'metric' WHEN 'turns' THEN u.turns WHEN 'tool_runs' THEN u.tool_runs
                WHEN 'tokens' THEN u.prompt_tokens + u.completion_tokens ELSE 0 END)
            FROM pilothouse.usage u
            WHERE CASE item->>'kind' WHEN 'workspace' THEN u.workspace = item->>'name' ELSE u.token_id = item->>'name' END
                AND u.at >= (item->>'since')::timestamptz
        ), 0)::bigint
    $$
    """,
    """
    CREATE FUNCTION pilothouse.quota_reserve(hold text, holder text, items jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    DECLARE
        item jsonb;
        made integer;
        so_far bigint;
        used jsonb := '{}';
        spent boolean := false;
    BEGIN
        -- What this is for is written right after it, and waits for the disk; so nobody waits here, with rows locked.
        PERFORM set_config('synchronous_commit', 'off', true);
        FOR item IN SELECT value FROM jsonb_array_elements(items) ORDER BY value->>'key' LOOP
            SELECT c.used INTO so_far FROM pilothouse.quota_counters c WHERE c.key = item->>'key' FOR UPDATE;
            WHILE so_far IS NULL LOOP
                INSERT INTO pilothouse.quota_counters (key, used, over_at)
                    VALUES (item->>'key', 0, (item->>'until')::timestamptz) ON CONFLICT DO NOTHING;
                GET DIAGNOSTICS made = ROW_COUNT;
                IF made = 1 THEN
                    DELETE FROM pilothouse.quota_holds h
                        WHERE h.key = item->>'key' AND EXISTS (SELECT FROM pilothouse.usage u WHERE u.id = h.id);
                    UPDATE pilothouse.quota_counters c SET used = pilothouse.quota_counted(item)
                        + coalesce((SELECT sum(h.amount) FROM pilothouse.quota_holds h WHERE h.key = c.key), 0)
                        WHERE c.key = item->>'key';
                END IF;
                SELECT c.used INTO so_far FROM pilothouse.quota_counters c WHERE c.key = item->>'key' FOR UPDATE;
            END LOOP;
            used := used || jsonb_build_object(item->>'key', so_far);
            spent := spent OR so_far >= (item->>'most')::bigint;
        END LOOP;
        IF NOT spent THEN
            UPDATE pilothouse.quota_counters c SET used = c.used + (i.value->>'amount')::bigint
                FROM jsonb_array_elements(items) i WHERE c.key = i.value->>'key';
            INSERT INTO pilothouse.quota_holds (id, key, metric, amount, owner)
                SELECT hold, value->>'key', value->>'metric', (value->>'amount')::bigint, holder FROM jsonb_array_elements(items);
        END IF;
        RETURN used;
    END $$
    """,
    # A hold that is gone was counted by somebody else, in one way or the other: then its counters are made anew.
    """
    CREATE FUNCTION pilothouse.quota_settle(hold text, keys text[], used jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        held boolean;
    BEGIN
        PERFORM set_config('synchronous_commit', 'off', true);
        PERFORM FROM pilothouse.quota_counters c WHERE c.key = ANY(keys) ORDER BY c.key FOR UPDATE;
        held := EXISTS (SELECT FROM pilothouse.quota_holds h WHERE h.id = hold);
        WITH ended AS (DELETE FROM pilothouse.quota_holds h WHERE h.id = hold RETURNING h.key, h.metric, h.amount)
        UPDATE pilothouse.quota_counters c
            SET used = greatest(0, c.used - e.amount + coalesce((settled.used->>e.metric)::bigint, 0))
            FROM ended e, (SELECT quota_settle.used) settled WHERE c.key = e.key;
        IF NOT held THEN
            DELETE FROM pilothouse.quota_counters c WHERE c.key = ANY(keys);
        END IF;
        RETURN held;
    END $$
    """,
)


def upgrade() -> None:
    """What was asked before is in no ledger: the turns of that time are not known by who asked."""
    for statement in STATEMENTS:
        op.execute(statement)
    op.execute("ALTER TABLE pilothouse.usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY workspace ON pilothouse.usage USING (workspace = (SELECT pilothouse.current_workspace())"
        " OR (SELECT pilothouse.sees_every_workspace()))"
    )


def downgrade() -> None:
    """Forget the ledger."""
    op.execute("DROP FUNCTION pilothouse.quota_settle, pilothouse.quota_reserve, pilothouse.quota_counted")
    op.execute("DROP TABLE pilothouse.quota_holds, pilothouse.quota_counters, pilothouse.quotas, pilothouse.usage")
    op.execute("ALTER TABLE pilothouse.turns DROP COLUMN token_id")
