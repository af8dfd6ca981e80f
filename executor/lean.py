"""What the executor leaves out when it is imported.

Decides one thing: xgboost's scikit-learn wrappers, which no executor uses, are not loaded where
scikit-learn is not installed. They bring scipy's special functions, 7 MB and a tenth of a second;
xgboost itself goes on without them when they cannot be imported. Never leaves out anything in the
pipeline's environment. Rule: imported before everything else, by `executor.verbs` alone.
"""

import importlib.util
import sys

if importlib.util.find_spec("sklearn") is None:
    sys.modules.setdefault("xgboost.sklearn", None)  # type: ignore[arg-type]  # "cannot be imported"
