"""A model's files into memory, on PyTorch: where, in which precision, and nothing made up for what is missing."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, TypeAlias, cast

from huggingface_hub.errors import StrictDataclassError

from hfclient.errors import HFClientError, InputError, MissingExtraError, ModelFilesError, OutOfMemoryError
from hfclient.extras import extra
from hfclient.local import checkpoint
from hfclient.local.engine import Loaded
from hfclient.local.files import ModelFiles
from hfclient.local.options import LocalOptions
from hfclient.local.quiet import quiet
from hfclient.local.torch_device import device_of, dtype_of
from hfclient.local.torch_linear import quicken
from hfclient.local.torch_memory import is_out_of_memory
from hfclient.local.vocabulary import missing_package, need_gguf, tokenizer_of

_NEEDED_BY = "Running a model on PyTorch"
torch: Any = extra("torch", "'hfclient[torch]'", needed_by=_NEEDED_BY)
transformers: Any = extra("transformers", "'hfclient[torch]'", needed_by=_NEEDED_BY)
safetensors: Any = extra("safetensors", "'hfclient[torch]'", needed_by=_NEEDED_BY)

Model: TypeAlias = Any

_SHOWN = 3
_FAILURES = (
    AssertionError,
    AttributeError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    StrictDataclassError,
    pickle.UnpicklingError,
    safetensors.SafetensorError,
    struct.error,
)
_DAMAGED = (pickle.UnpicklingError, safetensors.SafetensorError, struct.error, EOFError)


def load(files: ModelFiles, options: LocalOptions) -> Loaded:
    """The model, ready to write. It blocks, and takes as long as its weights are large."""
    device = device_of(options)
    settings = {**_settings(files, options, device), **_quantization(files, options, device)}
    settings |= _attention(options, device)
    model = _model(files, settings).eval().requires_grad_(requires_grad=False)
    quicken(model)
    tokenizer = tokenizer_of(files, options)
    from hfclient.local.torch_engine import TorchEngine  # noqa: PLC0415  only once there is a model to run

    config: dict[str, Any] = dict(files.config) or model.config.to_dict()
    return Loaded(
        engine=TorchEngine(model, max_sequences=options.max_sequences, prefix_cache_bytes=options.prefix_cache_bytes),
        tokenizer=tokenizer,
        size=int(model.get_memory_footprint()),
        device=str(model.device),
        context_length=checkpoint.context_length(config),
        defaults=_defaults(files, model),
    )


def _settings(files: ModelFiles, options: LocalOptions, device: str) -> dict[str, Any]:
    """What `from_pretrained` is told. Where `trust_remote_code` is left out, it asks whoever sits at the keyboard."""
    settings: dict[str, Any] = {
        "local_files_only": True,
        "trust_remote_code": options.trust_remote_code,
        "dtype": dtype_of(files, options, device),
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # they are in the loading info, and an error of ours
    }
    if device != "cpu":
        extra("accelerate", "'hfclient[torch]'", needed_by=f"Loading a model to {device}")
        settings["device_map"] = {"": device}  # its weights go there at once, and not by way of the main memory
    if files.gguf is not None:
        need_gguf(files)
        return {**settings, "gguf_file": files.gguf}
    weights = checkpoint.weights_of(files.folder, allow_pickle=options.allow_pickle)
    return {**settings, "use_safetensors": weights[0].suffix not in checkpoint.PICKLED}


def _attention(options: LocalOptions, device: str) -> dict[str, Any]:
    if options.attention == "auto":
        return {}
    if options.attention == "flash_attention_2":
        if not device.startswith("cuda"):
            raise InputError(
                f"Flash Attention 2 runs on CUDA, and the model would be on {device}.",
                advice="Leave attention='auto', which takes the quickest that there is here.",
            )
        if find_spec("flash_attn") is None:
            raise MissingExtraError(
                "attention='flash_attention_2' needs flash-attn.", advice="pip install flash-attn --no-build-isolation"
            )
    return {"attn_implementation": options.attention}


def _quantization(files: ModelFiles, options: LocalOptions, device: str) -> dict[str, Any]:
    if options.quantization is None:
        return {}
    if files.gguf is not None or files.config.get("quantization_config"):
        raise InputError(
            f"{files.name} is quantized already, so quantization={options.quantization!r} cannot be done to it.",
            advice="Leave quantization out, or name the model that this one was made from.",
        )
    if device == "mps":
        raise InputError(
            "bitsandbytes, which quantizes for PyTorch, does not run on mps.",
            advice="Name a quantized model, such as one of mlx-community, with engine='mlx'; or pass device='cpu'.",
        )
    extra("bitsandbytes", "'hfclient[quantized]'", needed_by=f"quantization={options.quantization!r}")
    extra("accelerate", "'hfclient[torch]'", needed_by=f"quantization={options.quantization!r}")
    how = {"load_in_4bit": True} if options.quantization == "4bit" else {"load_in_8bit": True}
    return {"quantization_config": transformers.BitsAndBytesConfig(**how), "device_map": {"": device}}


def _model(files: ModelFiles, settings: Mapping[str, Any]) -> Model:
    """The model with every one of its weights read from its files."""
    try:
        with quiet():
            model, info = transformers.AutoModelForCausalLM.from_pretrained(files.folder, **settings)
    except ImportError as error:
        raise missing_package(files.name, error) from error
    except _FAILURES as error:
        told = _explained(files, error)
        if not isinstance(told, OutOfMemoryError):
            raise told from error
    else:
        _check_weights(files.name, info)
        return model
    raise told  # out here, where nothing refers to what was loaded until then


def _check_weights(name: str, info: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights are random, because its files do not have them, or in other shapes."""
    missing = sorted(cast("set[str]", info["missing_keys"]))
    shapes = sorted(cast("set[tuple[str, Any, Any]]", info["mismatched_keys"]))
    if not missing and not shapes:
        return
    said = f"{len(missing)} weights are not in its files ({_listed(missing)})" if missing else ""
    if shapes:
        first, there, wanted = shapes[0]
        said = (
            f"{len(shapes)} weights are of another shape than it needs ({first}: {tuple(there)}, not {tuple(wanted)})"
        )
    raise ModelFilesError(
        f"{name} cannot be loaded: {said}.",
        advice="Its config.json and its weights do not belong together: download both again.",
        model=name,
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _defaults(files: ModelFiles, model: Model) -> dict[str, Any]:
    if files.gguf is None:
        return checkpoint.generation_defaults(files.folder, files.config)
    return checkpoint.generation_defaults(files.folder / "no folder", model.generation_config.to_diff_dict())


def _explained(files: ModelFiles, error: BaseException) -> HFClientError:
    name, said = files.name, str(error).strip().partition("\n")[0]
    if is_out_of_memory(error):
        return OutOfMemoryError(
            f"There is not enough memory to load {name}.",
            advice="Use a smaller model, or a quantized one; `client.local.unload(…)` frees those that are loaded.",
            model=name,
        )
    if "trust_remote_code" in str(error):
        return ModelFilesError(
            f"{name} brings its own code, which is not run unasked.",
            advice="Read it, and pass LocalOptions(trust_remote_code=True) if you trust it.",
            model=name,
        )
    if isinstance(error, _DAMAGED):
        return ModelFilesError(
            f"The weights of {name} are damaged: {said}.",
            advice="Delete them and download them again; a clone made without git-lfs has only pointers to them.",
            model=name,
        )
    return ModelFilesError(
        f"{name} cannot be loaded by transformers {transformers.__version__}: {said or type(error).__name__}",
        advice="If it is newer than that: pip install -U transformers. If not, its config.json may be at fault.",
        model=name,
    )
