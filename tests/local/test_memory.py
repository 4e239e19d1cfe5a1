"""What a model will take in memory is told from its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfclient.local.files import ModelFiles
from hfclient.local.memory import memory_of
from hfclient.local.models import find
from hfclient.local.options import LocalOptions
from tests.local import checkpoints
from tests.local.repositories import model as files_of_bytes
from tests.local.repositories import write

PLAIN = LocalOptions(device="cpu")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_weights_as_they_will_be(tmp_path: Path, dtype: str) -> None:
    """On a processor every weight takes four bytes, whatever the files have; or what was asked for; MLX keeps them."""
    made = checkpoints.model()
    count = sum(each.numel() for each in made.parameters())
    files = find(str(checkpoints.save(tmp_path, made, dtype=dtype)), PLAIN, engine="torch")
    assert memory_of(files, PLAIN, "torch") == 4 * count
    assert memory_of(files, LocalOptions(device="cpu", dtype="bfloat16"), "torch") == 2 * count
    assert memory_of(files, PLAIN, "mlx") == (4 if dtype == "float32" else 2) * count


def test_quantized_on_the_way(tmp_path: Path) -> None:
    """Quantization packs the layers, and leaves embeddings and norms in 16 bits."""
    made = checkpoints.model()
    files = find(str(checkpoints.save(tmp_path, made)), PLAIN, engine="torch")
    rest = sum(w.numel() for name, w in made.named_parameters() if w.ndim == 1 or "embed" in name or "lm_head" in name)
    layers = sum(each.numel() for each in made.parameters()) - rest
    for quantization, width in (("8bit", 1), ("4bit", 0.5625)):
        options = PLAIN.changed({"quantization": quantization})
        assert memory_of(files, options, "torch") == pytest.approx(2 * rest + width * layers, abs=1)
        assert memory_of(files, options, "mlx") == 4 * (rest + layers)


def test_quantized_before(tmp_path: Path) -> None:
    """What is quantized on the disk takes the same in memory."""
    files = ModelFiles(name="x", folder=tmp_path, config={"quantization": {"bits": 4}}, size=1000)
    assert memory_of(files, PLAIN, "mlx") == 1000


@pytest.mark.parametrize(
    ("name", "bytes_a_weight"),
    [("m-Q8_0.gguf", 8.5 / 8), ("m.F16.gguf", 2), ("m-q4_k_m.gguf", 4.7 / 8), ("m.gguf", 4.7 / 8)],
)
def test_gguf_is_unpacked(tmp_path: Path, name: str, bytes_a_weight: float) -> None:
    """A GGUF file is unpacked as it is loaded: its name says from how many bits a weight."""
    files = ModelFiles(name="x", folder=tmp_path, gguf=name, size=1000)
    assert memory_of(files, PLAIN, "torch") == pytest.approx(4 * 1000 / bytes_a_weight, abs=1)


@pytest.mark.parametrize(
    "content", [b"", b"abc", b"\xff" * 20, (5).to_bytes(8, "little") + b"[[[[[", b"\2" + bytes(7) + b"[]"]
)
def test_damaged_files_have_a_size(tmp_path: Path, content: bytes) -> None:
    """Of files that cannot be read the size is taken; loading them is what tells."""
    folder = write(tmp_path, {**files_of_bytes(dtype="float32"), "model.safetensors": content})
    files = find(str(folder), PLAIN, engine="torch")
    assert memory_of(files, PLAIN, "torch") == len(content)
