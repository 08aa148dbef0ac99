"""A WSGI callable with one INCR, and nothing else."""

from plain_redis import client


def app(environ, start_response):
    body = f"bench! I have been seen {client.incr('hits')} times.\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
