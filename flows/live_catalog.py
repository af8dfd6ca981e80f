"""The features that a model may be trained on: those that the live executor computes too.

Decides that the funding features are left out of training: the executor's feed brings no
settlements to its feature streams, so they would be NaN live, and every entry would be refused.
Never computes a feature. Funding as a cost stays in labels, ledger and simulation.
Rule: what training sees, trading must see; delete this module when the feed brings settlements.
"""

from features.catalog import Catalog, default_catalog


def live_catalog() -> Catalog:
    """Return the default catalog without the features that need funding settlements."""
    whole = default_catalog()
    return whole.subset([name for name in whole.names if name not in whole.funding_names])
