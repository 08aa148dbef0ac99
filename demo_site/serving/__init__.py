"""The request path, and what runs beside it in a serving process."""
