"""What MLX loads from a model's folder, how, and what it says of a folder or an option it cannot do with."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from hfclient.errors import HFClientError, InputError, ModelFilesError, OutOfMemoryError
from hfclient.local import mlx_loading
from hfclient.local.engine import Generation
from hfclient.local.files import ModelFiles
from hfclient.local.mlx_loading import load, model_of
from hfclient.local.options import LocalOptions
from tests.local.mlx_models import VOCABULARY, Reference, files_of, in_another_thread, prompt, save

OPTIONS = LocalOptions()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A llama with a tokenizer, as they lie in a repository."""
    folder = tmp_path_factory.mktemp("repository") / "llama"
    files = save("llama", folder, dtype="float32")
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w0"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0").save_pretrained(folder)
    return files


@pytest.fixture
def folder(saved: ModelFiles, tmp_path: Path) -> Path:
    """The same, to be spoiled."""
    shutil.copytree(saved.folder, tmp_path / "llama")
    return tmp_path / "llama"


def rewrite(folder: Path, **changes: Any) -> ModelFiles:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")
    return files_of(folder)


def written(engine: Any, tokens: list[int], count: int) -> list[int]:
    engine.add(Generation(id=1, tokens=tokens, max_tokens=count))
    found: list[int] = []
    while not engine.idle:
        found += [each.token for each in engine.step()]
    return found


def dtypes(model: Any) -> set[Any]:
    return {each.dtype for _, each in tree_flatten(model.parameters())}


@in_another_thread
def test_a_folder_becomes_an_engine(saved: ModelFiles) -> None:
    """With its tokenizer, its defaults, its sizes; and it writes what transformers writes."""
    loaded = load(saved, OPTIONS)
    assert written(loaded.engine, prompt(20), 12) == Reference(saved.folder)(prompt(20), 12)
    assert loaded.tokenizer.decode([3, 4]) == "w3 w4"
    assert loaded.defaults["temperature"] == 0.6
    assert loaded.context_length == 4096
    assert loaded.device == "cpu" if mx.default_device() == mx.Device(mx.cpu) else "gpu"
    parameters = 2 * VOCABULARY * 64 + 2 * (64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 96 + 2 * 64) + 64
    assert loaded.size == parameters * 4


@in_another_thread
def test_the_engine_gets_its_bounds_from_the_options(saved: ModelFiles) -> None:
    """So many at once, and so many bytes of prefixes."""
    engine: Any = load(saved, LocalOptions(max_sequences=3, prefix_cache_bytes=0, device="cpu")).engine
    for number in range(5):
        engine.add(Generation(id=number, tokens=prompt(4, number), max_tokens=30))
    told = max(len(engine.step()) for _ in range(20))
    assert told == 3
    while not engine.idle:
        engine.step()
    assert engine.shed() == 0


def test_a_folder_without_defaults_has_none(folder: Path) -> None:
    """`generation_config.json` need not be there."""
    (folder / "generation_config.json").unlink()
    assert "temperature" not in load(files_of(folder), OPTIONS).defaults


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_weights_are_of_the_kind_that_is_asked_for(saved: ModelFiles, dtype: Any) -> None:
    """And as they are in the files where nothing is asked."""
    assert dtypes(model_of(saved, LocalOptions(dtype=dtype))) == {getattr(mx, dtype)}
    assert dtypes(model_of(saved, OPTIONS)) == {mx.float32}


@pytest.mark.parametrize(("quantization", "bits"), [("4bit", 4), ("8bit", 8)])
@in_another_thread
def test_a_model_is_quantized_in_memory(saved: ModelFiles, quantization: Any, bits: int) -> None:
    """Its weights take less, in groups that suit their width, and it still writes."""
    model = model_of(saved, LocalOptions(quantization=quantization))
    layers = [layer for _, layer in tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module)]
    quantized = [layer for layer in layers if hasattr(layer, "bits")]
    assert len(quantized) == 2 + 2 * 7
    assert {layer.bits for layer in quantized} == {bits}
    assert {layer.group_size for layer in quantized} == {64, 32}  # 96 is no multiple of 64
    loaded = load(saved, LocalOptions(quantization=quantization))
    assert loaded.size < load(saved, OPTIONS).size / (5 if bits == 4 else 3)
    assert len(written(loaded.engine, prompt(5), 6)) == 6


def quantized_repository(folder: Path) -> ModelFiles:
    """The model as mlx-lm's own conversion saves it."""
    model = model_of(files_of(folder), OPTIONS)
    nn.quantize(model, group_size=32, bits=4)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())))
    return rewrite(folder, quantization={"group_size": 32, "bits": 4})


@in_another_thread
def test_a_quantized_repository_loads_as_it_is(folder: Path) -> None:
    """Asking for what it is already changes nothing; asking for something else is an error, before any work is lost."""
    files = quantized_repository(folder)
    loaded = load(files, OPTIONS)
    assert loaded.size < 200_000
    same = load(files, LocalOptions(quantization="4bit"))
    assert same.size == loaded.size
    assert written(same.engine, prompt(9), 8) == written(loaded.engine, prompt(9), 8)
    with pytest.raises(InputError, match="quantized already"):
        load(files, LocalOptions(quantization="8bit"))


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
            "rope_theta": 300.0,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
@in_another_thread
def test_positions_are_told_as_transformers_writes_them(tmp_path: Path, rope: dict[str, Any]) -> None:
    """transformers 5 has other words for them in `config.json` than many of mlx-lm's models read."""
    files = save("llama", tmp_path / "model", rope_parameters=rope)
    assert "rope_theta" not in files.config
    engine = mlx_loading.MLXEngine(model_of(files, OPTIONS), max_sequences=1, prefix_cache_bytes=0)
    assert written(engine, prompt(60), 20) == Reference(files.folder)(prompt(60), 20)


def test_what_a_configuration_says_in_older_words_stands() -> None:
    """Only what is missing is filled in, also for the text part of a larger model."""
    older = mlx_loading._in_older_words
    assert older({"rope_theta": 5.0}) == {}
    assert older({"rope_theta": 5.0, "rope_parameters": {"rope_theta": 6.0, "rope_type": "default"}}) == {}
    inner = {"hidden_size": 4, "rope_parameters": {"rope_theta": 6.0, "partial_rotary_factor": 0.5}}
    assert older({"text_config": inner}) == {
        "text_config": {**inner, "rope_theta": 6.0, "partial_rotary_factor": 0.5},
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "cuda"}, "device='cuda'"),
        ({"device": "mps"}, "device='mps'"),
        ({"attention": "flash_attention_2"}, "attention='flash_attention_2'"),
        ({"attention": "eager"}, "attention='eager'"),
    ],
)
def test_options_that_mlx_has_no_choice_of_are_refused(saved: ModelFiles, options: Any, said: str) -> None:
    """They are not passed over, and nothing is loaded."""
    with pytest.raises(InputError, match=said):
        load(saved, LocalOptions(**options))


@pytest.mark.skipif(mx.is_available(mx.gpu), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(saved: ModelFiles) -> None:
    """And the error names what there is."""
    with pytest.raises(InputError, match=r'"auto" and "cpu"'):
        load(saved, LocalOptions(device="gpu"))


def refused(files: ModelFiles, advice: str = 'engine="torch"') -> HFClientError:
    with pytest.raises(ModelFilesError) as caught:
        load(files, OPTIONS)
    assert advice in caught.value.advice
    assert files.name in str(caught.value)
    return caught.value


def test_gguf_is_for_torch(saved: ModelFiles) -> None:
    """The error says which engine reads it."""
    assert "GGUF" in str(refused(ModelFiles(name="m:q4.gguf", folder=saved.folder, gguf="q4.gguf")))


def test_a_folder_mlx_cannot_load_is_an_error_that_says_so(folder: Path) -> None:
    """A family it does not know, a setting that is missing, weights that do not fit, code of the folder's own, no
    weights."""
    files = files_of(folder)
    assert "no_such_family" in str(refused(rewrite(folder, model_type="no_such_family")))
    rewrite(folder, model_type="llama", model_file="theirs.py")
    (folder / "theirs.py").write_text("raise SystemExit", "utf-8")
    files = files_of(folder)
    assert "theirs.py" in str(refused(files, "trust_remote_code=True"))
    rewrite(folder, model_file=None, num_hidden_layers=3)
    assert "parameters" in str(refused(files))
    rewrite(folder, num_hidden_layers=2)
    with pytest.raises(ModelFilesError, match="TypeError"):
        model_of(rewrite(folder, hidden_size=None), OPTIONS)
    rewrite(folder, hidden_size=64)
    next(folder.glob("*.safetensors")).write_bytes(b"\0" * 100)
    refused(files)
    next(folder.glob("*.safetensors")).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\0")
    assert "safetensors" in str(refused(files))


def test_a_model_that_mlx_cannot_batch_is_refused(saved: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batches need memories that can be put side by side."""
    monkeypatch.setattr(mlx_loading.caches, "make_prompt_cache", lambda model: [object()])
    assert "several texts" in str(refused(saved))


def test_too_little_memory_is_its_own_error(saved: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MLX's words in it, as far as those tell."""

    def full(*args: Any, **more: Any) -> Any:
        raise RuntimeError("[malloc] Unable to allocate 99 bytes.")

    monkeypatch.setattr(mlx_loading.mlx_lm, "load_model", full)
    with pytest.raises(OutOfMemoryError, match="99 bytes"):
        load(saved, OPTIONS)


def test_loading_asks_nobody(saved: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is all there is: no address is looked up and nothing is connected to."""

    def refuse(*args: Any, **more: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    threads = threading.active_count()
    load(saved, OPTIONS)
    assert threading.active_count() == threads
