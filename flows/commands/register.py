"""The command `register`: a model whose training ended without MLflow becomes a version.

Decides which model is meant where none is named: the newest judged one. Never trains and never
judges: what `retrain` left on disk is registered as it is. Rule: a model is registered once, so
asking again only says which version it is.
"""

from contextlib import ExitStack
from pathlib import Path

from features.errors import InputError
from flows.commands.frame import JsonFile, console, write_json
from flows.commands.models import open_registry
from flows.register import register as register_flow
from flows.settings import load_settings
from flows.settings_source import extend_environment
from flows.training.plan import shelf


def register(model_key: str | None = None, /, *, json: JsonFile = None) -> int:
    """Register a trained and judged model that has no version yet, as `retrain` does at its end.

    For a training that ended while MLflow did not answer: the model and its verdict are kept.

    Parameters
    ----------
    model_key
        As the failed run named it, a folder of data/reports/models; the newest judged one where
        not given.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    key = model_key or _newest(shelf(settings).models)
    with ExitStack() as stack:
        registry = open_registry(settings, stack)
        extend_environment({"MLFLOW_TRACKING_URI": registry.url})
        found = register_flow.fn(key)
    write_json(json, found)
    console().print(
        f"Model {key} is version {found['version']} of {found['name']}: "
        f"gate {found['gate']}. {found['page']}"
    )
    return 0


def _newest(models: Path) -> str:
    """Return the key of the model that was judged last."""
    judged = [*models.glob("*/bundle/manifest.json")]
    if not judged:
        raise InputError(f"there is no judged model under {models}; train one with tribar retrain")
    return max(judged, key=lambda path: path.stat().st_mtime_ns).parent.parent.name
