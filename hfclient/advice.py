"""What an error response means: which error it is, and what to do next."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from hfclient.errors import (
    AuthenticationError,
    BadRequestError,
    CreditsError,
    ModelLoadingError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StatusError,
    function_for,
)


@dataclass(frozen=True, slots=True)
class Said:
    """An error response, read and cleaned of keys: what its meaning is judged by."""

    status: int
    words: str
    code: str | None
    provider: str
    model: str | None
    task: str
    wait: float | None
    location: str


_KINDS: dict[int, type[StatusError]] = {
    401: AuthenticationError,
    402: CreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: StatusError,
    409: StatusError,
    410: NotFoundError,
    424: ServerError,  # text-generation-inference: the model failed
    425: StatusError,
    429: RateLimitError,
    503: ModelLoadingError,
}

_FIRST_ERROR = 400

_UNSUPPORTED = re.compile(
    r"(?i)not supported by (?:any )?provider|\bmodel\b[^.]{0,150} (?:is not|isn't) supported\b|unsupported model"
    r"|not supported for now|does not support (?:the )?task"
)
_SUPPORTED_TASK = re.compile(r"""(?i)supported tasks?:?\s*["'`]?([a-z]+(?:-[a-z]+)*)""")
_NO_CHAT = re.compile(r"(?i)not a chat model|template not found|no chat[ _]template|not support chat")
_ONLY_CHAT = re.compile(r"(?i)(?:is|only) a chat model|not a (?:text )?completions? model|only supports? chat")
_TOO_LONG = re.compile(
    r"(?i)context[ _](?:length|window)|max_new_tokens` must be|too many tokens|(?:prompt|input) is too long"
)


def kind_of(said: Said) -> type[StatusError]:
    if _is_unknown_model(said):
        return NotFoundError if said.status == 404 else NotSupportedError  # noqa: PLR2004  the status itself
    if said.status in {400, 404, 405, 422} and (
        said.code == "model_not_supported" or _UNSUPPORTED.search(said.words) or _right_task(said)
    ):
        return NotSupportedError
    if said.status in _KINDS:
        return _KINDS[said.status]
    by_hundreds: dict[int, type[StatusError]] = {4: BadRequestError, 5: ServerError}
    return by_hundreds.get(min(said.status // 100, 5), StatusError)


def _right_task(said: Said) -> str | None:
    """The task this model does serve, where the service complains that it is not the one asked for."""
    named = _SUPPORTED_TASK.search(said.words)
    task = named[1] if named else None
    if said.task == "conversational" and _NO_CHAT.search(said.words):
        task = "text-generation"
    elif said.task == "text-generation" and _ONLY_CHAT.search(said.words):
        task = "conversational"
    return task if task != said.task else None


def advice(said: Said) -> str:
    """What to do next, in a sentence or two."""
    if kind_of(said) is NotSupportedError:
        return _not_supported(said)
    if _is_unknown_model(said) and not _is_own_server(said):
        return f"Check the model's name. {_where_served(said)}"
    if said.status in {401, 403} and _is_gated(said):
        return f"The model is gated. Ask for access at {_page(said.model)}, and use a token of that account."
    if said.status in {401, 404} and said.code == "RepoNotFound":
        return f"There is no such model, or it is private and needs another key; see {_page(said.model)}."
    if _is_own_server(said) and said.status in _ADVICE_FOR_OWN_SERVER:
        return _ADVICE_FOR_OWN_SERVER[said.status]
    if said.status in _ADVICE:
        return _ADVICE[said.status]
    return _by_status(said)


def _is_unknown_model(said: Said) -> bool:
    return said.status in {400, 404, 422} and said.code == "model_not_found"


def _is_own_server(said: Said) -> bool:
    """The caller's own address: no other provider, and none of the Hub's pages, is of any help."""
    return said.provider == "endpoint"


def _by_status(said: Said) -> str:
    match said.status:
        case 403:
            return _permission(said)
        case 404:
            return f"Check the model's name. {_where_served(said)}"
        case 429:
            wait = f"{math.ceil(said.wait)} s" if said.wait else "a while"
            others = ' Given a list, provider=["groq", "together"], the next one takes over.'
            return f"Wait {wait}, or let retry=Retry(attempts=4, statuses={{429, 503}}) do it." + (
                "" if _is_own_server(said) else others
            )
        case 503:
            what = "The model is being loaded" if "loading" in said.words.lower() else "The service is busy or down"
            when = f"in about {math.ceil(said.wait)} s" if said.wait else "in a while"
            return f"{what}: try again {when}, or let retry=Retry(attempts=4) do it."
        case 504:
            if said.task == "conversational":
                return "The gateway gave up waiting: try again. Streaming avoids such waits: client.chat.stream(…)."
            return "The gateway gave up waiting. Ask for less, such as fewer steps or a smaller size, or try again."
        case _:
            return _general(said)


def _not_supported(said: Said) -> str:
    task = _right_task(said)
    own = _is_own_server(said)
    if task is None:
        name = "Check the model's name."
        found = f"{name} {_where_served(said)}" if _is_unknown_model(said) else _where_served(said)
        return name if own else found
    if task == "conversational":
        return "This model chats: call client.chat(…)."
    if said.task != "conversational":
        return f"This model is for {task}: call {function_for(task)}, or choose a model for {said.task}."
    if own:
        return "This model does not chat: have the server load one that does, or give it a chat template."
    return f"This model does not chat; choose one that does: {_CHAT_MODELS}"


_CHAT_MODELS = "https://huggingface.co/models?other=conversational"

_ADVICE_FOR_OWN_SERVER = {
    401: 'No key, or not the right one, went to this address: Client.endpoint(url, "key").',
    402: "The account behind this address has no credits left.",
    403: "The key may not do this: check its permissions, and whether it is the one for this address.",
    404: "Check base_url, and the model's name if the server has several.",
    410: "This address is no longer in use: check base_url.",
    413: "Send less: a shorter text or a smaller file.",
    415: "Convert the file to a common format (WAV, FLAC, PNG, JPEG).",
}

_ADVICE = {
    401: "Check the key: an hf_… token (https://huggingface.co/settings/tokens) goes in Client(token=…) or HF_TOKEN, "
    "a provider's own key in Client(keys={…}).",
    402: "Buy credits or subscribe to PRO at https://huggingface.co/settings/billing, let an organisation pay with "
    "bill_to=…, or use the provider's own key with keys={…}.",
    410: "This address is no longer in use: leave base_url out, or use https://router.huggingface.co.",
    413: "Send less: a shorter text, a smaller file, or the address of the file where the provider takes one.",
    415: "Convert the file to a common format (WAV, FLAC, PNG, JPEG), or try another provider.",
}


def _where_served(said: Said) -> str:
    page = _page(said.model)
    if "you have enabled" in said.words:
        return f"Enable a provider that serves it at https://huggingface.co/settings/inference-providers; see {page}."
    return f"Name a provider that serves it, provider=…; see {page}."


def _page(model: str | None) -> str:
    name = (model or "").partition(":")[0]
    return f"https://huggingface.co/{name}" if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else "the model's page on the Hub"


def _is_gated(said: Said) -> bool:
    return said.code == "GatedRepo" or bool(re.search(r"(?i)\bgated\b|awaiting a review|ask for access", said.words))


def _permission(said: Said) -> str:
    if re.search(r"(?i)sufficient permissions?|inference\.serverless", said.words):
        return (
            'The token lacks the permission "Make calls to Inference Providers": '
            "add it at https://huggingface.co/settings/tokens."
        )
    return "The key is known, but may not do this: check its permissions, and your role in the organisation of bill_to."


def _general(said: Said) -> str:
    whose = {"auto": "the router", "endpoint": "this server"}.get(said.provider, said.provider)
    if kind_of(said) in {ServerError, StatusError} and said.status >= _FIRST_ERROR:
        statuses = ", ".join(map(str, sorted({said.status, 503})))  # a model that loads stays worth another try
        another = "" if _is_own_server(said) else ", or name another provider"
        return f"Try again, by hand or with retry=Retry(statuses={{{statuses}}}){another}."
    if said.status < _FIRST_ERROR:
        return f"The address redirects to {said.location or 'another'}: check base_url."
    if _TOO_LONG.search(said.words):
        return "Shorten the input, or lower the number of tokens asked for."
    return f"Correct the request: {whose} may not take every parameter and value that others take."
