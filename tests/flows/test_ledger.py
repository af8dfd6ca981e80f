"""The gate's ledger: counts every use, survives studies and kills, and notices tampering."""

import json
import multiprocessing
from pathlib import Path

import pytest

from features.errors import InputError
from flows.ledger import RECIPE_TIER, REFIT_TIER, Ledger, Use


def use(number=1, recipe="r", tier=RECIPE_TIER):
    return Use(
        recipe=recipe,
        tier=tier,
        model_key=f"m{number}",
        study=f"s{number}",
        evidence_sha256=f"{number:064d}",
    )


def filled(path, uses=3):
    ledger = Ledger(path)
    for number in range(1, uses + 1):
        k = ledger.begin(use(number), 1000 + number)
        ledger.finish(use(number), k, "refused", 2000 + number)
    return ledger


def test_every_use_is_counted_whatever_the_recipe_and_a_refit_with_its_own(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert [ledger.begin(use(n), n) for n in (1, 2, 3)] == [1, 2, 3]
    assert ledger.begin(use(1, recipe="other"), 9) == 4
    assert ledger.begin(use(4, tier=REFIT_TIER), 9) == 1
    assert ledger.begin(use(4, recipe="other", tier=REFIT_TIER), 9) == 1
    assert ledger.begin(use(4), 9) == 5


def test_the_same_evidence_again_is_the_same_use_even_after_a_kill(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.begin(use(1), 1) == 1
    again = Ledger(tmp_path / "ledger.jsonl")  # killed before the verdict, started anew
    assert again.begin(use(1), 5) == 1
    assert again.begin(use(2), 6) == 2
    again.finish(use(1), 1, "refused", 7)
    again.finish(use(1), 1, "refused", 8)
    assert [e["kind"] for e in again.entries()] == ["attempt", "attempt", "verdict"]


def test_a_recipe_is_proven_by_a_passed_verdict_of_its_own_tier(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert not ledger.is_proven("r")
    ledger.finish(use(1), 1, "refused", 1)
    ledger.finish(use(2, tier=REFIT_TIER), 1, "passed", 2)
    ledger.finish(use(3, recipe="other"), 1, "passed", 3)
    assert not ledger.is_proven("r")
    ledger.finish(use(4), 2, "passed", 4)
    assert ledger.is_proven("r")


def change_a_word(lines):
    lines[2] = lines[2].replace(b'"m2"', b'"mX"')
    return lines


def take_the_last_out(lines):
    return lines[:-1]


def take_one_out(lines):
    return lines[:2] + lines[3:]


def swap_two(lines):
    return [lines[1], lines[0], *lines[2:]]


def forge_without_the_chain(lines):
    entry = json.loads(lines[-1])
    entry["verdict"] = "passed"
    return [*lines[:-1], json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()]


def cut_a_write_short(lines):
    return [*lines[:-1], lines[-1][:20]]


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (change_a_word, 3),
        (take_one_out, 3),
        (swap_two, 1),
        (forge_without_the_chain, 6),
        (cut_a_write_short, 6),
        (take_the_last_out, 6),
    ],
)
def test_tampering_is_detected_and_said_with_the_line(tmp_path, tamper, line):
    path = tmp_path / "ledger.jsonl"
    filled(path)
    path.write_bytes(b"\n".join(tamper(path.read_bytes().splitlines())) + b"\n")
    for look in (
        lambda: Ledger(path).entries(),
        lambda: Ledger(path).begin(use(9), 9),
        lambda: Ledger(path).is_proven("r"),
    ):
        with pytest.raises(InputError, match=f"line {line} ") as told:
            look()
        assert "\n" not in str(told.value)
        assert "backup" in str(told.value)


@pytest.mark.parametrize("kept", [1, 20, 100])
def test_a_write_that_a_full_disk_or_a_power_cut_cut_short_was_no_use(tmp_path, kept):
    """It was never answered, so nobody looked: the file goes on without it."""
    path = tmp_path / "ledger.jsonl"
    filled(path, uses=2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"attempt":3,"before":"' + b"0" * kept)
    assert len(Ledger(path).entries()) == 4
    assert Ledger(path).begin(use(3), 9) == 3
    assert len(Ledger(path).entries()) == 5
    assert path.read_bytes().startswith(whole)


def test_a_line_that_was_answered_and_is_cut_short_later_is_missed(tmp_path):
    path = tmp_path / "ledger.jsonl"
    filled(path, uses=2)
    path.write_bytes(path.read_bytes()[:-10])
    for look in (lambda: Ledger(path).entries(), lambda: Ledger(path).begin(use(9), 9)):
        with pytest.raises(InputError, match="line 4 of 4 is missing"):
            look()
    assert len(path.read_bytes().splitlines()) == 4


def _uses(path: Path, worker: int, count: int) -> None:
    for number in range(count):
        Ledger(path).begin(use(100 * worker + number), number)


@pytest.mark.slow
def test_concurrent_trainings_lose_nothing_and_share_no_number(tmp_path):
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_uses, args=(path, w, 25)) for w in range(1, 4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(50)
        assert worker.exitcode == 0
    entries = Ledger(path).entries()
    assert sorted(e["attempt"] for e in entries) == list(range(1, 76))
    assert len({e["model_key"] for e in entries}) == 75
