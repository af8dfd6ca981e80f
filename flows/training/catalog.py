"""Which features a model is trained on.

Decides that it is all of the catalog, but where a constant rate stands in for funding settlements
(``model.flat_funding``, for candles without their history): a constant says nothing, so the
features of funding are left out. Never computes a feature. Rule: what training sees, trading must
see; dataset, search and training ask here.
"""

from features.catalog import Catalog, default_catalog
from flows.settings import Settings


def training_catalog(settings: Settings) -> Catalog:
    """Return the features of the dataset that these settings make."""
    whole = default_catalog()
    if settings.model.flat_funding is None:
        return whole
    return whole.subset([name for name in whole.names if name not in whole.funding_names])
