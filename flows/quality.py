"""Flow: may the lake's candles be trained on? A verdict a symbol, with its reasons.

Wires only: the profile, the checks and the verdict are ``flows.lake``'s; Great Expectations writes
its Data Docs of the same checks.
"""

from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext

from flows.lake.assess import Assessment, assess
from flows.lake.defects import Rules
from flows.lake.docs_site import write_index
from flows.lake.heatmap import calendar
from flows.lake.store import Lake
from flows.lake.suite import document
from flows.lake.verdict import Thresholds
from flows.settings import load_settings
from flows.shown.pages import image_page
from flows.universe import chosen_symbols


@flow(name="quality", persist_result=True, result_serializer="json")
def quality(
    symbols: list[str] | None = None, interval: str | None = None, venue: str | None = None
) -> dict[str, Any]:
    """Judge the symbols' candles: pass, warn or fail, with reasons in plain words.

    Bars that cannot be true are put aside (training reads around them); a symbol with `fail` may
    not be trained on. The checks stand in the Data Docs, the days in a calendar.

    Returns
    -------
    dict
        By symbol: ``verdict``, ``reasons``, ``history_days``, ``coverage``.
    """
    settings = load_settings()
    wanted = symbols or chosen_symbols(settings, venue)
    step, name = interval or settings.data.interval, venue or settings.venue.id
    limits = Thresholds(**settings.quality.model_dump())
    lake = Lake(settings.paths.lake)
    found = assess(lake, name, wanted, step, rules=Rules(), limits=limits)
    profiles = {s: a.days for s, a in found.items() if not a.days.is_empty()}
    reports = settings.paths.reports
    docs = document(profiles, {s: found[s].checks for s in profiles}, reports / "data_docs")
    picture = calendar(profiles, f"{name} {step}: defects by day", reports / "quality.png", limits)
    write_index(
        reports / "data_docs",
        {symbol: one.verdict for symbol, one in found.items()},
        f"Quality of {name} {step}",
        picture,
    )
    if FlowRunContext.get() is not None:
        create_table_artifact(_rows(found), key="quality", description="May be trained on?")
        page = image_page("Defects by day", picture.read_bytes())
        create_markdown_artifact(page, key="quality-calendar")
        create_link_artifact(docs.index.resolve().as_uri(), "Data Docs", key="data-docs")
    return {
        symbol: {
            "verdict": one.verdict.verdict,
            "reasons": list(one.verdict.reasons),
            "history_days": one.verdict.history_days,
            "coverage": round(one.verdict.coverage, 6),
        }
        for symbol, one in found.items()
    }


def _rows(found: dict[str, Assessment]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": symbol,
            "verdict": one.verdict.verdict,
            "days": one.verdict.history_days,
            "coverage": f"{one.verdict.coverage:.2%}",
            "reasons": "; ".join(one.verdict.reasons) or "none",
        }
        for symbol, one in found.items()
    ]
