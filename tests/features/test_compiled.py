"""Compiled code: where it is kept, and that no edit is ever served stale."""

from collections.abc import Iterator
from pathlib import Path

import numba
import pytest

from features import compiled
from features.batch import _driver
from features.kernels.registry import KERNELS


def thrice(x: float) -> float:
    return 3.0 * x


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation of its own: `package/` beside the source, `home/` the person's."""
    (tmp_path / "package").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "package" / "compiled.py"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    yield tmp_path
    assert numba.config.CACHE_DIR == ""


def cannot_be_written(folder: Path) -> None:
    """A file where the folder was: not even root can write into it."""
    folder.rmdir()
    folder.write_text("")


def kept(folder: Path) -> list[Path]:
    return list(folder.rglob("thrice-*/**/*.nbi"))


def test_code_is_kept_beside_the_source(places: Path) -> None:
    assert compiled.compiled(thrice)(2.0) == 6.0
    assert len(kept(places / "package")) == 1
    assert kept(places / "home") == []


def test_a_read_only_installation_keeps_it_in_the_home(places: Path) -> None:
    cannot_be_written(places / "package")
    assert compiled.compiled(thrice)(2.0) == 6.0
    assert len(kept(places / "home" / ".cache" / "tribar")) == 1


def test_where_nothing_can_be_written_it_is_compiled_each_time(places: Path) -> None:
    cannot_be_written(places / "package")
    cannot_be_written(places / "home")
    assert compiled.compiled(thrice)(2.0) == 6.0
    assert kept(places) == []


def test_numbas_own_variable_goes_first(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(places / "asked"))
    assert compiled.compiled(thrice)(2.0) == 6.0
    assert len(kept(places / "asked")) == 1
    assert kept(places / "package") == []
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")


def test_what_a_function_reaches_and_how_it_is_compiled_names_its_folder() -> None:
    update = KERNELS["rolling_z"].update
    reached = compiled._reachable(update)
    assert {f.__name__ for f in reached} == {"rolling_z", "moments"}
    found = {
        compiled._fingerprint(reached, {}),
        compiled._fingerprint(reached[:1], {}),
        compiled._fingerprint(reached, {"_nrt": False}),
    }
    assert len(found) == 3
    assert compiled._fingerprint(reached, {}) in found


def test_no_two_loops_have_one_name() -> None:
    """Machine code out of the cache is linked by name."""
    names = [_driver(kernel).__qualname__ for kernel in KERNELS.values()]
    assert len(set(names)) == len(names)
