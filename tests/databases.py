"""Databases of tests on a server of theirs."""

import psycopg

from deployments.postgres import EmbeddedPostgres


def statement(server: EmbeddedPostgres, text: str, database: str = "postgres") -> None:
    """Run one statement as the superuser, outside a transaction."""
    with psycopg.connect(server.url(database), autocommit=True) as connection:
        connection.execute(text.encode())


def installed(server: EmbeddedPostgres, name: str, template: str) -> str:
    """The address of a new database with our schema, an installation of its own: of one installation, processes that cannot see
    each other in one database would take each other's runs in Prefect for those of the dead."""
    statement(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    statement(server, "UPDATE pilothouse.installation SET id = gen_random_uuid()", name)
    return server.url(name)
