"""Statements that no database may run for a caller, in either dialect, against a table ``orders``."""

SEVERAL_STATEMENTS = (
    "SELECT 1; DELETE FROM orders",
    "SELECT 1;; DELETE FROM orders",
    "; DELETE FROM orders",
    "SELECT 1; COMMIT; DELETE FROM orders; -- done",
    "SELECT 1 /* ; */ ; DELETE FROM orders",
    "SELECT 1 -- ;\n; DELETE FROM orders",
    "SELECT ';' ; DELETE FROM orders",
    "/* SELECT */ DELETE FROM orders",
    "-- SELECT\nDELETE FROM orders",
    "SELECT 1;\tDROP TABLE orders;",
    "SELECT 1; SELECT 2",
)
NO_STATEMENTS = (
    "",
    " \n\t",
    ";",
    " ; ; ",
    "-- nothing",
    "/* nothing */",
    "/* open",
    "SELECT 'open",
    "SELECT 1 \x00; DELETE FROM orders",
    "SELECT '\ud800'",
    "SELECT " + "1," * 60_000 + "1",
)
