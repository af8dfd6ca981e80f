"""The calendar shows where the defects are; the pages of the suite need nothing from anywhere."""

import re

import polars as pl
import pytest

from flows.lake.defects import Rules
from flows.lake.docs_site import make_local, write_index
from flows.lake.heatmap import calendar, share_of_defects
from flows.lake.profile import profile
from flows.lake.verdict import Thresholds, judge
from tests.flows.lake.test_defects import STEP, T0
from tests.flows.lake.test_quality import DAY, changed, clean

LIMITS = Thresholds(history_days_min=30)


def shares(inputs) -> list[float]:
    return share_of_defects(profile(inputs, Rules()).days, LIMITS).to_list()


def test_every_kind_of_defect_colours_its_day():
    inputs = clean(40 * 96)
    time = pl.col("open_ms")

    def on(day: int, bars: int) -> pl.Expr:
        start = T0 + day * DAY
        return time.is_between(start, start + bars * STEP, closed="left")

    frame = inputs.candles.filter(~on(20, 48)).with_columns(
        low=pl.when(on(5, 3)).then(pl.col("high") * 2).otherwise(pl.col("low"))
    )
    unpaid = inputs.funding.filter(~pl.col("time_ms").is_between(T0 + 30 * DAY, T0 + 31 * DAY - 1))
    found = shares(changed(inputs, candles=frame, funding=unpaid))
    wrong = {day: share for day, share in enumerate(found) if share}
    assert wrong == {5: 3 / 96, 20: 0.5, 30: pytest.approx(3 / 96)}


def test_another_market_colours_its_days_and_a_wild_day_does_not():
    inputs = clean(40 * 96)
    columns = ("open_ms", "open", "high", "low")
    far = inputs.candles.select(*columns, close=pl.col("close") * 1.0004)
    wild = inputs.candles.select(
        *columns,
        close=pl.col("close") * pl.when(pl.col("open_ms") < T0 + DAY).then(1.0004).otherwise(1.0),
    )
    assert shares(changed(inputs, marks={STEP: far})) == [1.0] * 40
    assert shares(changed(inputs, marks={STEP: wild})) == [0.0] * 40


def test_the_picture_is_written(tmp_path):
    days = profile(clean(40 * 96), Rules()).days
    path = calendar({"BTCUSDT": days}, "title", tmp_path / "deep" / "quality.png", LIMITS)
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_no_page_names_a_foreign_host(tmp_path):
    page = tmp_path / "validations" / "BTCUSDT" / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        "<html><head><script src='https://a.b/c.js'></script><link href='http://a.b/c.css'/>"
        "<style>body{background: url('https://a.b/c.png') 0 0 no-repeat;}</style></head>"
        "<body><img src='https://a.b/c.png'>kept<a href=\"https://a.b\">words</a>"
        '<footer>ours <a href="https://a.b">no</a></footer></body></html>'
    )
    make_local(tmp_path)
    text = page.read_text()
    assert not re.search("https?://", text)
    assert "kept" in text
    assert "words" in text
    assert "ours" not in text


def test_the_first_page_names_every_symbol_with_its_reasons(tmp_path):
    bad = judge(profile(clean(10 * 96), Rules()).days, LIMITS)
    page = tmp_path / "validations" / "BTCUSDT" / "run" / "one.html"
    page.parent.mkdir(parents=True)
    page.write_text("<html></html>")
    index = write_index(tmp_path, {"BTCUSDT": bad, "<i>": bad}, "Quality").read_text()
    assert "only 10 days of history, at least 30 are needed" in index
    assert 'href="validations/BTCUSDT/run/one.html"' in index
    assert "&lt;i&gt;" in index
    assert 'class="fail"' in index
