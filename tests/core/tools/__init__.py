"""Tools without a server: their schemas, what they take and what they refuse."""
