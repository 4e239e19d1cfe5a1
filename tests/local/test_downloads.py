"""What is not in the cache is fetched from a Hub of the tests' own: no more than is needed, and told while it comes."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

from hfclient.errors import (
    AuthenticationError,
    ConnectionFailedError,
    HFClientError,
    ModelFilesError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from hfclient.flow import Progress
from hfclient.local.download_faults import explained
from hfclient.local.downloads import Abandoned, Meter, Wanted, plan
from hfclient.local.files import ModelFiles
from hfclient.local.models import find
from hfclient.local.options import LocalOptions
from tests.local.repositories import (
    COMMIT,
    Cache,
    Hub,
    hf_cache,  # noqa: F401  a fixture
    model,
    no_repository,
    refused,
    sharded,
    without,
)
from tests.local.sockets import forbid_connections
from tests.loopback import Close, Loopback, Received, Send, Step, Steps, answer

PLAIN = LocalOptions()


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch, hf_cache: Cache) -> None:  # noqa: F811
    forbid_connections(monkeypatch, loopback=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Hub], Any]:
    """Serves a Hub, in the place of the real one."""

    @contextmanager
    def serving(hub: Hub) -> Iterator[Loopback]:
        with Loopback(hub) as server:
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
            files = server.url + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
            try:
                yield server
            finally:
                close_session()

    return serving


def look(name: str = "org/name", options: LocalOptions = PLAIN, **what: Any) -> ModelFiles:
    return find(name, options, engine="torch", **what)


def test_a_model_is_fetched_once(serve: Callable[[Hub], Any], hf_cache: Cache) -> None:  # noqa: F811
    """What the cache lacks comes from the Hub into the cache, and the next look asks nobody."""
    hub = Hub(sharded())
    with serve(hub) as server:
        found = look()
        asked = len(server.requests)
        assert look() == found
        assert len(server.requests) == asked
    assert found.folder == hf_cache.storage("org/name") / "snapshots" / COMMIT
    assert (hf_cache.storage("org/name") / "refs" / "main").read_text() == COMMIT
    assert sorted(hub.fetched) == sorted(hub.files)
    assert found.size == 2 * len(b"shard")


def test_no_token_but_the_given_one_is_sent(serve: Callable[[Hub], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The token given goes along; without one none does, also where this machine keeps one."""
    monkeypatch.setenv("HF_TOKEN", "hf_fake_of_the_machine")
    with serve(Hub(model())) as server:
        look(token="hf_fake_given")
        assert {each.headers.get("authorization") for each in server.requests} == {"Bearer hf_fake_given"}
    with serve(Hub(model(), repo="org/open")) as server:
        look("org/open")
        assert {each.headers.get("authorization") for each in server.requests} == {None}


def test_the_hub_is_the_one_that_is_given(hf_cache: Cache) -> None:  # noqa: F811
    """Everything is asked of the Hub that the caller named; or of none, if the caller says so."""
    with Loopback(Hub(model())) as server:
        with pytest.raises(ModelFilesError, match="may not be asked"):
            look(hub_url=server.url, offline=True)
        assert server.requests == []
        assert look(hub_url=server.url).folder.is_relative_to(hf_cache.folder)
        close_session()
    assert look(offline=True).name == "org/name"


def test_a_revision_is_asked_for(serve: Callable[[Hub], Any], hf_cache: Cache) -> None:  # noqa: F811
    """The revision of the options is what is fetched, and noted for the next time."""
    with serve(Hub(model())) as server:
        look(options=LocalOptions(revision="v1.0"))
        assert "/api/models/org/name/revision/v1.0" in server.requests[0].target
    assert (hf_cache.storage("org/name") / "refs" / "v1.0").read_text() == COMMIT


MANY = {
    **sharded(),
    "generation_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "additional_chat_templates/tools.jinja": b"{{ tools }}",
    "tokenizer.model": b"pieces",
    "merges.txt": b"a b",
    "README.md": b"",
    "modeling_x.py": b"",
    "consolidated.safetensors": b"the same again",
    "model.fp16.safetensors": b"the same again",
    "pytorch_model.bin": b"the same again",
    "pytorch_model.bin.index.json": b"{}",
    "tf_model.h5": b"the same again",
    "onnx/model.onnx": b"the same again",
    "onnx/config.json": b"{}",
    "original/consolidated.00.pth": b"the same again",
    "training_args.bin": b"",
}
NEEDED = {
    *sharded(),
    "generation_config.json",
    "chat_template.jinja",
    "additional_chat_templates/tools.jinja",
    "tokenizer.model",
    "merges.txt",
}


def test_only_what_is_needed_is_fetched(serve: Callable[[Hub], Any]) -> None:
    """The weights come once, as safetensors; no other format, no code, no pictures."""
    hub = Hub(MANY)
    with serve(hub):
        look()
    assert set(hub.fetched) == NEEDED


@pytest.mark.parametrize(
    ("options", "gone", "needed"),
    [
        ({"code": True}, [], NEEDED | {"modeling_x.py"}),
        ({"allow_pickle": True}, [], NEEDED),
        (
            {"allow_pickle": True},
            [name for name in MANY if name.startswith("model-") or name == "model.safetensors.index.json"],
            (NEEDED - {*sharded()})
            | {"config.json", "tokenizer.json", "pytorch_model.bin", "pytorch_model.bin.index.json"},
        ),
        ({"gguf": "q.gguf"}, [], {"q.gguf"}),
    ],
)
def test_the_plan(options: dict[str, Any], gone: list[str], needed: set[str]) -> None:
    """Code is fetched where it may be run, pickle where it is allowed and there is nothing else."""
    sizes = dict.fromkeys([name for name in MANY if name not in gone] + ["q.gguf"], 1)
    assert set(plan(sizes, Wanted(repo="org/name", **options))) == needed


@pytest.mark.parametrize(
    ("files", "message", "advice"),
    [
        (["pytorch_model.bin", "config.json"], "only there as pickle", "allow_pickle=True"),
        (["config.json", "tf_model.h5"], "no weights that can be read", "transformers' format"),
        (["q4.gguf", "q8.gguf"], "no config.json", "org/name:q4.gguf"),
        (["adapter_config.json", "adapter_model.safetensors"], "no config.json", "adapter"),
        (["model_index.json", "vae/config.json"], "no config.json", "diffusers"),
        ([], "no config.json", "safetensors"),
    ],
)
def test_what_could_not_be_loaded_is_not_fetched(
    serve: Callable[[Hub], Any], files: list[str], message: str, advice: str
) -> None:
    """A repository that holds no model of ours is refused by the list of its files."""
    hub = Hub(dict.fromkeys(files, b"{}"))
    with serve(hub), pytest.raises(ModelFilesError, match=message) as caught:
        look()
    assert advice in caught.value.advice
    assert hub.fetched == []


def test_a_model_of_another_kind_is_not_fetched(serve: Callable[[Hub], Any]) -> None:
    """Of a model that cannot chat, no more than config.json is fetched."""
    hub = Hub(model(architectures=["BertForMaskedLM"]))
    with serve(hub), pytest.raises(ModelFilesError, match="is an encoder"):
        look()
    assert hub.fetched == ["config.json"]


def test_a_model_without_a_tokenizer(serve: Callable[[Hub], Any]) -> None:
    """A repository that has no tokenizer is said to have none."""
    with serve(Hub(without(model(), "tokenizer.json"))), pytest.raises(ModelFilesError, match="has no tokenizer"):
        look()


def test_a_gguf_file_alone_is_fetched(serve: Callable[[Hub], Any]) -> None:
    """Of a repository of GGUF files the one that was named is fetched; a wrong name is answered with the right ones."""
    hub = Hub({"q4.gguf": b"GGUF", "q8.gguf": b"GGUF", "README.md": b""})
    with serve(hub):
        found = look("org/name:q4.gguf")
        with pytest.raises(ModelFilesError, match=r"no file q5\.gguf") as caught:
            look("org/name:q5.gguf")
    assert (found.name, found.gguf, found.size) == ("org/name:q4.gguf", "q4.gguf", 4)
    assert hub.fetched == ["q4.gguf"]
    assert "q4.gguf, q8.gguf" in caught.value.advice


def test_an_interrupted_download_goes_on(serve: Callable[[Hub], Any], hf_cache: Cache) -> None:  # noqa: F811
    """What an earlier download brought is not fetched again, and counts as done."""
    hub = Hub(sharded())
    hf_cache.add("org/name", without(sharded(), "model-00002-of-00002.safetensors"))
    told: list[Progress] = []
    with serve(hub):
        look(tell=told.append)
    assert hub.fetched == ["model-00002-of-00002.safetensors"]
    assert told[0].fraction == pytest.approx(1 - 5 / sum(map(len, sharded().values())))
    assert told[-1].fraction == 1


def slowly(name: str, content: bytes) -> Steps:
    for start in range(0, len(content), 4096):
        yield Send(content[start : start + 4096])


def test_progress_is_told(serve: Callable[[Hub], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every whole per cent is told once, as a fraction and in words; the last is all of it."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    told: list[Progress] = []
    with serve(Hub({**model(), "model.safetensors": bytes(2_000_000)}, body=slowly)):
        look(tell=told.append)
    fractions = [each.fraction or 0 for each in told]
    assert len(fractions) > 20
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == 1
    assert {each.state for each in told} == {"downloading"}
    assert told[-1].logs == ("2.0 of 2.0 MB",)


def test_a_download_is_given_up(
    serve: Callable[[Hub], Any],
    monkeypatch: pytest.MonkeyPatch,
    hf_cache: Cache,  # noqa: F811
) -> None:
    """Once nobody wants it, a download ends with the next bytes that arrive, and so do those beside it."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    names = [name for name in sharded(4) if name.startswith("model-")]
    files = {**sharded(4), **{name: name.encode() + bytes(1_000_000) for name in names}}
    told: list[float] = []

    with serve(Hub(files, body=slowly)), pytest.raises(Abandoned):
        look(tell=lambda each: told.append(each.fraction or 0), cancelled=lambda: bool(told) and told[-1] > 0.05)
    assert 0.05 < told[-1] < 0.2
    assert not any((hf_cache.storage("org/name") / "snapshots" / COMMIT / name).exists() for name in names)


def test_nothing_is_asked_for_nobody(serve: Callable[[Hub], Any]) -> None:
    """A call that was cancelled before the Hub was asked does not ask it."""
    with serve(Hub(model())) as server, pytest.raises(Abandoned):
        look(cancelled=lambda: True)
    assert server.requests == []


@pytest.mark.parametrize(
    ("answered", "kind", "said", "advice"),
    [
        (no_repository(), NotFoundError, "no model org/name", "spelled right"),
        (refused(401, "RepoNotFound"), NotFoundError, "or it is private", "token"),
        (refused(404, "RevisionNotFound"), NotFoundError, "no revision v9", "/tree/main"),
        (refused(403, "GatedRepo"), PermissionDeniedError, "accepted its terms", "https://huggingface.co/org/name"),
        (refused(401, "", "Invalid credentials in Authorization header"), AuthenticationError, "401", "token"),
        (refused(403, ""), PermissionDeniedError, "403", "token"),
        (refused(429, ""), RateLimitError, "429", "Wait"),
        (refused(500, ""), ServerError, "500", "hf download"),
    ],
)
def test_what_the_hub_refuses(
    serve: Callable[[Hub], Any], answered: list[Step], kind: type[HFClientError], said: str, advice: str
) -> None:
    """Each refusal of the Hub is an error of its own that says what to do, and shows no token."""
    hub = Hub(model(), refuse=lambda _: answered)
    with serve(hub), pytest.raises(kind, match=said) as caught:
        look(options=LocalOptions(revision="v9"), token="hf_fake_given")
    assert advice in caught.value.advice
    assert caught.value.model == "org/name"
    assert "hf_fake" not in str(caught.value)


def test_an_answer_that_is_not_the_hubs(serve: Callable[[Hub], Any]) -> None:
    """Where something else answers in the Hub's place, such as a hotel's login page, that is told."""
    hub = Hub(model(), refuse=lambda _: answer(b"<html>", headers={"content-type": "text/html"}))
    with serve(hub), pytest.raises(ConnectionFailedError, match="not in JSON"):
        look()


def test_weights_that_are_gated(serve: Callable[[Hub], Any]) -> None:
    """Where the list of files may be read and the files may not, that is told as well."""

    def refuse(request: Received) -> list[Step] | None:
        return refused(403, "GatedRepo") if "/resolve/" in request.path else None

    with serve(Hub(model(), refuse=refuse)), pytest.raises(PermissionDeniedError, match="accepted its terms"):
        look()


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no connection can be made, that is the error, and not a missing model."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionFailedError, match="org/name could not be downloaded") as caught:
        look()
    assert "network" in caught.value.advice


def test_a_connection_that_breaks(serve: Callable[[Hub], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is cut off again and again ends as a failed connection."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub = Hub(model(), body=lambda name, content: [Send(content[:1]), Close()] if "safe" in name else [Send(content)])
    with serve(hub), pytest.raises(ConnectionFailedError):
        look()


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "The disk is full"), (errno.EDQUOT, "disk is full"), (errno.EACCES, "denied")]
)
def test_a_disk_that_takes_no_more(
    serve: Callable[[Hub], Any], monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    """A full disk, or one that may not be written to, is an error about the files and not about the network."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "Permission denied")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", fail)
    with serve(Hub(model())), pytest.raises(ModelFilesError, match=said):
        look()


def test_what_huggingface_hub_raises_has_its_place() -> None:
    """Its own errors, and those that they hide, are ours; what is no failure of a download is left as it is."""
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    hidden = LocalEntryNotFoundError("no snapshot")
    hidden.__cause__ = TimeoutError()
    for error, kind in (
        (hidden, ConnectionFailedError),
        (LocalEntryNotFoundError("no snapshot"), ModelFilesError),
        (OfflineModeIsEnabled(), ModelFilesError),
        (HFValidationError(), NotFoundError),
        (RuntimeError(), ConnectionFailedError),
    ):
        assert type(explained(error, "org/name", None)) is kind
    assert explained(ModelFilesError("as it is"), "org/name", None) is None
    assert explained(ValueError(), "org/name", None) is None


def test_a_session_that_another_download_ended(serve: Callable[[Hub], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a download over Xet ends because another one was given up, it goes on."""
    from huggingface_hub import HfApi

    fetch = HfApi.snapshot_download
    failures = [RuntimeError("Operation cancelled: Task cancelled"), RuntimeError("Operation cancelled")]

    def flaky(self: HfApi, *what: Any, **how: Any) -> Any:
        if failures:
            raise failures.pop()
        return fetch(self, *what, **how)

    monkeypatch.setattr(HfApi, "snapshot_download", flaky)
    with serve(Hub(model())):
        assert look().name == "org/name"
        failures.append(RuntimeError("something else"))
        (look().folder / "model.safetensors").unlink()
        with pytest.raises(ConnectionFailedError, match="could not be downloaded") as caught:
            look()
    assert "HF_HUB_DISABLE_XET" in caught.value.advice


def test_giving_up_ends_what_xet_has_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Xet calls its progress bars from outside Python, so it is told to stop as well."""
    ended: list[str] = []
    monkeypatch.setattr("huggingface_hub.utils._xet.abort_xet_session", lambda: ended.append("ended"))
    meter = Meter(tell=None, cancelled=lambda: True)
    with pytest.raises(Abandoned):
        meter.check()
    assert ended == ["ended"]


def test_bytes_are_counted_once() -> None:
    """The bytes that arrive and the bytes that are written are the same bytes; a count of files is neither."""
    told: list[float | None] = []
    meter = Meter(tell=lambda progress: told.append(progress.fraction), cancelled=lambda: False)
    meter.expect({"a": 50, "b": 50}, set())
    arriving, writing, files = (meter.bars(unit=unit, total=0) for unit in ("B", "B", "it"))
    arriving.update(50)
    writing.update(25)
    writing.update(25)
    files.update(1)
    arriving.update(None)
    assert told == [0, 0.5]
    assert (arriving.n, writing.n, files.n) == (50, 50, 1)


def test_a_damaged_config_is_not_fetched_past(serve: Callable[[Hub], Any]) -> None:
    """A config.json on the Hub that is no JSON is refused before the weights are fetched."""
    hub = Hub({**model(), "config.json": b"<html>"})
    with serve(hub), pytest.raises(ModelFilesError, match="is not JSON"):
        look()
    assert hub.fetched == ["config.json"]
    assert json.loads(model()["config.json"])


def test_the_given_folder_is_the_snapshot(serve: Callable[[Hub], Any], hf_cache: Cache) -> None:  # noqa: F811
    """The files are where huggingface_hub itself has them, for everybody who looks there."""
    from huggingface_hub import try_to_load_from_cache

    with serve(Hub(model())):
        found = look()
    path = try_to_load_from_cache("org/name", "model.safetensors", cache_dir=hf_cache.folder)
    assert Path(str(path)) == found.folder / "model.safetensors"
