"""The checks of a verdict as a Great Expectations suite, with its Data Docs site.

Decides how a check is written as an expectation and where the site lies. Never decides a verdict:
``flows.lake.verdict`` evaluates the same list of checks, and a test holds both to the same answer.
Rule: Great Expectations (ten seconds to import, 275 MB) is imported here and nowhere else, and
this module only by the quality flow. Nothing leaves the machine: analytics are off.
"""

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flows.lake.docs_site import make_local
from flows.lake.verdict import Check

with warnings.catch_warnings():
    # It imports two deprecated modules of the standard library and one of its own.
    warnings.simplefilter("ignore", DeprecationWarning)
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

SITE = "tribar"
expectations: Any = gxe  # its names are lazy, so no type checker sees them


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """What the suite found: the names of failed checks by symbol, and the site's first page."""

    failed: Mapping[str, tuple[str, ...]]
    index: Path


def document(
    profiles: Mapping[str, pl.DataFrame], checks: Mapping[str, Sequence[Check]], folder: Path
) -> Documented:
    """Run every symbol's checks on its profile and write the Data Docs site into ``folder``.

    Parameters
    ----------
    profiles
        Rows a day, by symbol; symbols without rows are left out.
    checks
        The checks of each symbol.
    folder
        Where the site is written; what an earlier run wrote there is replaced.
    """
    for old in ("expectations", "validations"):  # pages of symbols that are not judged any more
        shutil.rmtree(folder / old, ignore_errors=True)
    context = _context(folder)
    source = context.data_sources.add_pandas("profiles")
    definitions = []
    for symbol, days in profiles.items():
        batch = source.add_dataframe_asset(symbol).add_batch_definition_whole_dataframe("days")
        suite = context.suites.add(gx.ExpectationSuite(name=symbol))
        suite.expectations = [_expectation(check) for check in checks[symbol]]
        suite.save()
        definition = context.validation_definitions.add(
            gx.ValidationDefinition(name=symbol, data=batch, suite=suite)
        )
        # Pandas reads the dates as objects; the site shows them as text.
        frame = days.with_columns(pl.col("day").cast(pl.String)).to_pandas()
        definitions.append((symbol, definition, frame))
    failed: dict[str, tuple[str, ...]] = {}
    for symbol, definition, frame in definitions:
        result = definition.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY")
        failed[symbol] = tuple(
            str(one.expectation_config.meta["check"]) for one in result.results if not one.success
        )
    context.build_data_docs(site_names=[SITE])
    make_local(folder)
    return Documented(failed=failed, index=folder / "index.html")


def _context(folder: Path) -> Any:
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False, metric_calculations=False),
        data_docs_sites={
            SITE: {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": {
                    "class_name": "TupleFilesystemStoreBackend",
                    "base_directory": str(folder.resolve()),
                },
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _expectation(check: Check) -> Any:
    """Return the check as an expectation; its name travels in the meta data."""
    common: dict[str, Any] = {
        "meta": {"check": check.name, "severity": check.severity},
        "severity": "critical" if check.severity == "fail" else "warning",
        "description": _words(check),
    }
    if check.statistic == "rows":
        return expectations.ExpectTableRowCountToBeBetween(min_value=int(check.bound), **common)
    if check.statistic == "sum":
        return expectations.ExpectColumnSumToBeBetween(
            column=check.column, max_value=check.bound, **common
        )
    return expectations.ExpectColumnValuesToBeBetween(
        column=check.column, max_value=check.bound, mostly=check.mostly, **common
    )


def _words(check: Check) -> str:
    """Return what the page says of the check: its bound, and what follows where it is broken."""
    follows = "training is blocked" if check.severity == "fail" else "a remark"
    if check.statistic == "rows":
        return f"{check.name}: at least {check.bound:,.0f} days; else {follows}"
    if check.statistic == "sum":
        return f"{check.name}: {check.column} in all, at most {check.bound:,.0f}; else {follows}"
    return (
        f"{check.name}: {check.column} at most {check.bound:g} on {check.mostly:.0%} of the days; "
        f"else {follows}"
    )
