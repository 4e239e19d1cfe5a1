"""The Hub, the router and a scripted model on 127.0.0.1, to try the examples without a token and without a network.

    python examples/offline.py examples/tools.py

groq is always busy here, the router's own choice is cerebras, and a story is always cut off in the middle.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.loopback import (  # the tests' server, which lies beside this folder
    Close,
    Handler,
    Loopback,
    Received,
    Step,
    by_path,
    chat_chunks,
    chat_completion,
    hub,
    json_answer,
    sse_answer,
)

POLICIES = {"auto", "fastest", "cheapest", "preferred"}
PROVIDERS = ("groq", "together", "cerebras", "novita")
CUT_OFF = "Once upon a time a llama lived by the sea, and every morning"
SPOKEN = (
    ("sky", "Air scatters blue light far more than red, so blue reaches your eye from every side."),
    ("five", "One, two, three, four, five."),
    ("capital", "Paris is the capital of France."),
    ("story", CUT_OFF),
)
WORDS = {"city": "Paris", "name": "Paris", "country": "France", "unit": "celsius"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
USAGE = {"prompt_tokens": 14, "completion_tokens": 21, "total_tokens": 35}
Body = dict[str, Any]


def service(*, busy: Collection[str] = ("groq",), pause: float = 0) -> Handler:
    """Hub and router in one; `busy` providers answer 429, and `pause` seconds pass between the words of a stream."""
    entry = {"status": "live", "task": "conversational"}
    mapping = {name: {**entry, "providerId": f"{name}/model"} for name in PROVIDERS}
    return by_path(
        {
            "/api/models/": hub(mapping),
            "/v1/images/generations": lambda _: json_answer({"data": [{"b64_json": PIXEL}]}),
            "/v1/audio/transcriptions": lambda _: json_answer({"text": SPOKEN[1][1]}),
            "/": lambda request: _chat(request, busy, pause),
        }
    )


@contextmanager
def pretend_hugging_face() -> Iterator[None]:
    """The service, and an environment in which every client in this process finds it."""
    with Loopback(service(pause=0.05 if sys.stdout.isatty() else 0)) as server:  # at the speed of a person's reading
        here = dict.fromkeys(("HF_ENDPOINT", "HFCLIENT_ROUTER"), server.url)
        os.environ |= {**here, "HF_TOKEN": "hf_fake_offline", "MY_SERVER": f"{server.url}/v1", "no_proxy": "127.0.0.1"}
        yield


def _chat(request: Received, busy: Collection[str], pause: float) -> list[Step]:
    asked: Body = request.json()
    provider = _provider(request.path, asked.get("model") or "")
    if provider in busy:
        busy_now = {"error": {"message": "Too many requests at once.", "code": "rate_limited"}}
        return json_answer(busy_now, status=429, headers={"retry-after": "0"})
    headers = {"x-inference-provider": provider}
    message = _message(asked)
    if asked.get("stream"):
        return _streamed(message, headers, pause)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
    return json_answer(chat_completion(choices=[choice], model=asked.get("model"), usage=USAGE), headers=headers)


def _provider(path: str, model: str) -> str:
    suffix = model.rpartition(":")[2] if ":" in model else "auto"
    named = suffix if path.startswith("/v1/") else path.split("/")[1]
    return "cerebras" if named in POLICIES else named


def _message(asked: Body) -> Body:
    last = asked["messages"][-1]
    content = last["content"]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    text = " ".join(part.get("text", "") for part in parts)
    media = [part["type"] for part in parts if part["type"] != "text"]
    wanted = asked.get("response_format") or {}
    spoken = next((words for hint, words in SPOKEN if hint in text), "Hello to you too!")
    said: Body = {"role": "assistant", "content": spoken}
    if last["role"] == "tool":
        said["content"] = f"The tool says: {text}"
    elif media:
        said["content"] = f"I was sent {len(media)} of these: {', '.join(sorted(set(media)))}."
    elif asked.get("tools"):
        said |= {"content": None, "tool_calls": [_tool_call(asked["tools"][0]["function"])]}
    elif schema := wanted.get("json_schema", wanted).get("schema"):
        said["content"] = json.dumps(sample(schema))
    return said


def _tool_call(function: Body) -> Body:
    arguments = json.dumps(sample(function["parameters"]))
    return {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _streamed(message: Body, headers: dict[str, str], pause: float) -> list[Step]:
    if message["content"] == CUT_OFF:
        chunks = chat_chunks(CUT_OFF)[:-1]
        return sse_answer(chunks, done=False, finish=[Close()], headers=headers, pause=pause)
    chunks = chat_chunks(message["content"] or "")
    if "tool_calls" in message:
        delta = {"role": "assistant", "tool_calls": [{"index": 0, **message["tool_calls"][0]}]}
        chunks[0]["choices"] = [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]
    return sse_answer([*chunks, {**chunks[-1], "choices": [], "usage": USAGE}], headers=headers, pause=pause)


def sample(schema: Body, name: str = "", root: Body | None = None) -> object:
    """Something that fits a JSON schema."""
    root = root or schema
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], name, root)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], name, root)
    match schema.get("type"):
        case "object":
            return {key: sample(each, key, root) for key, each in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema.get("items", {}), name, root)]
        case "integer" | "number" | "boolean" as kind:
            return {"integer": 3, "number": 21.5, "boolean": True}[kind]
        case _:
            return schema.get("enum", [WORDS.get(name, "something")])[0]


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    if not Path(sys.argv[1]).is_file():
        sys.exit(f"There is no program {sys.argv[1]}; for example: python examples/offline.py examples/tools.py")
    with pretend_hugging_face():
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")
