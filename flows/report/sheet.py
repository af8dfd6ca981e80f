"""The sheet that every page is written on: one template, one stylesheet.

Decides the frame of the HTML only. Never knows what a page says. Rule: a page is one file that
needs nothing else; its title and body are HTML already.
"""

from html import escape
from pathlib import Path
from string import Template
from typing import Final

FOLDER: Final = Path(__file__).parent


def sheet(title: str, body: str) -> str:
    """Return a whole page; ``title`` is text, ``body`` HTML."""
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    return template.substitute(title=escape(title), style=style, body=body)
