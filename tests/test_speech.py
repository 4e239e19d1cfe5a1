"""Speech over OpenAI's routes: recordings sent as forms and written down, texts read aloud."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from hfclient import Client
from hfclient.errors import InputError, ResponseError
from hfclient.flow import post
from hfclient.media import Media
from hfclient.providers.table import PROVIDERS
from hfclient.types.files import Audio
from hfclient.types.text import Transcript
from hfclient.upload import PIECE, multipart, named
from tests.asking import ROWS, THEIRS, asked, asked_by_them, flow_of
from tests.flows import play, reply
from tests.internet import HF, MODEL, Internet, httpx, live
from tests.loopback import Loopback, answer, json_answer

ASR = "automatic-speech-recognition"
TTS = "text-to-speech"
ROUTES = {
    ("deepinfra", ASR): "/v1/openai/audio/transcriptions",
    ("deepinfra", TTS): "/v1/openai/audio/speech",
    ("together", ASR): "/v1/audio/transcriptions",
    ("together", TTS): "/v1/audio/speech",
}
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(32)
MP3 = b"ID3\x04" + bytes(32)
FLAC = b"fLaC" + bytes(32)
OGG = b"OggS" + bytes(300)
WEBM = b"\x1a\x45\xdf\xa3" + bytes(20) + b"webm" + bytes(60) + b"A_OPUS"
FILM = b"\x1a\x45\xdf\xa3" + bytes(20) + b"webm" + bytes(60) + b"A_OPUS V_VP8"
UNKNOWN = bytes(64)
RECORDING = Media(WAV)

every_asr = pytest.mark.parametrize("name", ["deepinfra", "together"])


def heard(name: str, audio: Media = RECORDING, **parts: Any) -> Any:
    return flow_of(name, asked(ASR, audio, **parts))


def fields_for(name: str, **parts: Any) -> Any:
    return next(heard(name, **parts)).data


def parts_of(body: bytes, content_type: str) -> list[tuple[str, str | None, str, bytes]]:
    """A form as its reader sees it: field, file's name, type and content of each part."""
    form = message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + body, policy=policy.HTTP)
    found = []
    for part in form.iter_parts():
        field = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((str(field), part.get_filename(), part.get_content_type(), content))
    return found


def form_of(data: dict[str, Any]) -> list[tuple[str, str]]:
    form = multipart(data, [])
    assert form.whole is not None
    return [(field, content.decode()) for field, _, _, content in parts_of(form.whole, form.media_type or "")]


def test_who_does_it() -> None:
    """Groq and OpenAI have such routes, but the Hub lists nobody's models for them there."""
    found = {(row.name, task) for row in PROVIDERS for task in (ASR, TTS) if task in row.tasks}
    assert {pair for pair in found if pair[0] in {"deepinfra", "together", "groq", "openai"}} == set(ROUTES)


@every_asr
def test_a_recording_is_sent_as_a_form(name: str) -> None:
    """One request, the model first, and the recording as it was given: the transport streams it from disk."""
    audio = Media(Path("talk.flac"))
    extra = {"language": "en", "temperature": 0.5, "diarize": True}
    step = next(heard(name, audio, extra=extra))
    fields = {"model": THEIRS, **extra}
    assert step == post(ROUTES[name, ASR], data=fields, files={"file": ("audio.wav", audio, "")})
    assert next(iter(step.data)) == "model"


@every_asr
def test_nothing_takes_the_place_of_the_providers_model(name: str) -> None:
    """The mapped model wins over a `model` among the parameters."""
    assert fields_for(name, extra={"model": "somebody/else"}) == {"model": THEIRS}


@pytest.mark.parametrize(
    ("name", "stamps", "fields"),
    [
        ("deepinfra", True, {"response_format": "verbose_json"}),
        ("deepinfra", "word", {"response_format": "verbose_json", "timestamp_granularities[]": ["word"]}),
        ("together", "word", {"response_format": "verbose_json", "timestamp_granularities": ["word"]}),
        ("together", False, {}),
    ],
)
def test_times_are_asked_for_in_openais_words(name: str, stamps: Any, fields: dict[str, Any]) -> None:
    """`return_timestamps` is Hugging Face's word, and no OpenAI-like route knows it."""
    assert fields_for(name, parameters={"return_timestamps": stamps}) == {"model": THEIRS, **fields}


def test_the_callers_own_form_of_answer_wins() -> None:
    """`response_format` and granularities may be named outright, with or without OpenAI's brackets."""
    extra = {"response_format": "json", "timestamp_granularities": ["segment"]}
    parameters = {"return_timestamps": "word"}
    fields = {"model": THEIRS, "response_format": "json", "timestamp_granularities[]": ["segment"]}
    assert fields_for("deepinfra", parameters=parameters, extra=extra) == fields
    assert fields_for("deepinfra", extra={"include[]": ["logprobs"]}) == {"model": THEIRS, "include[]": ["logprobs"]}


def test_how_to_generate_stands_beside_the_rest() -> None:
    """A form is flat; what is said outright wins over what is said among the generation parameters."""
    parameters = {"generation_parameters": {"temperature": 0.2, "top_k": 5}}
    assert fields_for("deepinfra", parameters=parameters, extra={"top_k": 6}) == {
        "model": THEIRS,
        "temperature": 0.2,
        "top_k": 6,
    }


def test_null_is_not_said() -> None:
    """A form has no word for it, and "null" would be a language."""
    assert fields_for("together", extra={"language": None}) == {"model": THEIRS}


def test_an_address_goes_where_it_is_taken() -> None:
    """Together fetches recordings itself; DeepInfra does not, so they are fetched and sent on."""
    audio = Media("https://host.invalid/talk.mp3?sig=1")
    path = ROUTES["together", ASR]
    data = {"model": THEIRS, "file": audio.url}
    assert next(heard("together", audio)) == post(path, data=data, files={})
    assert next(heard("deepinfra", audio)).files == {"file": ("audio.wav", audio, "")}
    data_uri = Media("data:audio/mpeg;base64,SUQz")
    assert next(heard("together", data_uri)).files == {"file": ("audio.wav", data_uri, "")}


def test_fields_are_text_and_everything_else_is_json() -> None:
    """true and false, numbers and objects as JSON has them, and a list as a field for each of its items."""
    data = {
        "model": "org/ünï",
        "diarize": True,
        "stream": False,
        "temperature": 0.5,
        "n": 2,
        "chunking": {"type": "vad", "é": None},
        "granularities[]": ["word", "segment"],
        "numbers": (1, 2.5),
        "nobody": [],
        "empty": "",
    }
    assert form_of(data) == [
        ("model", "org/ünï"),
        ("diarize", "true"),
        ("stream", "false"),
        ("temperature", "0.5"),
        ("n", "2"),
        ("chunking", '{"type":"vad","é":null}'),
        ("granularities[]", "word"),
        ("granularities[]", "segment"),
        ("numbers", "1"),
        ("numbers", "2.5"),
        ("empty", ""),
    ]


@pytest.mark.parametrize(
    "value", [float("nan"), object(), b"bytes", [{1: float("inf")}]], ids=["nan", "object", "bytes", "infinity"]
)
def test_what_a_form_cannot_say_is_the_callers_error(value: object) -> None:
    """As in JSON: nothing is sent, and the error says why."""
    with pytest.raises(InputError, match="JSON"):
        multipart({"x": value}, [])


@pytest.mark.parametrize(
    ("found", "name", "kind"),
    [
        ("audio/mpeg", "audio.mp3", "audio/mpeg"),
        ("audio/x-wav", "audio.wav", "audio/x-wav"),
        ("audio/x-flac", "audio.flac", "audio/x-flac"),
        ("audio/mp4", "audio.m4a", "audio/mp4"),
        ("audio/webm", "audio.webm", "audio/webm"),
        ("video/mp4", "audio.mp4", "video/mp4"),
        ("application/octet-stream", "audio.wav", "application/octet-stream"),
        ("audio/pcm", "audio.wav", "audio/pcm"),
        (None, "audio.wav", "application/octet-stream"),
    ],
)
def test_a_file_is_named_after_what_is_in_it(found: str | None, name: str, kind: str) -> None:
    """Where its type was left open; where nobody knows an ending for it, the name stays."""
    assert named("audio.wav", "", found) == (name, kind)
    assert named("a.png", "image/png", found) == ("a.png", "image/png")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("source", "name", "kind"),
    [
        (WAV, "audio.wav", "audio/wav"),
        (MP3, "audio.mp3", "audio/mpeg"),
        (FLAC, "audio.flac", "audio/flac"),
        (OGG, "audio.ogg", "audio/ogg"),
        (WEBM, "audio.webm", "audio/webm"),
        (FILM, "audio.webm", "video/webm"),
        (UNKNOWN, "audio.wav", "application/octet-stream"),
        (Media(UNKNOWN, "audio/aac"), "audio.aac", "audio/aac"),
    ],
    ids=["wav", "mp3", "flac", "ogg", "webm", "film", "unknown", "labelled"],
)
async def test_the_form_on_the_wire(source: Any, name: str, kind: str) -> None:
    """The server sees the fields as text, and the file under a name and a type that fit its bytes."""
    content = source.source if isinstance(source, Media) else source
    with Loopback(lambda _: json_answer({"text": "Hello."})) as server:
        async with Client.endpoint(f"{server.url}/v1", model=MODEL) as client:
            transcript = await client.automatic_speech_recognition(
                source, return_timestamps="word", extra_body={"language": "en", "vad": True}
            )
        (request,) = server.requests
    assert request.path == "/v1/audio/transcriptions"
    assert parts_of(request.body, request.headers["content-type"]) == [
        ("model", None, "text/plain", MODEL.encode()),
        ("response_format", None, "text/plain", b"verbose_json"),
        ("timestamp_granularities[]", None, "text/plain", b"word"),
        ("language", None, "text/plain", b"en"),
        ("vad", None, "text/plain", b"true"),
        ("file", name, kind, content),
    ]
    assert (transcript.text, transcript.chunks) == ("Hello.", None)


@pytest.mark.anyio
async def test_a_large_file_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named by its first bytes and never read whole; what arrives is all of it."""
    content = FLAC + bytes(range(256)) * (3 * PIECE // 256)
    (tmp_path / "talk").write_bytes(content)

    def read(_: Media) -> None:
        raise AssertionError("it was read whole")

    monkeypatch.setattr(Media, "read", read)
    with Loopback(lambda _: json_answer({"text": "Hello."})) as server:
        async with Client.endpoint(f"{server.url}/v1") as client:
            await client.automatic_speech_recognition(tmp_path / "talk")
        (request,) = server.requests
    assert parts_of(request.body, request.headers["content-type"]) == [("file", "audio.flac", "audio/flac", content)]
    assert int(request.headers["content-length"]) == len(request.body)


@pytest.mark.anyio
async def test_a_recording_at_an_address_is_named_after_what_it_is() -> None:
    """Where the server does not fetch it, we do, without the call's key."""
    with (
        Loopback(lambda _: json_answer({"text": "Hello."})) as server,
        Loopback(lambda _: answer(MP3, headers={"content-type": "audio/mpeg"})) as host,
    ):
        async with Client.endpoint(f"{server.url}/v1", "own_fake_0123") as client:
            await client.automatic_speech_recognition(f"{host.url}/talk")
        (request,) = server.requests
        assert "authorization" not in host.requests[0].headers
    assert parts_of(request.body, request.headers["content-type"])[0][1:] == ("audio.mp3", "audio/mpeg", MP3)


SEGMENTS = [{"id": 0, "start": 0.0, "end": 1.5, "text": " Hello."}, {"start": 1.5, "end": None, "text": " You."}]
WORDS = [{"word": "Hello", "start": 0.0, "end": 0.7, "speaker_id": "A"}, {"word": "you", "start": 1.5, "end": 2}]
CHUNKS = [{"text": "Hello.", "timestamp": [0, 1.5]}]
BY_SEGMENT = [(" Hello.", (0.0, 1.5)), (" You.", (1.5, None))]
BY_WORD = [("Hello", (0.0, 0.7)), ("you", (1.5, 2.0))]


@pytest.mark.parametrize(
    ("told", "stamps", "chunks"),
    [
        ({}, True, None),
        ({"segments": None, "words": None}, True, None),
        ({"segments": SEGMENTS}, True, BY_SEGMENT),
        ({"words": WORDS}, "word", BY_WORD),
        ({"segments": SEGMENTS, "words": WORDS}, "word", BY_WORD),
        ({"segments": SEGMENTS, "words": WORDS}, True, BY_SEGMENT),
        ({"segments": SEGMENTS}, "word", BY_SEGMENT),
        ({"chunks": CHUNKS}, True, [("Hello.", (0, 1.5))]),
        ({"segments": []}, True, []),
        ({"segments": ["x", None, {"text": "?"}]}, True, [("?", (None, None))]),
    ],
)
@every_asr
def test_times_become_chunks(name: str, told: dict[str, Any], stamps: Any, chunks: Any) -> None:
    """Whether the server calls them segments, words or chunks; words only come first if they were asked for."""
    payload = {"text": "Hello. You.", "language": "en", **told}
    steps, transcript = play(heard(name, parameters={"return_timestamps": stamps}), reply(payload))
    assert len(steps) == 1
    assert (type(transcript), transcript.text, transcript.language) == (Transcript, "Hello. You.", "en")
    found = None if transcript.chunks is None else [(chunk.text, chunk.timestamp) for chunk in transcript.chunks]
    assert found == chunks


def test_what_else_is_told_of_a_piece_is_kept() -> None:
    """Speakers and probabilities stand beside the text."""
    _, transcript = play(heard("together"), reply({"text": "Hello you", "words": WORDS}))
    assert transcript.chunks[0].speaker_id == "A"


@pytest.mark.parametrize("kind", ["text", "srt", "vtt"])
def test_a_plain_answer_is_the_text(kind: str) -> None:
    """Whoever asks for subtitles gets them as they are; a server that answers in JSON all the same is understood."""
    said = "1\n00:00:00,000 --> 00:00:01,500\nHello.\n"
    _, transcript = play(heard("deepinfra", extra={"response_format": kind}), reply(said.encode()))
    assert transcript == Transcript(text=said)
    _, transcript = play(heard("deepinfra", extra={"response_format": kind}), reply({"text": "Hello."}))
    assert transcript.text == "Hello."


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({}, "no Transcript: text"),
        ([], "no Transcript"),
        ({"text": None, "segments": SEGMENTS}, "no Transcript: text"),
        ({"text": "x", "segments": [{"text": "x", "start": "soon"}]}, "timestamp"),
        ({"error": {"message": "audio_too_long"}}, "audio_too_long"),
        (b"1\n00:00:00,000 --> 00:00:01,500\nHello.\n", "not JSON"),
        (b"<html>busy</html>", "not JSON"),
    ],
    ids=repr,
)
@every_asr
def test_what_is_no_transcript_is_refused(name: str, payload: object, said: str) -> None:
    """A success without a text, and an error that came as a success, are typed errors."""
    with pytest.raises(ResponseError, match=said):
        play(heard(name), reply(payload))


@pytest.mark.parametrize(
    "extra",
    [{}, {"language": "en", "temperature": 0.5, "diarize": True, "prompt": "Ünï", "options": {"a": 1}, "n": None}],
    ids=["plain", "extra"],
)
def test_the_form_is_the_official_clients(extra: dict[str, Any]) -> None:
    """The same fields and the same file as huggingface_hub's, but for its name and type, which it cannot know."""
    theirs = asked_by_them("deepinfra", asked(ASR, MP3, extra=extra))
    ours = next(heard("deepinfra", Media(MP3), extra=extra))
    assert ROWS["deepinfra"].url + ours.path == theirs.url
    form = parts_of(bytes(theirs.data), theirs.headers["content-type"])
    told = [(field, json.loads(text) if field == "options" else text) for field, text in form_of(ours.data)]
    other = [(field, content.decode()) for field, filename, _, content in form if filename is None]
    assert sorted(told, key=str) == sorted(
        [(field, json.loads(text) if field == "options" else text) for field, text in other], key=str
    )
    assert [part for part in form if part[0] == "file"] == [("file", "audio.wav", "application/octet-stream", MP3)]


def aloud(name: str, model_id: str = THEIRS, **parts: Any) -> Any:
    return flow_of(name, asked(TTS, "Hello.", **parts), model_id)


@pytest.mark.parametrize("name", ["deepinfra", "together"])
def test_a_text_is_read_aloud(name: str) -> None:
    """One request, the model first and nobody else's; the body of the answer is the sound."""
    extra = {"voice": "tara", "response_format": "mp3", "model": "attacker/model"}
    steps, audio = play(
        aloud(name, parameters={"temperature": 0.5}, extra=extra),
        reply(MP3, headers={"content-type": "audio/mpeg"}),
    )
    body = {"model": THEIRS, "input": "Hello.", "temperature": 0.5, "voice": "tara", "response_format": "mp3"}
    assert steps == [post(ROUTES[name, TTS], json=body)]
    assert next(iter(steps[0].json)) == "model"
    assert (type(audio), audio.content, audio.media_type) == (Audio, MP3, "audio/mpeg")


@pytest.mark.parametrize(
    ("name", "model_id", "extra", "voice"),
    [
        ("together", "hexgrad/Kokoro-82M", {}, "af_alloy"),
        ("together", "hexgrad/kokoro-82m", {"voice": "am_adam"}, "am_adam"),
        ("together", "canopylabs/orpheus-3b", {}, None),
        ("deepinfra", "hexgrad/Kokoro-82M", {}, None),
    ],
)
def test_kokoro_has_a_voice_at_together(name: str, model_id: str, extra: dict[str, Any], voice: str | None) -> None:
    """Together insists on one; another model's voices are its own, so its error is left to say which there are."""
    body = next(aloud(name, model_id, extra=extra)).json
    assert body.get("voice") == voice
    assert next(iter(body)) == "model"


@pytest.mark.parametrize("declared", ["application/octet-stream", "", "text/plain", "binary/octet-stream"])
def test_a_sound_is_known_by_its_bytes(declared: str) -> None:
    """Servers that mislabel what they made are understood."""
    _, audio = play(aloud("deepinfra"), reply(WAV, headers={"content-type": declared}))
    assert audio.media_type == "audio/wav"


@pytest.mark.parametrize(
    ("content", "declared", "said"),
    [
        (b'{"not": "audio"}', "audio/mpeg", "where audio was due"),
        (b'{"error": {"message": "no such voice"}}', "application/json", "no such voice"),
        (b"", "audio/mpeg", "empty"),
        (b"<html>busy</html>", "text/html", "text/html"),
        (b"Internal Server Error", "text/plain", "text/plain"),
        (b'data: {"type": "speech.audio.delta"}\n\n', "text/event-stream", "text/event-stream"),
    ],
)
def test_what_is_no_sound_is_refused(content: bytes, declared: str, said: str) -> None:
    """Words in a sound's place are an error, never a file that nothing can play."""
    with pytest.raises(ResponseError, match=said):
        play(aloud("together"), reply(content, headers={"content-type": declared}))


@pytest.mark.parametrize("extra", [{}, {"voice": "tara", "speed": 1.5}], ids=["plain", "extra"])
@pytest.mark.parametrize("name", ["deepinfra", "together"])
def test_the_request_is_the_official_clients(name: str, extra: dict[str, Any]) -> None:
    """Address and body agree with huggingface_hub's."""
    call = asked(TTS, "Hello.", {"temperature": 0.5, "do_sample": True}, extra)
    theirs = asked_by_them(name, call)
    ours = next(flow_of(name, call))
    assert (ROWS[name].url + ours.path, ours.json) == (theirs.url, theirs.json)


@pytest.mark.anyio
async def test_speech_comes_through_the_router() -> None:
    """With a Hugging Face token, both rows' paths stand under the router's address for the provider."""
    with Internet() as internet:
        internet.serves(MODEL, deepinfra=live("whisper", ASR), together=live("kokoro-82m", TTS))
        internet.at("router/deepinfra", httpx.Response(200, json={"text": "Hello."}))
        internet.at("router/together", httpx.Response(200, content=WAV, headers={"content-type": "audio/wav"}))
        async with Client(HF) as client:
            transcript = await client.automatic_speech_recognition(WAV, model=MODEL)
            audio = await client.text_to_speech("Hello.", model=MODEL)
        sent = internet.sent("router/deepinfra")
        assert sent.url.path == "/deepinfra/v1/openai/audio/transcriptions"
        assert parts_of(sent.content, sent.headers["content-type"])[0] == ("model", None, "text/plain", b"whisper")
        assert internet.sent("router/together").url.path == "/together/v1/audio/speech"
        assert internet.body("router/together") == {"model": "kokoro-82m", "input": "Hello.", "voice": "af_alloy"}
    assert (transcript.text, transcript.meta.provider) == ("Hello.", "deepinfra")
    assert (audio.content, audio.meta.provider) == (WAV, "together")
