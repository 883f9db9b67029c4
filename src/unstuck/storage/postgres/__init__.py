"""The keeper on a PostgreSQL server."""
