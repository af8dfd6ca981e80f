"""The version of the kernels' source.

Decides what the schema hash says of the code itself. Rule: a digest of every kernel's text without
comments and docstrings; ``tests/features/test_schema.py`` recomputes it and prints the new one, so
an edit that could change a value cannot keep an old model loadable.
"""

SOURCE_VERSION = "800e330ec6c69313"
