"""A real PostgreSQL asked who we are and what time it is."""

import psycopg

from blocks.preflight.databases import asked
from deployments.postgres import EmbeddedPostgres


def test_a_superuser_and_another_and_the_clock(postgres: EmbeddedPostgres) -> None:
    url = postgres.url()
    mine = asked(url, None)
    assert mine is not None
    assert mine.superuser
    assert mine.skew is not None
    assert abs(mine.skew) < 2
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE preflight_reader LOGIN PASSWORD 'reads'")
    other = asked(url.replace(f"//postgres:{url.split(':')[2].split('@')[0]}@", "//preflight_reader:reads@"), None)
    assert other is not None
    assert not other.superuser


def test_a_server_that_does_not_answer_or_lets_nobody_in(postgres: EmbeddedPostgres) -> None:
    assert asked("postgresql://u:p@127.0.0.1:9/x", None) is None
    assert asked("mysql://u:p@127.0.0.1:9/x", None) is None
    assert asked(postgres.url().replace("//postgres:", "//postgres:wrong"), None) is None
