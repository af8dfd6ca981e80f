"""The symbols that the champion was trained on, for those who only look.

Decides nothing: asks MLflow over REST, because importing its client takes seconds. Never starts a
server. Rule: not known (no server answers) is another answer than none (there is no champion).
"""

import httpx

from flows.settings import Settings
from flows.system.services import known

ALIAS_PATH = "/api/2.0/mlflow/registered-models/alias"
TIMEOUT_S = 3.0


def champion_symbols(settings: Settings) -> frozenset[str] | None:
    """Return the champion's symbols, none without a champion, None where no MLflow answers."""
    server = next((one for one in known(settings) if one.name == "mlflow"), None)
    if server is None:
        return None
    asked = {"name": settings.registry.model_name, "alias": "champion"}
    try:
        reply = httpx.get(f"{server.url}{ALIAS_PATH}", params=asked, timeout=TIMEOUT_S)
        if reply.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            return None
        tags = reply.json().get("model_version", {}).get("tags", [])
    except (httpx.HTTPError, ValueError):
        return None
    listed = next((tag["value"] for tag in tags if tag["key"] == "symbols"), "")
    return frozenset(symbol for symbol in listed.split(",") if symbol)
