"""Hypothesis without deadlines: the first example compiles, and the machine is shared."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
