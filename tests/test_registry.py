"""Providers by name: our own, and those that installed packages bring."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from hfclient.provider import Provider
from hfclient.providers.table import PROVIDERS
from hfclient.registry import Registry

THIRD_PARTY = Path(__file__).parent / "thirdparty"


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(THIRD_PARTY)


def install(folder: Path, target: str, source: str | None, name: str = "broken") -> None:
    """Put a package with one entry point into this folder."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[hfclient.providers]\n{name} = {target}\n")
    if source is not None:
        (folder / f"{target.partition(':')[0]}.py").write_text(source)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_our_own_are_found_without_a_look_at_packages(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the table has costs no search of the installed packages."""
    monkeypatch.setattr("hfclient.registry.entry_points", lambda **_: pytest.fail("packages were searched"))
    assert Registry().find(provider.name) is provider


def test_names_are_unique() -> None:
    """No row of the table hides another."""
    assert len({provider.name for provider in PROVIDERS}) == len(PROVIDERS)


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("name", ["alpha", "beta", "alone"])
def test_an_installed_package_brings_providers(name: str) -> None:
    """An entry point names one provider or several, and all are found by their names."""
    registry = Registry()
    found = registry.find(name)
    assert found is not None
    assert (found.name, found.url) == (name, f"https://api.{name}.example")
    assert name in registry.names()


@pytest.mark.usefixtures("_installed")
def test_a_package_cannot_take_the_place_of_one_of_ours() -> None:
    """A package that calls its provider groq does not get groq's calls and keys."""
    registry = Registry()
    groq = registry.find("groq")
    assert groq is not None
    assert groq.url == "https://api.groq.com"
    assert registry.names().count("groq") == 1


@pytest.mark.usefixtures("_installed")
def test_packages_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown names do not read the disk again and again."""
    registry = Registry()
    assert registry.find("nobody") is None
    monkeypatch.setattr("hfclient.registry.entry_points", lambda **_: pytest.fail("searched again"))
    assert registry.find("nobody") is None
    assert registry.find("alpha") is not None


def test_a_registry_may_hold_other_providers() -> None:
    """The table is a default, not a global."""
    only = Provider("only", "https://only.example")
    registry = Registry([only])
    assert registry.find("only") is only
    assert registry.find("groq") is None
    assert registry.names() == ["only"]


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("hfclient_not_there:provider", None),
        ("hfclient_broken_a:missing", "x = 1"),
        ("hfclient_broken_b:provider", "provider = 3"),
        ("hfclient_broken_c:provider", "provider = 'groq'"),
        ("hfclient_broken_d:provider", "provider = [None]"),
        (
            "hfclient_broken_e:provider",
            "from hfclient import Provider\nprovider = Provider('x', 'https://x', no_such=1)",
        ),
        ("hfclient_broken_f:provider", "from hfclient import Provider\nprovider = Provider"),
        ("hfclient_broken_g:provider", "raise ValueError('not configured')"),
    ],
)
def test_a_broken_package_is_passed_over_with_a_warning(
    target: str, source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One package that cannot be loaded takes no other with it, and the log says which it was."""
    install(tmp_path, target, source)
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING, "hfclient"):
        registry = Registry()
        assert registry.find("x") is None
        assert registry.find("alpha") is not None
    assert [record for record in caplog.records if target in record.getMessage()]
    assert len(caplog.records) == 1


def test_the_first_package_to_bring_a_name_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages with one name do not take turns."""
    for place, number in (("a", 1), ("b", 2)):
        source = f"from hfclient import Provider\nprovider = Provider('same', 'https://{number}.example')"
        install(tmp_path, f"hfclient_same_{place}:provider", source, name=f"same-{place}")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()
    first: Any = registry.find("same")
    assert first is registry.find("same")
    assert registry.names().count("same") == 1
