"""Speech as OpenAI's API has it: recordings, sent as forms, are written down, and texts are read aloud."""

from __future__ import annotations

from typing import cast

from hfclient.call import Call
from hfclient.flow import JSON, Flow, Response, json_or_none, post
from hfclient.media import Media
from hfclient.provider import Task
from hfclient.providers.files import from_body
from hfclient.providers.openai_compatible import Body, Change, body_of, filled_path
from hfclient.providers.reading import at, first_of, payload_of, read
from hfclient.route import Route
from hfclient.types.files import Audio
from hfclient.types.text import Transcript

TRANSCRIPTIONS_PATH = "/v1/audio/transcriptions"
SPEECH_PATH = "/v1/audio/speech"

NAME = "audio.wav"  # what both official clients say where nobody knows better: servers go by the ending
PLAIN_FORMATS = frozenset({"text", "srt", "vtt"})


def transcriptions(path: str = TRANSCRIPTIONS_PATH, *changes: Change, takes_addresses: bool = False) -> Task:
    """What is said in a recording, which is streamed from disk; `takes_addresses` where the provider fetches it."""

    def run(call: Call, route: Route) -> Flow[Transcript]:
        audio: Media = call.inputs
        fields = {
            name: value
            for name, value in body_of(route, {}, _in_openai_terms(call), (_bracketed, *changes)).items()
            if value is not None  # which a form cannot say
        }
        if takes_addresses and audio.is_remote:
            request = post(filled_path(path, route), data={**fields, "file": audio.url}, files={})
        else:
            request = post(filled_path(path, route), data=fields, files={"file": (NAME, audio, "")})
        reply: Response = yield request
        if fields.get("response_format") in PLAIN_FORMATS and not isinstance(json_or_none(reply.content), dict):
            return Transcript(text=reply.text())
        return _transcript(reply, by_word=call.arguments.get("return_timestamps") == "word")

    return Task(run)


def speech(path: str = SPEECH_PATH, *changes: Change) -> Task:
    """A text read aloud: the answer is the sound."""

    def run(call: Call, route: Route) -> Flow[Audio]:
        body = body_of(route, {"input": call.inputs}, call.arguments, changes)
        reply: Response = yield post(filled_path(path, route), json=body)
        return from_body(Audio, reply)

    return Task(run)


def kokoro_speaks_as(voice: str) -> Change:
    """The provider insists on a voice; each model has its own, and of Kokoro's this one speaks if none is named."""

    def change(body: Body) -> Body:
        return {**body, "voice": body.get("voice", voice)} if "kokoro" in str(body.get("model")).lower() else body

    return change


def _in_openai_terms(call: Call) -> Body:
    """OpenAI's API times what is said only in its longer form; that it shall not is how it is anyway."""
    arguments = call.arguments
    arguments = {**cast("Body", arguments.pop("generation_parameters", None) or {}), **arguments}
    match arguments.pop("return_timestamps", None):
        case "word":
            return {"response_format": "verbose_json", "timestamp_granularities": ["word"], **arguments}
        case True:
            return {"response_format": "verbose_json", **arguments}
        case _:
            return arguments


def _bracketed(fields: Body) -> Body:
    """In forms, OpenAI's API marks lists by their name: `timestamp_granularities[]`."""
    return {
        f"{name}[]" if isinstance(value, list | tuple) and not name.endswith("[]") else name: value
        for name, value in fields.items()
    }


def _transcript(reply: Response, *, by_word: bool) -> Transcript:
    payload = first_of(payload_of(reply, "a transcript"))
    names = ("chunks", "words", "segments") if by_word else ("chunks", "segments", "words")
    for name in names:
        if isinstance(at(payload, name), list):
            chunks = [_chunk(piece) for piece in payload[name] if isinstance(piece, dict)]
            return read(Transcript, {**payload, "chunks": chunks}, reply)
    return read(Transcript, payload, reply)


def _chunk(piece: JSON) -> JSON:
    """A segment or a word, whichever its server calls it."""
    times = piece.get("timestamp") or (piece.get("start"), piece.get("end"))
    return {**piece, "text": piece.get("text") or piece.get("word") or "", "timestamp": times}
