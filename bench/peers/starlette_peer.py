"""What many would pick for this: Starlette and redis-py's asyncio client, under uvicorn."""

import os

import redis.asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

client = redis.asyncio.Redis(
    host="127.0.0.1", port=int(os.environ["BENCH_REDIS_PORT"]), password=os.environ["BENCH_REDIS_PASSWORD"]
)


async def index(request):
    return PlainTextResponse(f"bench! I have been seen {await client.incr('hits')} times.\n")


app = Starlette(routes=[Route("/", index)])
