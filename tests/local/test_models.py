"""A model's name becomes files on this machine, without a question to anybody where they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hfclient.errors import InputError, ModelFilesError
from hfclient.local import models
from hfclient.local.models import ALIASES, Framework, Place, find, place_of
from hfclient.local.options import LocalOptions
from tests.local.repositories import COMMIT, OTHER, Cache, hf_cache, model, sharded, without, write  # noqa: F401
from tests.local.sockets import ConnectedError, forbid_connections

PLAIN = LocalOptions()


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_connections(monkeypatch)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, hf_cache: Cache) -> Cache:  # noqa: F811
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return hf_cache


def test_a_connection_would_be_noticed() -> None:
    """What forbids connections here does so."""
    import urllib.request

    with pytest.raises(ConnectedError):
        urllib.request.urlopen("http://127.0.0.1:9/")


def test_a_model_that_is_not_in_the_cache_would_be_asked_for(hf_cache: Cache) -> None:  # noqa: F811
    """The tests below that find a model open no connection; one that does not find it would."""
    hf_cache.add("org/other", model())
    with pytest.raises(ConnectedError):
        find("org/name", PLAIN, engine="torch")


@pytest.mark.parametrize("files", [model(), sharded()], ids=["one file", "shards"])
def test_a_model_in_the_cache_is_used_as_it_is(hf_cache: Cache, files: dict[str, bytes]) -> None:  # noqa: F811
    """A whole snapshot of the cache makes no request at all."""
    folder = hf_cache.add("org/name", files)
    found = find("org/name", PLAIN, engine="torch", token="hf_fake_0123")
    assert (found.name, found.folder, found.gguf) == ("org/name", folder, None)
    assert found.config["model_type"] == "llama"
    assert found.size == sum(len(content) for name, content in files.items() if name.endswith(".safetensors"))


def test_a_snapshot_is_found_without_its_ref(hf_cache: Cache) -> None:  # noqa: F811
    """`refs/main` may be missing: the one snapshot is the model."""
    folder = hf_cache.add("org/name", model(), ref=None)
    assert find("org/name", PLAIN, engine="torch").folder == folder


def test_the_newest_whole_snapshot_is_taken(hf_cache: Cache) -> None:  # noqa: F811
    """Among several snapshots without a ref, the newest that is whole is the model."""
    old = hf_cache.add("org/name", model(), commit="1" * 40, ref=None)
    new = hf_cache.add("org/name", model(), commit="2" * 40, ref=None)
    torn = hf_cache.add("org/name", without(model(), "model.safetensors"), commit="3" * 40, ref=None)
    for age, folder in enumerate([torn, new, old]):
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    assert find("org/name", PLAIN, engine="torch").folder == new


def test_main_is_taken_before_a_newer_snapshot(hf_cache: Cache) -> None:  # noqa: F811
    """Where `main` is known and whole, no other snapshot is looked at."""
    main = hf_cache.add("org/name", model())
    newer = hf_cache.add("org/name", model(), commit=OTHER, ref=None)
    os.utime(main, (1, 1))
    os.utime(newer, (2, 2))
    assert find("org/name", PLAIN, engine="torch").folder == main


def test_a_half_fetched_main_does_not_hide_a_whole_snapshot(hf_cache: Cache) -> None:  # noqa: F811
    """The ref is written before the files are there, so one that leads to half of them is no reason to ask the Hub."""
    hf_cache.add("org/name", without(model(), "tokenizer.json"), commit=OTHER)
    whole = hf_cache.add("org/name", model(), ref=None)
    assert find("org/name", PLAIN, engine="torch").folder == whole


def test_another_revision_is_not_taken_for_main(offline: Cache) -> None:
    """What a branch or tag is known for was somebody's choice, and is used for nobody else."""
    offline.add("org/name", model(), ref="gptq-4bit")
    with pytest.raises(ModelFilesError, match="is not in the Hugging Face cache"):
        find("org/name", PLAIN, engine="torch")


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", OTHER])
def test_a_revision_is_its_own_snapshot_only(hf_cache: Cache, revision: str) -> None:  # noqa: F811
    """A branch, a tag or a commit that was named is found in the cache by its ref, or by its own name."""
    hf_cache.add("org/name", model())
    folder = hf_cache.add("org/name", model(), commit=OTHER, ref=None if revision == OTHER else revision)
    assert find("org/name", LocalOptions(revision=revision), engine="torch").folder == folder


@pytest.mark.parametrize("revision", ["v2", "f" * 40, "../snapshots/x", "/", "..", COMMIT[:8]])
def test_a_revision_that_is_not_there_is_nothing_else(offline: Cache, revision: str) -> None:
    """No other snapshot stands in for a revision, and no path leads out of the cache."""
    offline.add("org/name", model())
    with pytest.raises(ModelFilesError) as caught:
        find("org/name", LocalOptions(revision=revision), engine="torch")
    assert f"hf download org/name --revision {revision}" in str(caught.value)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("model-00002-of-00002.safetensors", "lacks 1 of the 2 files"),
        ("tokenizer.json", "no tokenizer"),
        ("config.json", "has no config.json"),
    ],
)
def test_offline_it_is_said_what_is_missing_and_how_to_get_it(offline: Cache, lost: str, said: str) -> None:
    """A model that is half in the cache, with no network allowed, is an error with the command that completes it."""
    offline.add("org/name", without(sharded(), lost))
    with pytest.raises(ModelFilesError, match="HF_HUB_OFFLINE") as caught:
        find("org/name", PLAIN, engine="torch")
    assert said in caught.value.message
    assert caught.value.advice.endswith("hf download org/name")
    assert caught.value.model == "org/name"


def test_a_file_whose_blob_is_gone_is_not_there(offline: Cache) -> None:
    """A link that leads nowhere is a missing file."""
    (offline.add("org/name", model()) / "model.safetensors").resolve().unlink()
    with pytest.raises(ModelFilesError, match="has no weights"):
        find("org/name", PLAIN, engine="torch")


def test_the_box_has_a_model() -> None:
    """`tiny` is a folder of this package, on either engine, unless an alias of that name says otherwise."""
    folder = Path(models.__file__).parent / "tiny" / "model"
    for engine in ("torch", "mlx"):
        assert place_of("tiny", PLAIN, engine) == Place(path=folder)
    assert place_of("tiny", LocalOptions(aliases={"tiny": "org/name"}), "torch") == Place(repo="org/name")


@pytest.mark.parametrize("engine", ["torch", "mlx"])
@pytest.mark.parametrize("alias", ["gemma", "llama", "qwen", "smollm"])
def test_the_built_in_aliases(alias: str, engine: Framework) -> None:
    """Each engine has a small model for each family's name, MLX its own conversions."""
    repo = place_of(alias, PLAIN, engine).repo or ""
    assert alias in repo.lower()
    assert repo.startswith("mlx-community/") == (engine == "mlx")
    assert ALIASES["torch"].keys() == ALIASES["mlx"].keys()


def test_own_aliases_win() -> None:
    """An alias of the caller's own comes first, and may stand for another, once."""
    options = LocalOptions(aliases={"qwen": "org/mine", "house": "qwen", "far": "house", "llm": "gemma", "a": "a"})
    assert place_of("qwen", options, "torch").repo == "org/mine"
    assert place_of("house", options, "torch").repo == "org/mine"
    assert place_of("llm", options, "torch").repo == ALIASES["torch"]["gemma"]
    assert place_of("far", options, "torch").repo == ALIASES["torch"]["qwen"]
    with pytest.raises(InputError):
        place_of("a", options, "torch")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("org/name", Place(repo="org/name")),
        ("org/na.me-1_b", Place(repo="org/na.me-1_b")),
        ("org/name:q4/file.Q4_K_M.gguf", Place(repo="org/name", gguf="q4/file.Q4_K_M.gguf")),
        ("./here", Place(path=Path("here"))),
        ("/models/x", Place(path=Path("/models/x"))),
        ("~/x", Place(path=Path.home() / "x")),
        ("~/x.gguf", Place(path=Path.home() / "x.gguf", gguf="x.gguf")),
        ("dir/file.GGUF", Place(path=Path("dir/file.GGUF"), gguf="file.GGUF")),
    ],
)
def test_what_a_name_points_to(name: str, place: Place) -> None:
    """A name's shape says whether it is a folder, a file, or a repository."""
    assert place_of(name, PLAIN, "torch") == place


def test_a_relative_folder_with_a_model_is_that_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`org/name` is a folder where one of that name lies here and holds a model."""
    write(tmp_path / "org" / "name", model())
    monkeypatch.chdir(tmp_path)
    assert find("org/name", PLAIN, engine="torch").folder == tmp_path / "org" / "name"
    assert find("./org/name", PLAIN, engine="mlx").folder == tmp_path / "org" / "name"


@pytest.mark.parametrize("name", ["", "qwenn", "a b", "org/name/more", "org/../name", "-x/y", "http://x/y"])
def test_a_name_of_no_known_shape(name: str) -> None:
    """What cannot be a model is refused, with the alias that may have been meant."""
    with pytest.raises(InputError, match="neither an alias") as caught:
        find(name, PLAIN, engine="torch")
    assert ("Did you mean 'qwen'?" in caught.value.advice) == (name == "qwenn")


@pytest.mark.parametrize("file", ["../../x.gguf", "/etc/x.gguf", "q4/../../x.gguf", ".."])
def test_a_file_of_a_repository_is_within_it(file: str) -> None:
    """No name of a file leads out of the cache's snapshot."""
    with pytest.raises(InputError, match=r"leads out of its repository|is neither an alias"):
        place_of(f"org/name:{file}", PLAIN, "torch")


@pytest.mark.parametrize("name", ["nowhere", "nowhere.gguf"])
def test_a_path_that_is_not_there(tmp_path: Path, name: str) -> None:
    """A folder or a file that does not exist is said to be missing."""
    with pytest.raises(ModelFilesError, match="There is no f"):
        find(str(tmp_path / name), PLAIN, engine="torch")


def test_a_gguf_file(tmp_path: Path) -> None:
    """A GGUF file holds the whole model."""
    write(tmp_path, {"a.gguf": b"GGUF....", "b-00001-of-00002.gguf": b""})
    found = find(str(tmp_path / "a.gguf"), PLAIN, engine="torch")
    assert (found.folder, found.gguf, found.size) == (tmp_path, "a.gguf", 8)
    with pytest.raises(InputError, match="only PyTorch"):
        find(str(tmp_path / "a.gguf"), PLAIN, engine="mlx")
    with pytest.raises(ModelFilesError, match="one of several parts"):
        find(str(tmp_path / "b-00001-of-00002.gguf"), PLAIN, engine="torch")
    with pytest.raises(ModelFilesError, match=r"has no config\.json") as caught:
        find(str(tmp_path), PLAIN, engine="torch")
    assert str(tmp_path / "a.gguf") in caught.value.advice


def test_a_gguf_file_in_the_cache(offline: Cache) -> None:
    """A GGUF file of a repository is found in the cache as well, and asked for by its own name where it is not."""
    folder = offline.add("org/name", {"q4.gguf": b"GGUF"}, ref=None)
    found = find("org/name:q4.gguf", PLAIN, engine="torch")
    assert (found.name, found.folder, found.gguf, found.size) == ("org/name:q4.gguf", folder, "q4.gguf", 4)
    with pytest.raises(ModelFilesError) as caught:
        find("org/name:q8.gguf", PLAIN, engine="torch")
    assert "hf download org/name q8.gguf" in caught.value.advice


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({**model(), "config.json": b"{"}, "is not JSON"),
        ({**model(), "config.json": b"[]"}, "not a JSON object"),
        ({**model(), "config.json": b"\xff"}, "is not JSON"),
        ({**sharded(), "model.safetensors.index.json": b"{}"}, "not an index of weights"),
        ({**sharded(), "model.safetensors.index.json": b'{"weight_map": {"a": 1}}'}, "not an index of weights"),
        (without(sharded(3), "model-00001-of-00003.safetensors"), "lacks 1 of the 3 files"),
        (without(model(), "tokenizer.json"), "has no tokenizer"),
        (without(model(), "model.safetensors"), "has no weights"),
    ],
)
def test_a_folder_that_is_not_whole(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    """What is damaged or missing in a folder is named."""
    with pytest.raises(ModelFilesError, match=said) as caught:
        find(str(write(tmp_path, files)), PLAIN, engine="torch")
    assert caught.value.advice


@pytest.mark.parametrize(
    ("file", "advice"), [("adapter_config.json", "adapter"), ("model_index.json", "diffusers"), ("x.txt", "save_pretr")]
)
def test_a_folder_of_something_else(tmp_path: Path, file: str, advice: str) -> None:
    """A folder without a config.json is told for what it is."""
    with pytest.raises(ModelFilesError) as caught:
        find(str(write(tmp_path, {file: b"{}"})), PLAIN, engine="torch")
    assert advice in caught.value.advice


def test_pickle_is_refused_unless_allowed(tmp_path: Path) -> None:
    """Weights that are only there as pickle need `allow_pickle=True`, and PyTorch."""
    pickled = {**without(model(), "model.safetensors"), "pytorch_model.bin": b"pickle"}
    folder = str(write(tmp_path, pickled))
    with pytest.raises(ModelFilesError, match=r"only there as pickle \(pytorch_model\.bin\)") as caught:
        find(folder, PLAIN, engine="torch")
    assert "allow_pickle=True" in caught.value.advice
    assert find(folder, LocalOptions(allow_pickle=True), engine="torch").size == len(b"pickle")
    with pytest.raises(ModelFilesError, match="MLX does not read"):
        find(folder, LocalOptions(allow_pickle=True), engine="mlx")


def test_safetensors_come_before_pickle(tmp_path: Path) -> None:
    """Where both are there, pickle is not even looked at."""
    folder = str(write(tmp_path, {**model(), "pytorch_model.bin": b"longer than the weights"}))
    assert find(folder, LocalOptions(allow_pickle=True), engine="torch").size == len(b"weights")


def test_code_of_the_model_belongs_to_it(tmp_path: Path) -> None:
    """Where a model's own code may be run, it has to be there; where not, nobody asks for it."""
    files = model(auto_map={"AutoConfig": "configuration_x.Config", "AutoModel": "other/repo--modeling_y.Model"})
    folder = str(write(tmp_path, files))
    assert find(folder, PLAIN, engine="torch")
    with pytest.raises(ModelFilesError, match=r"lacks the code of its model: configuration_x\.py"):
        find(folder, LocalOptions(trust_remote_code=True), engine="torch")


def test_what_mlx_quantized_is_for_mlx(tmp_path: Path) -> None:
    """MLX's own quantization is refused by PyTorch before anything is read."""
    folder = str(write(tmp_path, model(quantization={"group_size": 64, "bits": 4})))
    assert find(folder, PLAIN, engine="mlx")
    with pytest.raises(ModelFilesError, match="quantized for MLX"):
        find(folder, PLAIN, engine="torch")


def test_a_model_of_another_kind(offline: Cache) -> None:
    """A model that cannot chat is refused for what it is, before anybody wonders about its tokenizer or weights."""
    vision = {"config.json": b'{"architectures": ["ViTForImageClassification"], "image_size": 224}'}
    offline.add("org/vit", vision)
    with pytest.raises(ModelFilesError, match="is a model of images, as its config") as caught:
        find("org/vit", PLAIN, engine="torch")
    assert "causal language model" in caught.value.message
    offline.add("org/bert", model(architectures=["BertModel"]))
    assert find("org/bert", PLAIN, engine="torch", wanted=("embeddings",)).name == "org/bert"
