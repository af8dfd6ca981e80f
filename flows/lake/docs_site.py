"""Great Expectations' Data Docs as pages that need nothing from anywhere.

Decides how the pages look without the style sheets, scripts and pictures that Great Expectations
fetches from six hosts (without them its first page is empty). Never changes what a page says. Rule:
no page may name a foreign host, so that nothing leaves the machine when one is opened.
"""

import base64
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from flows.lake.verdict import Verdict

# What is taken out of every page, in this order.
FOREIGN = (
    re.compile(r"<script\b.*?</script>", re.DOTALL),
    re.compile(r"<link\b[^>]*>"),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL),
    re.compile(r"<img\b[^>]*https?://[^>]*>", re.DOTALL),
    re.compile(r"background: url\('https?://[^;]*;"),
)
STYLE = """<style>
body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;margin:.4rem 0 1rem}td,th{padding:.25rem .8rem;text-align:left;
vertical-align:top;border-bottom:1px solid #ddd}a{color:#06c}img{max-width:100%}
.pass{color:#17803d}.warn{color:#b45309}.fail{color:#b91c1c}
.navbar,.navbar-brand{position:static!important;height:auto!important}
.fa-check-circle::before{content:"\\2713";color:#17803d;font-style:normal;font-weight:700}
.fa-times::before{content:"\\2717";color:#b91c1c;font-style:normal;font-weight:700}
input[type=radio],label,.btn,form{display:none}
</style>"""


def make_local(folder: Path) -> None:
    """Take everything foreign out of the pages under ``folder``, and style them."""
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for foreign in FOREIGN:
            text = foreign.sub("", text)
        text = re.sub(r'href="https?://[^"]*"', "", text)
        page.write_text(text.replace("</head>", f"{STYLE}</head>", 1), encoding="utf-8")


def write_index(
    folder: Path, verdicts: Mapping[str, Verdict], title: str, picture: Path | None = None
) -> Path:
    """Write the first page: a line a symbol with its verdict, its reasons and its checks."""
    rows = "".join(_row(folder, symbol, one) for symbol, one in verdicts.items())
    shown = ""
    if picture is not None:
        data = base64.b64encode(picture.read_bytes()).decode()
        shown = f'<h2>Defects by day</h2><img alt="calendar" src="data:image/png;base64,{data}">'
    index = folder / "index.html"
    index.write_text(
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"{STYLE}</head><body><h1>{escape(title)}</h1><p>pass and warn may be trained on, fail may "
        "not. What was put aside is left out of candles: it is a gap that no label crosses.</p>"
        "<table><tr><th>symbol</th><th>verdict</th><th>days</th><th>bars there</th><th>reasons</th>"
        f"<th></th></tr>{rows}</table>{shown}</body></html>",
        encoding="utf-8",
    )
    return index


def _row(folder: Path, symbol: str, one: Verdict) -> str:
    pages = sorted(folder.glob(f"validations/{symbol}/**/*.html"))
    link = f'<a href="{pages[-1].relative_to(folder).as_posix()}">checks</a>' if pages else ""
    reasons = "<br>".join(escape(reason) for reason in one.reasons) or "none"
    return (
        f'<tr><td>{escape(symbol)}</td><td class="{one.verdict}"><b>{one.verdict}</b></td>'
        f"<td>{one.history_days:,.0f}</td><td>{one.coverage:.2%}</td><td>{reasons}</td>"
        f"<td>{link}</td></tr>"
    )
