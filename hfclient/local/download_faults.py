"""What a failed download means to its caller: huggingface_hub's errors, and the disk's, as ours."""

from __future__ import annotations

import errno
from json import JSONDecodeError

from hfclient.errors import (
    AuthenticationError,
    ConnectionFailedError,
    HFClientError,
    ModelFilesError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StatusError,
)

_FULL = {errno.ENOSPC, errno.EDQUOT}
_KINDS: dict[int, tuple[type[StatusError], str]] = {
    401: (AuthenticationError, "Is the token right? Make one at https://huggingface.co/settings/tokens."),
    403: (PermissionDeniedError, "The token may not read this repository: give it the permission, or use another."),
    404: (NotFoundError, "Is its name spelled right?"),
    429: (RateLimitError, "Wait a little, or pass a token: with one, more is allowed."),
}


def failures() -> tuple[type[Exception], ...]:
    """What a download may raise: huggingface_hub's own errors, its HTTP library's, and the disk's."""
    from huggingface_hub import errors  # noqa: PLC0415  wanted only where something is downloaded

    return (OSError, RuntimeError, ValueError, _of_network(errors.HfHubHTTPError))


def _of_network(kind: type[Exception]) -> type[Exception]:
    return kind.__mro__[1]  # it is httpx's or httpx2's, by its version


def explained(error: Exception, repo: str, revision: str | None) -> HFClientError | None:
    """What to raise for this; None where it is no failure of a download."""
    from huggingface_hub import errors  # noqa: PLC0415  its errors exist only where it was used

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # it looked into the cache because the Hub had failed it
    match error:
        case errors.OfflineModeIsEnabled():
            return not_here(repo, revision)
        case errors.GatedRepoError():
            return PermissionDeniedError(
                f"{repo} is only for those who accepted its terms.",
                advice=f"Accept them at https://huggingface.co/{repo}, and pass a token of the account that did.",
                status=403,
                model=repo,
            )
        case errors.RepositoryNotFoundError():
            return NotFoundError(
                f"There is no model {repo} on the Hub, or it is private.",
                advice="Is its name spelled right? For a private one, pass a token that may read it.",
                status=404,
                model=repo,
            )
        case errors.RevisionNotFoundError():
            return NotFoundError(
                f"{repo} has no revision {revision}.",
                advice=f"Its branches and tags are at https://huggingface.co/{repo}/tree/main.",
                status=404,
                model=repo,
            )
        case errors.HfHubHTTPError():
            return _by_status(error.response.status_code, repo)
        case errors.HFValidationError():
            return NotFoundError(f"{repo} cannot be a model on the Hub.", advice="A name is org/name.", model=repo)
        case _:
            return _of_the_machine(error, repo, _of_network(errors.HfHubHTTPError))


def not_here(
    repo: str, revision: str | None, *, gguf: str | None = None, found: ModelFilesError | None = None
) -> ModelFilesError:
    """The Hub must not be asked, and the cache does not have it."""
    command = f"hf download {repo}" + (f" {gguf}" if gguf else "") + (f" --revision {revision}" if revision else "")
    of = f" at revision {revision}" if revision else ""
    why = f" {found.message}" if found else ""
    return ModelFilesError(
        f"{repo}{of} is not {'whole ' if found else ''}in the Hugging Face cache, and the Hub may not be asked "
        f"(HF_HUB_OFFLINE).{why}",
        advice=f"Fetch it where there is a network: {command}",
        model=repo,
    )


def _by_status(status: int, repo: str) -> StatusError:
    kind, advice = _KINDS.get(status, (StatusError, "Try again, or fetch it by hand: hf download " + repo))
    if status >= 500:  # noqa: PLR2004
        kind = ServerError
    return kind(f"The Hub answered with status {status} for {repo}.", advice=advice, status=status, model=repo)


def _of_the_machine(error: Exception, repo: str, of_network: type[Exception]) -> HFClientError | None:
    if isinstance(error, HFClientError):
        return None
    if isinstance(error, of_network | ConnectionError | TimeoutError):  # the HTTP library's own, whichever it is
        return ConnectionFailedError(
            f"{repo} could not be downloaded: {type(error).__name__}.",
            advice="Is there a network? What has arrived is kept: call again to go on from there.",
            model=repo,
        )
    if isinstance(error, JSONDecodeError):
        return ConnectionFailedError(
            f"{repo} could not be looked up: the answer was not in JSON.",
            advice="Does HF_ENDPOINT name a Hub, and does nothing stand between, such as a login page?",
            model=repo,
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return ModelFilesError(
            f"The disk is full, so {repo} could not be downloaded whole.",
            advice="Make room, or set HF_HOME to a larger disk; `hf cache ls` shows what the cache holds.",
            model=repo,
        )
    if isinstance(error, OSError):
        return ModelFilesError(
            f"{repo} could not be downloaded: {error.strerror or type(error).__name__}.",
            advice="May this process write to the Hugging Face cache (HF_HOME)? If so, call again.",
            model=repo,
        )
    if isinstance(error, RuntimeError):  # the Xet library has no kinds of its own
        return ConnectionFailedError(
            f"{repo} could not be downloaded.",
            advice="Call again; if it keeps failing, set HF_HUB_DISABLE_XET=1 to fetch over plain HTTP.",
            model=repo,
        )
    return None
