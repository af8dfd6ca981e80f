"""The schema hash speaks for names, parameters and the kernels' source."""

import ast
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from features.catalog import Catalog, default_catalog
from features.errors import InputError
from features.kernels import version
from features.kernels.registry import KERNELS
from features.node import Feature, Node

FEATURES = Path(version.__file__).parents[1]
SOURCES = sorted(
    path
    for path in [
        *(FEATURES / "kernels").glob("*.py"),
        FEATURES / "volatility.py",
        FEATURES / "bars.py",
        FEATURES / "funding.py",
    ]
    if path.name not in ("__init__.py", "registry.py", "version.py")
)


def source_version() -> str:
    """Digest the kernels' code without comments, docstrings and layout."""
    digest = hashlib.sha256()
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
                node.body = node.body[1:]
        digest.update(f"{path.name}\n{ast.unparse(tree)}\n".encode())
    return digest.hexdigest()[:16]


def test_the_source_version_is_that_of_the_source() -> None:
    found = source_version()
    assert found == version.SOURCE_VERSION, (
        f"a kernel's source changed: set SOURCE_VERSION = {found!r} in features/kernels/version.py "
        "(models trained before are then refused by their schema hash)"
    )


def test_names_parameters_order_and_timeframe_change_the_hash() -> None:
    def catalog(name: str = "a", n: int = 3, timeframe: int = 1) -> Catalog:
        node = Node("ema", ("close",), (n,))
        other = Feature(name="z", unit="price", node=node)
        return Catalog((Feature(name=name, unit="price", node=node, timeframe=timeframe), other))

    one = catalog()
    different = [
        catalog(name="b"),
        catalog(n=4),
        catalog(timeframe=4),
        one.subset(["z", "a"]),
        one.subset(["a"]),
    ]
    assert len({one.schema_hash, *(other.schema_hash for other in different)}) == 6
    assert catalog().schema_hash == one.schema_hash


def test_the_default_catalog_is_wide_warm_in_time_and_says_its_units() -> None:
    catalog = default_catalog()
    assert len(catalog.names) >= 48
    assert catalog.warmup_bars <= 8_640
    assert {feature.timeframe for feature in catalog.features} == {1, 4, 16}
    assert all(feature.unit and feature.lookback > 0 for feature in catalog.features)


def test_mistakes_in_a_catalog_name_the_next_step() -> None:
    with pytest.raises(InputError, match="'rsi_14'"):
        default_catalog().subset(["rsi_41"])
    with pytest.raises(InputError, match="listed twice"):
        default_catalog().subset(["rsi_14", "rsi_14"])
    with pytest.raises(InputError, match="no features"):
        default_catalog().subset([])
    with pytest.raises(InputError, match="kernel 'rsj'; did you mean 'rsi'"):
        Node("rsj", ("close",), (14,))
    with pytest.raises(InputError, match="did you mean 'close'"):
        Node("rsi", ("clos",), (14,))
    with pytest.raises(InputError, match="takes 1 inputs"):
        Node("rsi", ("close", "index"), (14,))
    with pytest.raises(InputError, match="5 inputs; 1 to 4 are possible"):
        replace(KERNELS["rsi"], inputs=5)
    with pytest.raises(InputError, match="no output 3"):
        Node("adx", ("high", "low", "close"), (14,), 3)
