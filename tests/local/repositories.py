"""Models' repositories made of a few bytes: in a folder, in a Hugging Face cache, and on a Hub of the tests' own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.loopback import Received, Send, Step, Steps, head, json_answer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "89abcdef0123456789abcdef0123456789abcdef"

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8}


def model(**config: object) -> dict[str, bytes]:
    """The files of a model that is whole."""
    return {
        "config.json": json.dumps({**CONFIG, **config}).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": b"weights",
    }


def sharded(count: int = 2) -> dict[str, bytes]:
    files = model()
    del files["model.safetensors"]
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    index = {"metadata": {}, "weight_map": {f"layer.{number}": name for number, name in enumerate(names)}}
    return {**files, "model.safetensors.index.json": json.dumps(index).encode(), **dict.fromkeys(names, b"shard")}


def without(files: Mapping[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in names}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@dataclass(frozen=True)
class Cache:
    """A Hugging Face cache in a folder of the test's own."""

    folder: Path

    def storage(self, repo: str) -> Path:
        return self.folder / f"models--{repo.replace('/', '--')}"

    def add(self, repo: str, files: Mapping[str, bytes], *, commit: str = COMMIT, ref: str | None = "main") -> Path:
        """Put a snapshot there, its files links to blobs, as huggingface_hub has it."""
        storage = self.storage(repo)
        snapshot = storage / "snapshots" / commit
        for name, content in files.items():
            blob = storage / "blobs" / hashlib.sha256(content).hexdigest()
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(content)
            path = snapshot / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(blob)
        if ref is not None:
            (storage / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
            (storage / "refs" / ref).write_text(commit)
        return snapshot


@pytest.fixture
def hf_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty cache, in the place of this machine's."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return Cache(folder)


@dataclass
class Hub:
    """What a Hub answers for one repository: a handler for `tests.loopback`."""

    files: Mapping[str, bytes]
    repo: str = "org/name"
    commit: str = COMMIT
    refuse: Callable[[Received], list[Step] | None] = lambda _: None
    body: Callable[[str, bytes], Steps] | None = None
    fetched: list[str] = field(default_factory=list)

    def __call__(self, request: Received) -> Steps:
        refused = self.refuse(request)
        if refused is not None:
            return refused
        prefix = f"/{self.repo}/resolve/{self.commit}/"
        if request.path.startswith(prefix):
            return self._file(request, request.path.removeprefix(prefix))
        if request.path.startswith(f"/api/models/{self.repo}/tree/"):
            return json_answer([self._entry(name) for name in self.files])
        if request.path.startswith(f"/api/models/{self.repo}"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
            return json_answer({"id": self.repo, "sha": self.commit, "siblings": siblings})
        return no_repository()

    def _entry(self, name: str) -> dict[str, object]:
        oid = hashlib.sha256(name.encode() + self.files[name]).hexdigest()[:40]
        return {"type": "file", "path": name, "size": len(self.files[name]), "oid": oid}

    def _file(self, request: Received, name: str) -> Steps:
        content = self.files[name]
        entry = self._entry(name)
        headers = {"etag": f'"{entry["oid"]}"', "x-repo-commit": self.commit, "content-length": str(len(content))}
        if request.method == "HEAD":
            return [Send(head(200, headers))]
        self.fetched.append(name)
        return [Send(head(200, headers)), *(self.body(name, content) if self.body else [Send(content)])]


def refused(status: int, code: str, message: str = "") -> list[Step]:
    return json_answer({"error": message}, status=status, headers={"x-error-code": code, "x-error-message": message})


def no_repository() -> list[Step]:
    return refused(404, "RepoNotFound", "Repository not found")
