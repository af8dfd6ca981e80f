"""Where the real market data lies, for tests that use it."""

import os
from pathlib import Path

import pytest


def shared_data() -> Path:
    """Return the folder of real data, or skip the calling test with the reason."""
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("TRIBAR_SHARED_DATA", root.parent / "shared" / "data"))
    if not (folder / "binance-perp").is_dir():
        pytest.skip(f"real data is not at {folder.name}/ beside the project (TRIBAR_SHARED_DATA)")
    return folder
