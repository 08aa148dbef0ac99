"""The request path, and the threads beside it in a serving process."""
