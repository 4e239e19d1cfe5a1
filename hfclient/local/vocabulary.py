"""A model's tokenizer, as transformers has it."""

from __future__ import annotations

import logging
import struct
from functools import cache
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from hfclient.errors import MissingExtraError, ModelFilesError
from hfclient.extras import extra
from hfclient.local.files import ModelFiles
from hfclient.local.options import LocalOptions
from hfclient.local.quiet import quiet

transformers: Any = extra("transformers", "transformers", needed_by="Reading a model's tokenizer")

logger = logging.getLogger("hfclient")

_FAILURES = (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError, StrictDataclassError, struct.error)


def tokenizer_of(files: ModelFiles, options: LocalOptions) -> Any:
    """The tokenizer that lies with the model, or in its GGUF file; with `prompt_format` as its chat template."""
    if options.trust_remote_code:
        warn_of_code(files.name)
    if files.gguf is not None:
        need_gguf(files)
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                files.folder,
                local_files_only=True,
                trust_remote_code=options.trust_remote_code,
                **({"gguf_file": files.gguf} if files.gguf else {}),
            )
    except ImportError as error:
        raise missing_package(files.name, error) from error
    except BaseException as error:
        if type(error) is Exception or isinstance(error, _FAILURES):  # tokenizers has no kind of its own
            raise _unreadable(files.name, error) from error
        raise
    if options.prompt_format is not None:
        tokenizer.chat_template = options.prompt_format
    return tokenizer


@cache
def warn_of_code(name: str) -> None:
    """Once for each model: its authors' code is about to run."""
    logger.warning(
        "trust_remote_code is on: Python code that came with %s runs in this process, with all your rights. "
        "Read it first, and name the revision that you have read.",
        name,
    )


def need_gguf(files: ModelFiles) -> None:
    extra("gguf", "'hfclient[gguf]'", needed_by=f"Reading {files.gguf}")


def missing_package(name: str, error: ImportError) -> MissingExtraError:
    """What transformers misses for this model; its message has the command."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return MissingExtraError(f"{name} needs a package that is not here: {said}", advice="Install it as it says.")


def _unreadable(name: str, error: BaseException) -> ModelFilesError:
    said = str(error).strip().partition("\n")[0]
    if "trust_remote_code" in str(error):
        return ModelFilesError(
            f"The tokenizer of {name} is code of its authors', which is not run unasked.",
            advice="Read it, and pass LocalOptions(trust_remote_code=True) if you trust it.",
            model=name,
        )
    return ModelFilesError(
        f"The tokenizer of {name} cannot be read: {said or type(error).__name__}.",
        advice="Download its files again; if they are whole, a newer transformers may know them.",
        model=name,
    )
