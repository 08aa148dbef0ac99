"""The same with FastAPI."""

import os

import redis.asyncio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

client = redis.asyncio.Redis(
    host="127.0.0.1", port=int(os.environ["BENCH_REDIS_PORT"]), password=os.environ["BENCH_REDIS_PASSWORD"]
)
app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
async def index():
    return f"bench! I have been seen {await client.incr('hits')} times.\n"
