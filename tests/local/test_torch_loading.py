"""A model's files are loaded whole, where and how was asked for, or it is said why not."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as their_logging

from hfclient.errors import HFClientError, InputError, MissingExtraError, ModelFilesError, OutOfMemoryError
from hfclient.local import torch_device, torch_loading, vocabulary
from hfclient.local.checkpoint import context_length
from hfclient.local.engine import Loaded
from hfclient.local.files import ModelFiles
from hfclient.local.models import find
from hfclient.local.options import LocalOptions
from tests.local import checkpoints
from tests.local.gguf_files import write_gguf
from tests.local.sockets import forbid_connections

PLAIN = LocalOptions(device="cpu")
PROMPT = torch.tensor([[5, 17, 42, 99]])


@dataclass
class StandIn:
    """In the place of the engine: it keeps what it was given."""

    model: Any
    max_sequences: int
    prefix_cache_bytes: int


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_connections(monkeypatch)
    module = ModuleType("hfclient.local.torch_engine")
    module.TorchEngine = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama, saved."""
    return checkpoints.save(tmp_path_factory.mktemp("saved"), checkpoints.model())


@pytest.fixture
def altered(saved: Path, tmp_path: Path) -> Callable[..., ModelFiles]:
    """The llama with something else in its config.json."""

    def alter(**changes: Any) -> ModelFiles:
        folder = Path(shutil.copytree(saved, tmp_path / "altered"))
        config = {**json.loads((folder / "config.json").read_text()), **changes}
        (folder / "config.json").write_text(json.dumps(config))
        return ModelFiles(name="org/name", folder=folder, config=config)

    return alter


def load(folder: Path, options: LocalOptions = PLAIN) -> Loaded:
    return torch_loading.load(find(str(folder), options, engine="torch"), options)


def model_of(loaded: Loaded) -> Any:
    assert isinstance(loaded.engine, StandIn)
    return loaded.engine.model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(PROMPT.clone()).logits.float()


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("how", [{}, {"max_shard_size": "20KB"}], ids=["one file", "shards"])
def test_a_model_is_loaded_as_it_was_saved(tmp_path: Path, kind: str, how: dict[str, str]) -> None:
    """The same logits come out, and everything is told that the files say."""
    made = checkpoints.model(kind)
    expected = logits(made)
    options = LocalOptions(device="cpu", max_sequences=3, prefix_cache_bytes=77)
    loaded = load(checkpoints.save(tmp_path, made, **how), options)
    model = model_of(loaded)
    assert torch.allclose(logits(model), expected, atol=1e-5)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1 if how else True
    assert not model.training
    assert not any(each.requires_grad for each in model.parameters())
    assert (loaded.device, loaded.context_length) == ("cpu", checkpoints.CONTEXT)
    assert loaded.size >= 4 * sum(each.numel() for each in made.parameters())
    assert loaded.defaults == {
        "bos_token_id": 0,
        "eos_token_id": [2, 0],
        "pad_token_id": 0,
        "do_sample": True,
        "temperature": 0.6,
        "top_k": 20,
    }
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("the sky")) == "the sky"
    assert (loaded.engine.max_sequences, loaded.engine.prefix_cache_bytes) == (3, 77)  # type: ignore[attr-defined]


def test_defaults_where_nothing_is_said(saved: Path, tmp_path: Path) -> None:
    """Without a generation_config.json the tokens of config.json hold, and nothing that transformers would make up."""
    folder = Path(shutil.copytree(saved, tmp_path / "bare"))
    (folder / "generation_config.json").unlink()
    assert load(folder).defaults == {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}


@pytest.mark.parametrize("stored", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("asked", ["auto", "bfloat16"])
def test_precision(tmp_path: Path, stored: str, asked: Any) -> None:
    """On a processor a model is float32 unless something else was asked for."""
    folder = checkpoints.save(tmp_path, checkpoints.model(), dtype=stored)
    model = model_of(load(folder, LocalOptions(device="cpu", dtype=asked)))
    assert model.dtype == (torch.float32 if asked == "auto" else torch.bfloat16)
    assert {each.dtype for each in model.parameters()} == {model.dtype}


def test_precision_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator keeps the checkpoint's precision, and takes 16 bits for a file that was unpacked."""
    plain, packed = (ModelFiles(name="x", folder=tmp_path, gguf=gguf) for gguf in (None, "x.gguf"))
    assert torch_device.dtype_of(plain, LocalOptions(), "cuda") == "auto"
    assert torch_device.dtype_of(plain, LocalOptions(dtype="float16"), "mps") is torch.float16
    assert torch_device.dtype_of(packed, LocalOptions(), "mps") is torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert torch_device.dtype_of(packed, LocalOptions(), "cuda:0") is torch.bfloat16


@pytest.mark.parametrize(
    ("cuda", "mps", "asked", "taken"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, True, "auto", "cuda"),
        (2, False, "cuda:1", "cuda:1"),
        (2, False, "cpu", "cpu"),
        (0, False, "cpu:0", "cpu"),
    ],
)
def test_devices(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, asked: str, taken: str) -> None:
    """The best device there is, or the one that was asked for."""
    pretend(monkeypatch, cuda, mps=mps)
    assert torch_device.device_of(LocalOptions(device=asked)) == taken


@pytest.mark.parametrize(
    ("cuda", "asked", "said"),
    [
        (0, "cuda", "not on this machine"),
        (2, "cuda:2", "not on this machine"),
        (0, "mps", "not on this machine"),
        (0, "meta", "not on this machine"),
        (0, "xpu", "not on this machine"),
        (0, "gpu", "no device of PyTorch"),
        (0, "cuda:x", "no device of PyTorch"),
    ],
)
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch, cuda: int, asked: str, said: str) -> None:
    """A device that is missing is refused before anything is read, with those that there are."""
    pretend(monkeypatch, cuda)
    with pytest.raises(InputError, match=said) as caught:
        torch_device.device_of(LocalOptions(device=asked))
    assert "'cpu'" in caught.value.advice


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: int, *, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_weights_go_to_their_device_at_once(
    saved: Path, monkeypatch: pytest.MonkeyPatch, altered: Callable[..., ModelFiles]
) -> None:
    """On an accelerator the weights are read to where they will be used; no question is asked at the keyboard."""
    told: dict[str, Any] = {}

    def note(_: Path, **settings: Any) -> Any:
        told.update(settings)
        raise RuntimeError("that was all")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", note)
    pretend(monkeypatch, 2)
    with pytest.raises(ModelFilesError, match="that was all"):
        torch_loading.load(altered(), LocalOptions(device="cuda:1"))
    assert (told["device_map"], told["dtype"]) == ({"": "cuda:1"}, "auto")
    assert (told["trust_remote_code"], told["use_safetensors"], told["local_files_only"]) == (False, True, True)
    with pytest.raises(ModelFilesError, match="that was all"):
        load(saved)
    assert told.pop("dtype") is torch.float32


def test_attention(saved: Path) -> None:
    """The attention that was asked for is the model's."""
    assert model_of(load(saved, LocalOptions(device="cpu", attention="eager"))).config._attn_implementation == "eager"
    assert model_of(load(saved)).config._attn_implementation == "sdpa"


def test_flash_attention(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash Attention needs CUDA, and its package, the command for which is told."""
    options = LocalOptions(attention="flash_attention_2")
    with pytest.raises(InputError, match="runs on CUDA, and the model would be on cpu"):
        load(saved, options.changed({"device": "cpu"}))
    pretend(monkeypatch, 1)
    with pytest.raises(MissingExtraError, match="flash-attn") as caught:
        load(saved, options)
    assert caught.value.advice == "pip install flash-attn --no-build-isolation"


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_quantization_needs_its_package(saved: Path, quantization: Any) -> None:
    """Without bitsandbytes there is the command that installs it."""
    with pytest.raises(MissingExtraError, match=quantization) as caught:
        load(saved, LocalOptions(device="cpu", quantization=quantization))
    assert caught.value.advice == 'pip install "hfclient[quantized]"'


@pytest.mark.parametrize(("quantization", "bits"), [("4bit", "load_in_4bit"), ("8bit", "load_in_8bit")])
def test_quantization_is_asked_for(saved: Path, monkeypatch: pytest.MonkeyPatch, quantization: Any, bits: str) -> None:
    """With the package there, transformers is told how to quantize, and where to."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))
    told: dict[str, Any] = {}

    def note(_: Path, **settings: Any) -> Any:
        told.update(settings)
        raise ImportError("Using `bitsandbytes` requires something newer: `pip install -U bitsandbytes`\nmore")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", note)
    with pytest.raises(MissingExtraError, match="pip install -U bitsandbytes"):
        load(saved, LocalOptions(device="cpu", quantization=quantization))
    assert getattr(told["quantization_config"], bits)
    assert told["device_map"] == {"": "cpu"}


def test_what_cannot_be_quantized(
    saved: Path, altered: Callable[..., ModelFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is quantized already, and a device that bitsandbytes does not run on, are refused."""
    with pytest.raises(InputError, match="quantized already"):
        torch_loading.load(
            altered(quantization_config={"quant_method": "gptq"}), LocalOptions(device="cpu", quantization="4bit")
        )
    pretend(monkeypatch, 0, mps=True)
    with pytest.raises(InputError, match="does not run on mps"):
        load(saved, LocalOptions(quantization="4bit"))


@pytest.mark.parametrize(
    ("changes", "kind", "said", "advice"),
    [
        ({"model_type": "llama99"}, ModelFilesError, "cannot be loaded by transformers 5.*llama99", "pip install -U"),
        ({"model_type": None}, ModelFilesError, "cannot be loaded by transformers", "config.json"),
        ({"model_type": "vit"}, ModelFilesError, "cannot be loaded by transformers", "config.json"),
        ({"num_attention_heads": 5}, ModelFilesError, "cannot be loaded by transformers", "config.json"),
        ({"hidden_size": "x"}, ModelFilesError, "cannot be loaded by transformers", "config.json"),
        (
            {"num_hidden_layers": 3},
            ModelFilesError,
            r"9 weights are not in its files \(model\.layers\.2",
            "download both",
        ),
        ({"hidden_size": 64}, ModelFilesError, r"another shape than it needs \(lm_head\.weight: \(300, 32\)", "both"),
        (
            {"auto_map": {"AutoConfig": "c.C"}, "model_type": "own"},
            ModelFilesError,
            "own code",
            "trust_remote_code=True",
        ),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, MissingExtraError, "optimum", "Install"),
    ],
)
def test_what_cannot_be_loaded(
    altered: Callable[..., ModelFiles], changes: dict[str, Any], kind: type[HFClientError], said: str, advice: str
) -> None:
    """Whatever is wrong with a model is said, and no weight is ever made up."""
    with pytest.raises(kind, match=said) as caught:
        torch_loading.load(altered(**changes), PLAIN)
    assert advice in caught.value.advice


@pytest.mark.parametrize(
    "content", [b"garbage" * 10, b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", None]
)
def test_damaged_weights(altered: Callable[..., ModelFiles], content: bytes | None) -> None:
    """Weights that are cut off, or something else altogether, are said to be damaged."""
    files = altered()
    path = files.folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(ModelFilesError, match="The weights of org/name are damaged") as caught:
        torch_loading.load(files, PLAIN)
    assert "git-lfs" in caught.value.advice


def test_pickle(saved: Path, tmp_path: Path) -> None:
    """Pickle is read where it is allowed, and even then nothing but tensors is taken from it."""
    folder = Path(shutil.copytree(saved, tmp_path / "pickled"))
    (folder / "model.safetensors").unlink()
    torch.save(checkpoints.model().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelFilesError, match="only there as pickle"):
        load(folder)
    allowed = LocalOptions(device="cpu", allow_pickle=True)
    assert torch.allclose(logits(model_of(load(folder, allowed))), logits(checkpoints.model()), atol=1e-5)
    assert torch.allclose(logits(model_of(load(saved, allowed))), logits(checkpoints.model()), atol=1e-5)
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch it'\ntR.")
    with pytest.raises(ModelFilesError, match="are damaged"):
        load(folder, allowed)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory(saved: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Too little memory is an error of its own, which keeps nothing of what was loaded until then."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fail)
    with pytest.raises(OutOfMemoryError, match="not enough memory to load") as caught:
        load(saved)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_transformers_is_quiet_only_meanwhile(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No bar and no advice is shown, and both are as they were afterwards."""
    their_logging.enable_progress_bar()
    their_logging.set_verbosity(logging.INFO)
    try:
        load(saved)
        with pytest.raises(ModelFilesError):
            torch_loading.load(ModelFiles(name="x", folder=saved.parent / "nowhere", gguf="x.gguf"), PLAIN)
        assert their_logging.get_verbosity() == logging.INFO
        assert their_logging.is_progress_bar_enabled()
    finally:
        their_logging.set_verbosity(logging.WARNING)
    assert capfd.readouterr() == ("", "")


def test_gguf(tmp_path: Path) -> None:
    """A GGUF file is the same model, with its tokenizer, its template and its context."""
    made, tokenizer = checkpoints.model(), checkpoints.tokenizer()
    expected = logits(made)
    loaded = load(write_gguf(tmp_path / "tiny.gguf", made, tokenizer))
    model = model_of(loaded)
    assert model.dtype == torch.float32
    assert torch.allclose(logits(model), expected, atol=1e-5)
    text = "<|im_start|>user\nwhat is the sky<|im_end|>"
    assert loaded.tokenizer.encode(text) == tokenizer.encode(text)
    assert loaded.tokenizer.chat_template == tokenizer.chat_template
    assert loaded.context_length == checkpoints.CONTEXT
    assert (loaded.defaults["bos_token_id"], loaded.defaults["eos_token_id"]) == (0, 2)
    assert loaded.defaults.keys() <= {"bos_token_id", "eos_token_id", "pad_token_id"}


def test_a_damaged_gguf(tmp_path: Path) -> None:
    """A GGUF file that is none is an error about the file."""
    (tmp_path / "x.gguf").write_bytes(b"GGUFxxxx")
    with pytest.raises(ModelFilesError, match=r"x\.gguf"):
        load(tmp_path / "x.gguf")


def test_gguf_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that reads GGUF there is the command that installs it."""
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"x\.gguf") as caught:
        load(tmp_path / "x.gguf")
    assert caught.value.advice == 'pip install "hfclient[gguf]"'


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 40960}, 40960),
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 8192}}, 8192),
        (
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
        ),
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 131072),
        ({"max_position_embeddings": None, "n_positions": True, "n_ctx": -1}, None),
        ({}, None),
    ],
)
def test_context_length(config: dict[str, Any], length: int | None) -> None:
    """How far a model looks back is what its config.json says, with what YaRN adds."""
    assert context_length(config) == length


def test_prompt_format(saved: Path) -> None:
    """A template of the caller's own takes the place of the model's."""
    assert load(saved).tokenizer.chat_template == checkpoints.TEMPLATE
    assert load(saved, PLAIN.changed({"prompt_format": "{{ x }}"})).tokenizer.chat_template == "{{ x }}"


def test_code_of_the_model_is_warned_of_once(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`trust_remote_code` is warned of once for each model, and says what it means."""
    vocabulary.warn_of_code.cache_clear()
    for _ in range(2):
        load(saved, PLAIN.changed({"trust_remote_code": True}))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("hfclient", "WARNING")
    assert str(saved) in record.getMessage()
    assert "runs in this process" in record.getMessage()


def test_code_of_the_model_is_run_where_it_is_trusted(
    altered: Callable[..., ModelFiles], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model that brings its own class is loaded by it once it is trusted, from its own folder."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    files = altered(auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    (files.folder / "modeling_own.py").write_text(
        "from transformers import LlamaForCausalLM\nclass Own(LlamaForCausalLM): ...\n"
    )
    loaded = torch_loading.load(files, PLAIN.changed({"trust_remote_code": True}))
    assert type(model_of(loaded)).__name__ == "Own"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", '{"version": "1.0"}'),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "BPE", "vocab": 5}}'),
        ("tokenizer_config.json", "{"),
        (
            "tokenizer_config.json",
            '{"tokenizer_class": "NoSuchTokenizer", "auto_map": {"AutoTokenizer": ["t.T", null]}}',
        ),
    ],
)
def test_damaged_tokenizers(altered: Callable[..., ModelFiles], name: str, content: str) -> None:
    """A tokenizer that cannot be read is said to be the tokenizer."""
    files = altered()
    (files.folder / name).write_text(content)
    with pytest.raises(ModelFilesError, match="The tokenizer of org/name"):
        vocabulary.tokenizer_of(files, PLAIN)


def test_a_tokenizer_that_needs_more(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that only this tokenizer needs is named as transformers names it; another failure is nobody's guess."""

    def lack(*_: object, **__: object) -> None:
        raise ImportError("This needs sentencepiece: `pip install sentencepiece`\nand a restart")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lack)
    with pytest.raises(MissingExtraError, match="`pip install sentencepiece`"):
        load(saved)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load(saved)
