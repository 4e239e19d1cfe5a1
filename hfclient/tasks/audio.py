"""Speech and sound: written down, classified, changed, made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import TypedDict, Unpack

from hfclient.call import FileOptions, Options
from hfclient.tasks.arguments import MediaInput, Text, ask
from hfclient.tasks.language import Transform
from hfclient.types.files import Audio
from hfclient.types.items import Items
from hfclient.types.labels import Label, Track
from hfclient.types.text import Transcript

if TYPE_CHECKING:
    from hfclient.client import Client


class SoundParameters(TypedDict, total=False):
    """How the sound is to be made, under the names that Hugging Face documents; None is not sent."""

    do_sample: bool | None
    early_stopping: bool | Literal["never"] | None
    epsilon_cutoff: float | None
    eta_cutoff: float | None
    max_length: int | None
    max_new_tokens: int | None
    min_length: int | None
    min_new_tokens: int | None
    num_beam_groups: int | None
    num_beams: int | None
    penalty_alpha: float | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    typical_p: float | None
    use_cache: bool | None


class SoundOptions(SoundParameters, FileOptions, total=False):
    """Everything that making a sound takes besides text and model."""


async def automatic_speech_recognition(
    client: Client,
    audio: MediaInput,
    *,
    model: str | None = None,
    return_timestamps: bool | Literal["word"] | None = None,
    generation_parameters: Mapping[str, Any] | None = None,
    **options: Unpack[Options],
) -> Transcript:
    """Write down what is said in a recording.

    >>> transcript = await client.automatic_speech_recognition("talk.wav", model="openai/whisper-large-v3")
    >>> print(transcript.text)
    """
    return await ask(automatic_speech_recognition, locals())


async def audio_classification(
    client: Client,
    audio: MediaInput,
    *,
    model: str | None = None,
    top_k: int | None = None,
    function_to_apply: Transform | None = None,
    **options: Unpack[Options],
) -> Items[Label]:
    """Say which classes a sound is of, the likeliest first.

    >>> labels = await client.audio_classification("talk.wav")
    """
    return await ask(audio_classification, locals())


async def audio_to_audio(
    client: Client, audio: MediaInput, *, model: str | None = None, **options: Unpack[Options]
) -> Items[Track]:
    """Change a sound, or take it apart; each part is a track.

    >>> tracks = await client.audio_to_audio("talk.wav")
    >>> tracks[0].audio.save("clean.wav")
    """
    return await ask(audio_to_audio, locals())


async def text_to_speech(
    client: Client, text: Text, *, model: str | None = None, **options: Unpack[SoundOptions]
) -> Audio:
    """Read a text aloud. Voices are each provider's own: `extra_body={"voice": …}`.

    >>> audio = await client.text_to_speech("Hello there.", model="hexgrad/Kokoro-82M")
    >>> audio.save("hello.wav")
    """
    return await ask(text_to_speech, locals())


async def text_to_audio(
    client: Client, text: Text, *, model: str | None = None, **options: Unpack[SoundOptions]
) -> Audio:
    """Make music or noises from a text.

    >>> audio = await client.text_to_audio("Rain on a tin roof")
    """
    return await ask(text_to_audio, locals())
