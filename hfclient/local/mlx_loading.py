"""A model's folder, as mlx-lm loads it, and the engine around it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from hfclient.errors import InputError, ModelFilesError
from hfclient.extras import extra
from hfclient.local import checkpoint
from hfclient.local.engine import Loaded
from hfclient.local.files import ModelFiles
from hfclient.local.mlx_engine import MLXEngine
from hfclient.local.mlx_memory import is_shortage, shortage
from hfclient.local.options import LocalOptions
from hfclient.local.vocabulary import tokenizer_of

mx: Any = extra("mlx.core", "'hfclient[mlx]'", needed_by="engine='mlx'")
nn: Any = extra("mlx.nn", "'hfclient[mlx]'", needed_by="engine='mlx'")
trees: Any = extra("mlx.utils", "'hfclient[mlx]'", needed_by="engine='mlx'")
mlx_lm: Any = extra("mlx_lm.utils", "'hfclient[mlx]'", needed_by="engine='mlx'")
caches: Any = extra("mlx_lm.models.cache", "'hfclient[mlx]'", needed_by="engine='mlx'")

_GROUPS = (64, 32)  # so many weights share a scale; a layer's width must be a multiple of it
_FAILURES = (AttributeError, KeyError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
_TORCH = 'Use engine="torch" for this model.'


def load(files: ModelFiles, options: LocalOptions) -> Loaded:
    """The model in memory, ready to write. The thread that calls this is the one that may use the engine."""
    if options.attention != "auto":
        raise InputError(
            f"LocalOptions: attention={options.attention!r} cannot be chosen under MLX, which brings its own.",
            advice='Leave attention out, or use engine="torch".',
        )
    device = _device(options.device)
    if files.gguf is not None:
        raise ModelFilesError(f"{files.name}: MLX does not read GGUF files.", advice=_TORCH, model=files.name)
    tokenizer = tokenizer_of(files, options)
    with mx.stream(device):
        model = model_of(files, options)
    engine = MLXEngine(
        model, max_sequences=options.max_sequences, prefix_cache_bytes=options.prefix_cache_bytes, device=device
    )
    return Loaded(
        engine=engine,
        tokenizer=tokenizer,
        size=sum(each.nbytes for _, each in trees.tree_flatten(model.parameters())),
        device="gpu" if device == mx.gpu else "cpu",
        context_length=checkpoint.context_length(files.config),
        defaults=checkpoint.generation_defaults(files.folder, files.config),
    )


def model_of(files: ModelFiles, options: LocalOptions) -> Any:
    """The model itself, with its weights in memory, as the options want them."""
    with _explained(files.name):
        model, config = mlx_lm.load_model(
            files.folder,
            lazy=True,
            model_config=_in_older_words(files.config),
            trust_remote_code=options.trust_remote_code,
        )
        if not all(hasattr(layer, "merge") for layer in caches.make_prompt_cache(model)):
            raise ModelFilesError(
                f"{files.name}: mlx-lm cannot write several texts at once with it.", advice=_TORCH, model=files.name
            )
        if options.dtype != "auto":
            model.set_dtype(getattr(mx, options.dtype))
        if options.quantization is not None:
            _quantize(model, config, int(options.quantization.removesuffix("bit")))
        mx.eval(model.parameters())
    return model


@contextmanager
def _explained(name: str) -> Generator[None, None, None]:
    """What mlx-lm has to say about a model's files, as an error of ours."""
    try:
        yield
    except InputError:
        raise
    except _FAILURES as error:
        if is_shortage(error):
            raise shortage(f"loading {name}", error) from error
        advice = f"It takes the families it knows, in files named model*.safetensors. {_TORCH}"
        if "trust_remote_code" in str(error):
            advice = "Read that module, and pass LocalOptions(trust_remote_code=True) if you trust it."
        said = f"{type(error).__name__}: {error}"
        raise ModelFilesError(f"{name}: mlx-lm cannot load it: {said}", advice=advice, model=name) from error


def _device(name: str) -> Any:
    match name:
        case "auto":
            return mx.default_device()
        case "cpu":
            return mx.Device(mx.cpu)
        case "gpu" if mx.is_available(mx.gpu):
            return mx.Device(mx.gpu)
        case _:
            there = '"auto", "cpu" and "gpu"' if mx.is_available(mx.gpu) else '"auto" and "cpu"'
            raise InputError(f"LocalOptions: device={name!r} is none of those MLX has here: {there}.")


def _in_older_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers 5 writes into `config.json` in a way that many of mlx-lm's models do not look for: they would
    take defaults of their own instead, and write something else."""
    rope = _part(config, "rope_parameters")
    far = _part(rope, "full_attention") or rope
    older = {
        "rope_theta": far.get("rope_theta"),
        "partial_rotary_factor": far.get("partial_rotary_factor"),
        "rope_scaling": far if far.get("rope_type", "default") != "default" else None,
        "rope_local_base_freq": _part(rope, "sliding_attention").get("rope_theta"),
        "sliding_window_pattern": config.get("_sliding_window_pattern"),
    }
    found = {key: value for key, value in older.items() if value is not None and config.get(key) is None}
    if inner := _part(config, "text_config"):
        found["text_config"] = {**inner, **_in_older_words(inner)}
    return found


def _part(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    part: Any = config.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _quantize(model: Any, config: Mapping[str, Any], bits: int) -> None:
    there = _part(config, "quantization") or _part(config, "quantization_config")
    if there.get("bits") == bits:
        return
    if there:
        raise InputError(
            f"LocalOptions: quantization='{bits}bit' cannot be had of a model that is quantized already.",
            advice="Leave quantization out, or use the repository of the original model.",
        )
    own: Any = getattr(model, "quant_predicate", None)

    def how(path: str, layer: Any) -> Any:
        if not hasattr(layer, "to_quantized"):
            return False
        group = next((size for size in _GROUPS if layer.weight.shape[-1] % size == 0), None)
        wanted = group is not None and (own is None or own(path, layer))
        return {"group_size": group, "bits": bits} if wanted is True else wanted

    nn.quantize(model, group_size=_GROUPS[0], bits=bits, class_predicate=how)
