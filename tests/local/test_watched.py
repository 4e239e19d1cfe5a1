"""What is told of calls on this machine: to OpenTelemetry all that a call to a provider tells, and to nobody a key."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from hfclient import Client, LocalOptions
from hfclient.errors import HFClientError, InputError, InputTooLongError
from hfclient.local import LOCAL, models
from tests.local.test_side import TOOL
from tests.test_observed_calls import Telescope, telescope

assert telescope  # a fixture
pytestmark = pytest.mark.anyio

QUESTION = "What is hfclient?"
TOKEN = "hf_fake_0123456789abcdefghij"


@pytest.fixture(params=["torch", "mlx"])
def engine(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_call_and_a_stream_are_spans_inside_this_process(telescope: Telescope, engine: Any) -> None:
    """They are named for the model that answered, though none was named, and have no address."""
    async with Client(provider="local", local=LocalOptions(engine=engine)) as client:
        first = await client.chat(QUESTION)
        said: Any = [{"role": "user", "content": QUESTION}, first.message, {"role": "user", "content": "Thanks"}]
        await client.chat.stream(said, temperature=0.5, seed=3).final()
        await client.text_generation("Hello", max_new_tokens=3)
    whole, streamed, text = telescope.spans
    for span in (whole, streamed, text):
        told = dict(span.attributes or {})
        assert (span.kind, span.status.status_code) == (SpanKind.INTERNAL, StatusCode.UNSET)
        assert (told["gen_ai.provider.name"], told["hfclient.inference_provider"]) == ("huggingface", "local")
        assert (told["gen_ai.request.model"], told["gen_ai.response.model"]) == ("tiny", "tiny")
        assert told["gen_ai.usage.input_tokens"] > 0
        assert told["gen_ai.usage.output_tokens"] > 0
        assert not [name for name in told if name.startswith("server.")]
    assert (whole.name, streamed.name) == ("chat tiny", "chat tiny")
    later = dict(streamed.attributes or {})
    assert later["gen_ai.usage.cache_read.input_tokens"] > 0
    assert later["gen_ai.response.time_to_first_chunk"] > 0
    assert later["gen_ai.request.seed"] == 3
    points = [point for each in telescope.metrics().values() for point in each]
    assert points
    assert {point.attributes["gen_ai.request.model"] for point in points} == {"tiny"}


async def test_thoughts_are_counted(telescope: Telescope, engine: Any) -> None:
    """Tokens between think tags are told apart, if there are any."""
    async with Client(provider="local", local=LocalOptions(engine=engine)) as client:
        reply = await client.chat(QUESTION, reasoning_effort="high")
    assert reply.usage
    counted = telescope.attributes().get("gen_ai.usage.reasoning.output_tokens", 0)
    assert counted == (reply.usage.reasoning_tokens or 0)


async def test_an_error_is_told_with_its_type(telescope: Telescope, engine: Any) -> None:
    """A refusal, a prompt that is too long and a deadline are spans that failed."""
    options = LocalOptions(engine=engine, max_input_length=20)
    async with Client(provider="local", local=options) as client:
        with pytest.raises(InputError):
            await client.chat(QUESTION, temperature=-1)
        with pytest.raises(InputTooLongError):
            await client.chat("word " * 100)
        with pytest.raises(HFClientError):
            await client.text_generation("a", max_new_tokens=3000, temperature=2.0, seed=1, deadline=0.05)
        with anyio.move_on_after(0.05):
            await client.text_generation("a", max_new_tokens=3000, temperature=2.0, seed=1)
    types = [(span.attributes or {})["error.type"] for span in telescope.spans]
    assert types[:3] == ["InputError", "InputTooLongError", "DeadlineError"]
    assert types[3] in {"CancelledError", "Cancelled"}
    assert all(span.status.status_code is StatusCode.ERROR for span in telescope.spans)


async def test_a_search_does_not_show_its_token() -> None:
    """What looks for a model shows the token it was given to nobody who prints it."""
    search = models._Search(
        options=LocalOptions(),
        engine="torch",
        token=TOKEN,
        tell=None,
        cancelled=bool,
        wanted=(),
        hub_url=None,
        offline=True,
    )
    assert TOKEN not in repr(search)


async def test_a_token_shows_nowhere(
    engine: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A Hugging Face token is told to whoever looks for a model's files, and to nobody else."""
    passed: list[Any] = []
    find = models.find

    def watched(*args: Any, **options: Any) -> Any:
        passed.append(options["token"])
        return find(*args, **options)

    monkeypatch.setattr(models, "find", watched)
    seen: list[str] = []
    with caplog.at_level(logging.DEBUG):
        async with Client(TOKEN, provider="local", local=LocalOptions(engine=engine)) as client:
            await client.chat(QUESTION, tools=[TOOL], max_tokens=5)
            for name in ("./nowhere", "no/such-model"):
                offline = Client(TOKEN, provider="local", local=LocalOptions(engine=engine))
                monkeypatch.setenv("HF_HUB_OFFLINE", "1")
                with pytest.raises(HFClientError) as caught:
                    await offline.chat(QUESTION, model=name)
                error: BaseException | None = caught.value
                while error is not None:
                    seen += [str(error), repr(error), repr(vars(error))]
                    error = error.__cause__ or error.__context__
            side: Any = client._shared.sides.of(LOCAL)
            slot = side._shelf._slots["tiny"]
            things = (side, side._shelf, slot, slot.speaker, slot.worker, slot.told(), vars(side), vars(side._shelf))
            seen += [repr(each) for each in things]
            seen += [repr(vars(slot.worker)), repr(vars(slot.speaker)), repr(slot.worker._loaded)]
    seen += [record.getMessage() + str(record.exc_info) + caplog.text for record in caplog.records]
    assert not [text for text in seen if TOKEN in text]
    assert passed[0] in {TOKEN, None}
