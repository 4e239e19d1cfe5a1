"""The providers, a row each. One that speaks OpenAI's protocol needs nothing but its row."""

from __future__ import annotations

from hfclient.provider import Provider
from hfclient.providers import black_forest_labs, novita, together_video, wavespeed, zai
from hfclient.providers.completions import completions
from hfclient.providers.embeddings import embeddings
from hfclient.providers.endpoint import endpoint_tasks
from hfclient.providers.fal_tasks import FAL_ANY_TASK, FAL_TASKS
from hfclient.providers.hf_inference import any_task, hf_tasks
from hfclient.providers.images import images, measured, referring, sized
from hfclient.providers.openai_compatible import by_default, chat, json_schema_as, renamed, without, without_prefix
from hfclient.providers.replicate_tasks import REPLICATE_ANY_TASK, REPLICATE_TASKS
from hfclient.providers.speech import kokoro_speaks_as, speech, transcriptions

CHAT = "conversational"
GENERATION = "text-generation"
EMBEDDINGS = "feature-extraction"
IMAGE = "text-to-image"
IMAGE_FROM_IMAGE = "image-to-image"
SPEECH = "text-to-speech"
TRANSCRIPT = "automatic-speech-recognition"

TOGETHERS_IMAGES = images(
    "/v1/images/generations",
    by_default(response_format="base64"),
    renamed(num_inference_steps="steps"),
    measured,
    referring,
)

PROVIDERS: tuple[Provider, ...] = (
    Provider("baseten", "https://inference.baseten.co", {CHAT: chat()}, ("BASETEN_API_KEY",)),
    Provider(
        "black-forest-labs",
        black_forest_labs.URL,
        black_forest_labs.TASKS,
        ("BFL_API_KEY",),
        scheme="",
        key_header="x-key",
        routed=False,
        mapped=False,
    ),
    Provider(
        "cerebras",
        "https://api.cerebras.ai",
        {CHAT: chat("/v1/chat/completions", without("store"))},  # answered with 400 wrong_api_format otherwise
        ("CEREBRAS_API_KEY",),
    ),
    Provider(
        "cohere",
        "https://api.cohere.com",
        {CHAT: chat("/compatibility/v1/chat/completions", json_schema_as("json_object"))},
        ("COHERE_API_KEY", "CO_API_KEY"),
    ),
    Provider(
        "deepinfra",
        "https://api.deepinfra.com",
        {
            CHAT: chat("/v1/openai/chat/completions"),
            GENERATION: completions("/v1/openai/completions"),
            EMBEDDINGS: embeddings("/v1/openai/embeddings"),
            IMAGE: images("/v1/openai/images/generations", by_default(response_format="b64_json"), sized),
            SPEECH: speech("/v1/openai/audio/speech"),
            TRANSCRIPT: transcriptions("/v1/openai/audio/transcriptions"),
        },
        ("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
    ),
    Provider("fal-ai", "https://fal.run", FAL_TASKS, ("FAL_KEY", "FAL_API_KEY"), scheme="Key", otherwise=FAL_ANY_TASK),
    Provider(
        "featherless-ai",
        "https://api.featherless.ai",
        {CHAT: chat(), GENERATION: completions()},
        ("FEATHERLESS_API_KEY",),
    ),
    Provider(
        "fireworks-ai",
        "https://api.fireworks.ai",
        {CHAT: chat("/inference/v1/chat/completions")},  # takes OpenAI's json_schema as it is by now
        ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    ),
    Provider("groq", "https://api.groq.com", {CHAT: chat("/openai/v1/chat/completions")}, ("GROQ_API_KEY",)),
    Provider(
        "hf-inference",
        "https://router.huggingface.co/hf-inference",
        {
            CHAT: chat("/models/{model_id}/v1/chat/completions"),
            # OpenAI's completions, since models that vLLM serves there have nothing else.
            GENERATION: completions("/models/{model_id}/v1/completions"),
            **hf_tasks("/models/{model_id}", pipeline="/pipeline/"),
        },
        otherwise=any_task("/models/{model_id}"),
    ),
    Provider(
        "hyperbolic",
        "https://api.hyperbolic.xyz",
        {
            CHAT: chat(),
            IMAGE: images(
                "/v1/images/generations",
                renamed(model="model_name", num_inference_steps="steps", guidance_scale="cfg_scale"),
                by_default(width=512, height=512),  # answered with 422 where one of them is missing
            ),
        },
        ("HYPERBOLIC_API_KEY",),
        routed=False,
    ),
    Provider(
        "mistral",
        "https://api.mistral.ai",
        # Refuses fields it does not know, has its own name for the seed, and counts tokens in streams unasked.
        {CHAT: chat("/v1/chat/completions", renamed(seed="random_seed"), without("stream_options"))},
        ("MISTRAL_API_KEY",),
        routed=False,
        mapped=False,
    ),
    Provider(
        "nebius",
        "https://api.tokenfactory.nebius.com",
        {
            CHAT: chat(),
            # The official clients took guidance_scale away: this route has nothing of the kind.
            IMAGE: images("/v1/images/generations", by_default(response_format="b64_json"), without("guidance_scale")),
        },
        ("NEBIUS_API_KEY",),
        routed=False,
    ),
    Provider(
        "novita",
        "https://api.novita.ai",
        {
            CHAT: chat("/v3/openai/chat/completions"),
            GENERATION: completions("/v3/openai/completions"),
            **novita.TASKS,
        },
        ("NOVITA_API_KEY",),
    ),
    Provider(
        "nscale",
        "https://inference.api.nscale.com",
        {
            CHAT: chat(),
            IMAGE: images(
                "/v1/images/generations",
                by_default(response_format="b64_json"),
                sized,
                without("num_inference_steps", "cfg_scale"),  # which its route does not take
            ),
        },
        ("NSCALE_API_KEY", "NSCALE_SERVICE_TOKEN"),
    ),
    Provider(
        "openai",
        "https://api.openai.com",
        {CHAT: chat("/v1/chat/completions", without_prefix("openai/"))},  # api.openai.com knows no openai/… ids
        ("OPENAI_API_KEY",),
        routed=False,
        mapped=False,
    ),
    Provider(
        "ovhcloud",
        "https://oai.endpoints.kepler.ai.cloud.ovh.net",
        {CHAT: chat(), GENERATION: completions()},
        ("OVH_AI_ENDPOINTS_ACCESS_TOKEN", "OVHCLOUD_API_KEY"),
    ),
    Provider("publicai", "https://api.publicai.co", {CHAT: chat()}, ("PUBLICAI_API_KEY",)),
    Provider(
        "replicate",
        "https://api.replicate.com",
        REPLICATE_TASKS,
        ("REPLICATE_API_TOKEN", "REPLICATE_API_KEY"),
        otherwise=REPLICATE_ANY_TASK,
    ),
    Provider("sambanova", "https://api.sambanova.ai", {CHAT: chat()}, ("SAMBANOVA_API_KEY",), routed=False),
    Provider(
        "scaleway",
        "https://api.scaleway.ai",
        {CHAT: chat(), GENERATION: completions(), EMBEDDINGS: embeddings()},
        ("SCW_SECRET_KEY", "SCALEWAY_API_KEY"),
    ),
    Provider(
        "together",
        "https://api.together.xyz",
        {
            CHAT: chat("/v1/chat/completions", json_schema_as("json_schema")),
            GENERATION: completions(),
            EMBEDDINGS: embeddings(),
            IMAGE: TOGETHERS_IMAGES,
            IMAGE_FROM_IMAGE: TOGETHERS_IMAGES,
            SPEECH: speech("/v1/audio/speech", kokoro_speaks_as("af_alloy")),
            TRANSCRIPT: transcriptions(
                "/v1/audio/transcriptions",
                renamed(**{"timestamp_granularities[]": "timestamp_granularities"}),
                takes_addresses=True,
            ),
            **together_video.TASKS,
        },
        ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
    ),
    Provider(
        "wavespeed", "https://api.wavespeed.ai", wavespeed.TASKS, ("WAVESPEED_API_KEY",), otherwise=wavespeed.ANYTHING
    ),
    Provider(
        "zai-org",
        "https://api.z.ai",
        {CHAT: chat("/api/paas/v4/chat/completions"), **zai.TASKS},
        ("ZAI_API_KEY", "Z_AI_API_KEY"),
        headers={"x-source-channel": "hugging_face", "accept-language": "en-US,en"},
    ),
)

ROUTER = Provider("auto", "https://router.huggingface.co", {CHAT: chat()})
ENDPOINT = Provider("endpoint", "", endpoint_tasks(), routed=False, otherwise=any_task(""))
