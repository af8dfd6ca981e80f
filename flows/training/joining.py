"""How new symbols join a version in which every symbol has a model of its own.

Decides which version they join: the one asked for, or the newest of its line that passed the gate
meanwhile. Never trains and never judges. Rule: whoever registers looks again before and after, so
that two symbols that are onboarded at once both end in the newest version.
"""

from collections.abc import Callable, Collection, Mapping

from executor.core.bundle import MANIFEST, unpack
from features.errors import InputError
from flows.promotion import alone
from flows.registry import Registry
from flows.research.merging import lineage, merge, recipe_of
from flows.research.recipe import Recipe
from flows.settings import Settings
from flows.versions import Version

Files = Mapping[str, bytes]
LINEAGE = "lineage"
TRIES = 5


def open_registry(settings: Settings) -> Registry:
    """Return the registry that the settings name.

    Raises
    ------
    InputError
        Where they name none.
    """
    url = settings.services.mlflow_url
    if url is None:
        raise InputError("MLFLOW_TRACKING_URI: name the MLflow server; `tribar up` starts one")
    return Registry(url, settings.registry.model_name)


def joined_recipe(settings: Settings, version: int) -> Recipe:
    """Return the recipe of the version that is to be joined; new symbols are trained by it."""
    registry = open_registry(settings)
    found = registry.version(version)
    return recipe_of(unpack(registry.bundle(version), found.bundle_sha256))


def register_joined(
    registry: Registry, url: str, asked: int, added: Files, write: Callable[[Files], Version]
) -> Version:
    """Merge ``added`` into the version asked for, or the newest of its line, and register that.

    Parameters
    ----------
    write
        Registers a bundle and returns its version.

    Raises
    ------
    InputError
        Where the two do not fit together, or others keep coming in between.
    """
    line = lineage(registry.bundle(asked))
    with alone(url, f"{registry.name}-joins"):
        base, mine = _newest(registry, line, asked), set[int]()
        for _ in range(TRIES):
            there = registry.bundle(base)
            if all(there.get(name) == data for name, data in added.items() if name != MANIFEST):
                return registry.version(base)  # registered before, by a process that was killed
            version = write(merge(there, added))
            mine.add(version.version)
            newest = _newest(registry, line, asked, mine)
            if newest <= base:
                return version
            base = newest  # another machine was faster: its symbols are missing in ours
    raise InputError("other trainings keep joining the same version; run register again")


def _newest(registry: Registry, line: str, asked: int, mine: Collection[int] = ()) -> int:
    """Return the newest version of the line that passed the gate, or the one asked for.

    Those in ``mine`` are left aside.
    """
    found = [
        version.version
        for version in registry.tagged(LINEAGE, line)
        if version.gate == "passed"
        and not version.tags.get("quarantined")
        and version.version not in mine
    ]
    return max([asked, *found])
