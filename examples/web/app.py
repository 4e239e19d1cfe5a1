"""A chat in the browser: streamed answers, pictures, a choice of providers, a stop button.

pip install "hfclient[sandbox]"                     # starlette and uvicorn; "hfclient[sandbox,torch]" for this machine
HFCLIENT_SANDBOX=1 uvicorn app:app --app-dir examples/web     # without token and network
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hfclient import Client
from hfclient.errors import HFClientError

CHAT, PICTURES = "Qwen/Qwen3-32B", "black-forest-labs/FLUX.1-dev"
client = Client(timeout=60)


async def page(_: Request) -> Response:
    return FileResponse(Path(__file__).with_name("page.html"))


async def chat(request: Request) -> Response:
    asked = await request.json()
    provider = asked["provider"]
    model = None if provider == "local" else CHAT  # this machine has a small one in the box
    stream = client.chat.stream(asked["messages"], model=model, provider=provider)

    async def events() -> AsyncIterator[str]:
        try:
            async with stream:  # a reader who hangs up ends the request to the provider too
                async for text in stream.text():
                    yield f"data: {json.dumps({'text': text})}\n\n"
            yield f"data: {json.dumps({'done': stream.meta.provider})}\n\n"
        except HFClientError as error:
            yield f"data: {json.dumps({'error': str(error)})}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def picture(request: Request) -> Response:
    try:
        image = await client.text_to_image((await request.json())["prompt"], model=PICTURES)
    except HFClientError as error:
        return JSONResponse({"error": str(error)}, 502)
    return Response(image.content, media_type=image.media_type)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with client:
        yield


routes = [Route("/", page), Route("/chat", chat, methods=["POST"]), Route("/picture", picture, methods=["POST"])]
app = Starlette(routes=routes, lifespan=lifespan)
