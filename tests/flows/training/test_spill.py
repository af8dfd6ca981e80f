"""Rows larger than memory: the same model to the byte, in less memory than the rows take."""

import json
import os
import subprocess
import sys
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.research import table
from flows.research.logistic import fit_linear
from flows.research.models import Machine, boosted, fit_booster
from flows.research.recipe import BoosterParams
from flows.research.table import Table
from flows.training.spill import Spill

MACHINE = Machine(threads=1)
THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of 500 rows, so that a few thousand rows are many."""
    for module in ("flows.research.table", "flows.research.logistic", "flows.research.pages"):
        monkeypatch.setattr(f"{module}.BATCH", 500)
    monkeypatch.setattr("flows.training.spill.BATCH", 500)


def rows_of(n, k=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k))
    label = (rng.random(n) < 1.0 / (1.0 + np.exp(-x[:, 0]))).astype(np.int8)
    return x, label, rng.uniform(0.2, 1.0, n)


def stored(x, path):
    parts = (x[at : at + table.BATCH] for at in range(0, len(x), table.BATCH))
    names = tuple(f"c{i}" for i in range(x.shape[1]))
    return Table(Spill(path=path, bytes_max=0.0).keep(parts, names))


def test_a_stored_choice_of_rows_comes_in_the_same_batches(tmp_path, small_batches):
    x, *_ = rows_of(2_300)
    held = stored(x, tmp_path)

    @given(st.integers(0, 10_000), st.floats(0.0, 1.0))
    def same(seed, share):
        rows = np.flatnonzero(np.random.default_rng(seed).random(2_300) < share)
        ours, theirs = list(Table(x).take(rows).batches()), list(held.take(rows).batches())
        assert len(ours) == len(theirs)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
        twice = rows[::2]
        chosen = np.arange(rows.size)[::2]
        assert np.array_equal(held.take(rows).take(chosen).whole(), x[twice])

    same()


def test_trees_and_logistic_part_are_the_same_to_the_byte(tmp_path, small_batches):
    x, label, weight = rows_of(4_700)
    head, tail = np.arange(3_600), np.arange(3_700, 4_700)
    made = []
    for held in (Table(x), stored(x, tmp_path)):
        booster = fit_booster(
            held.take(head),
            label[head],
            weight[head],
            BoosterParams(rounds_max=40),
            seed=3,
            machine=MACHINE,
            judge=(held.take(tail), label[tail], weight[tail]),
        )
        linear = fit_linear(held.take(head), label[head], weight[head], 0.1)
        made.append(
            (
                bytes(booster.save_raw("ubj")),
                linear.coefficients.tobytes(),
                linear.intercept,
                boosted(booster, held).tobytes(),
                linear.probability(held).tobytes(),
            )
        )
    assert made[0] == made[1]


def test_files_go_with_the_table_and_what_the_dead_left_goes_too(tmp_path):
    left = tmp_path / "999999999-dead"
    left.mkdir()
    (left / "part-000000.parquet").write_bytes(b"x")
    held = stored(rows_of(100)[0], tmp_path)
    assert not left.exists()
    assert len(list(tmp_path.iterdir())) == 1
    del held
    assert list(tmp_path.iterdir()) == []


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_model_is_trained_in_less_memory_than_its_rows_take(tmp_path):
    """The limit is on private memory beyond what the libraries have taken before."""
    capped(tmp_path, "make", 300_000)
    free = json.loads(capped(tmp_path, "train", inf, 0).stdout)
    spare = free["rows_mib"] * 0.97
    failed = capped(tmp_path, "train", inf, spare)
    assert failed.returncode != 0
    assert "MemoryError" in failed.stderr
    spilled = json.loads(capped(tmp_path, "train", 1e6, spare).stdout)
    assert spilled["spilled"]
    assert not free["spilled"]
    assert spilled["sha"] == free["sha"]


def capped(*arguments):
    """Run the program of these tests with one thread a library."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.capped_training", *map(str, arguments)],
        env=os.environ | dict.fromkeys(THREADS, "1"),
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
