"""Django's engine for PostgreSQL, with bounds on how long a page waits for it."""
