"""The exchange's replies that ccxt keeps as comments in its own source.

Real payloads, from the installed package: ``samples(path)`` gives them by method name.
"""

import ast
import importlib.util
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

COMMENT = re.compile(r"^\s*# ?(.*)$")
TRAILING_COMMA = re.compile(r",(\s*[}\]])")


def ccxt_source(name: str) -> Path:
    """Return the path of a file of the installed ccxt, without importing it."""
    spec = importlib.util.find_spec("ccxt")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / name


def samples(path: Path) -> dict[str, list[Any]]:
    """Return the JSON found in the comments of every function, by the function's name."""
    lines = path.read_text().split("\n")
    found: dict[str, list[Any]] = defaultdict(list)
    for node in ast.walk(ast.parse("\n".join(lines))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        block: list[str] = []
        for line in [*lines[node.lineno - 1 : node.end_lineno], ""]:
            comment = COMMENT.match(line)
            if comment:
                block.append(comment.group(1))
            elif block:
                found[node.name].extend(_values("\n".join(block)))
                block = []
    return found


def _values(text: str) -> list[Any]:
    """Return the JSON objects and lists in a block of comments, outermost ones only."""
    decoder, values, at = json.JSONDecoder(), [], 0
    text = TRAILING_COMMA.sub(r"\1", text)
    while True:
        start = re.search(r"[\[{]", text[at:])
        if start is None:
            return values
        begin = at + start.start()
        try:
            value, at = decoder.raw_decode(text, begin)
        except ValueError:
            at = begin + 1
            continue
        if value:
            values.append(value)
