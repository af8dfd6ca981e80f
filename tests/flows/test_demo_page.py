"""The demo's report: complete in itself, escaped, and honest about a refused model."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.types import FloatArray, IntArray
from flows.demo.figures import equity_figure, price_figure
from flows.demo.journal import JournalView
from flows.demo.page import Story, page
from flows.demo.plan import Plan
from flows.demo.trading import Traded, Vitals

pytestmark = pytest.mark.slow

START_MS = 1_735_689_600_000
BAR_MS = 900_000
BARS = 400
PNG = b"\x89PNG\r\n\x1a\n"


def plan(folder: Path = Path("20250101-000000")) -> Plan:
    return Plan(
        market="simulated",
        symbols=("BTCUSDT", "ETHUSDT"),
        interval="15m",
        from_ms=START_MS - 365 * 86_400_000,
        until_ms=START_MS,
        bars=BARS,
        seed=7,
        trials=12,
        folder=folder,
        lake=folder,
    )


def trade(symbol: str, bar: int, pnl: float, side: int = 1) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "side": side,
        "opened_ms": START_MS + bar * BAR_MS,
        "closed_ms": START_MS + (bar + 20) * BAR_MS,
        "entry_price": 60_000.0,
        "exit_price": 60_000.0 * (1 + side * pnl / 1000),
        "pnl": pnl,
        "reason": "take" if pnl > 0 else "stop",
    }


def prices() -> tuple[IntArray, FloatArray]:
    steps = np.random.default_rng(1).normal(0, 0.002, BARS)
    times = START_MS + BAR_MS * np.arange(1, BARS + 1, dtype=np.int64)
    return times, 60_000.0 * np.exp(np.cumsum(steps))


def story(**changes: Any) -> Story:
    times, close = prices()
    walk = np.cumsum(np.random.default_rng(2).normal(1.0, 12.0, BARS))
    journal = JournalView(
        equity=tuple((int(t), 10_000.0 + float(w)) for t, w in zip(times, walk, strict=True)),
        trades=(trade("BTCUSDT", 30, 20.0), trade("ETHUSDT", 90, -11.0, side=-1)),
        decisions=800,
        approved=2,
        refused={"expected_value": 610, "position_open": 40, "regime": 148},
        refused_ms=dict.fromkeys(
            ("expected_value", "position_open", "regime"), (START_MS, START_MS + 90 * BAR_MS)
        ),
        orders=4,
        fills=4,
        model_version="3",
    )
    vitals = Vitals(cold_start_s=1.4, rss_mb=121.0, heartbeats=31, heartbeat_gap_s_max=1.2)
    criteria = [
        {"name": "trades", "value": 412, "threshold": 100, "passed": True, "reason": "412 trades"},
        {
            "name": "superiority",
            "value": 0.31,
            "threshold": 0.02,
            "passed": False,
            "reason": "by chance alone <one> in three such searches looks as good",
        },
        {"name": "dsr", "value": None, "threshold": 0.95, "passed": False, "reason": "no value"},
    ]
    training = {
        "gate": {"verdict": "refused", "criteria": criteria},
        "train": {
            "metrics": {
                "train": {"auc": 0.61, "rows": 4000, "brier": 0.21},
                "test": {"auc": 0.52, "rows": 900, "brier": float("nan")},
            }
        },
        "register": {"name": "tribar-demo", "version": 3, "gate": "refused"},
        "quality": {
            "BTCUSDT": {"verdict": "pass", "reasons": []},
            "ETHUSDT": {"verdict": "warn", "reasons": ["4 bars without volume"]},
        },
    }
    told: dict[str, Any] = {
        "plan": plan(),
        "training": training,
        "version": {"version": 3, "bundle_sha256": "ab" * 32},
        "traded": Traded(journal=journal, vitals=vitals, is_lean=True),
        "prices": {"BTCUSDT": (times, close), "ETHUSDT": (times, close / 20)},
        "plots": {"importance": equity_figure(journal.equity)},
        "seconds": {"servers": 15.0, "ingest": 3.21},
        "override": "by chance alone <one> in three such searches looks as good",
    }
    return Story(**(told | changes))


class Links(HTMLParser):
    """Collects whatever a browser would fetch, and every tag left open."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [v or "" for k, v in attrs if k in {"src", "href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_is_well_formed() -> None:
    links = Links()
    links.feed(page(story()))
    assert links.open == []
    assert len(links.fetched) == 4  # equity, two symbols, importance
    assert all(link.startswith("data:image/png;base64,") for link in links.fetched)


def test_text_from_elsewhere_is_escaped() -> None:
    html = page(story())
    assert "<one>" not in html
    assert html.count("&lt;one&gt;") == 2


def test_a_reason_is_shown_with_its_first_and_last_time() -> None:
    row = re.search(r"<tr>(?:(?!</tr>).)*expected value.*?</tr>", page(story()), re.DOTALL)
    assert row is not None
    assert re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", row[0]) == [
        "2025-01-01 00:00",
        "2025-01-01 22:30",
    ]


def test_a_refused_model_is_said_before_any_profit() -> None:
    html = page(story())
    assert html.index("refused by the gate") < html.index("play money")
    assert "refused by the gate" not in page(story(override=""))


def test_missing_figures_are_dashes() -> None:
    html = page(story())
    assert "nan" not in re.sub(r'src="[^"]*"', "", html).lower()
    assert "None" not in re.sub(r'src="[^"]*"', "", html)


def test_a_run_without_bars_or_trades_has_a_page_too() -> None:
    nothing = Traded(journal=JournalView(refused={}, refused_ms={}), vitals=Vitals(), is_lean=False)
    html = page(story(traded=nothing, prices={}, plots={}))
    assert "None." in html


@pytest.mark.parametrize("bars", [1, 2, 500])
def test_figures_are_pngs_and_do_not_depend_on_the_hour(bars: int) -> None:
    equity = [(START_MS + i * BAR_MS, 10_000.0 + i) for i in range(bars)]
    assert equity_figure(equity).startswith(PNG)
    assert equity_figure(equity) == equity_figure(equity)
    times = np.array([row[0] for row in equity], dtype=np.int64)
    close = np.array([row[1] for row in equity])
    assert price_figure("BTCUSDT", times, close, []).startswith(PNG)
