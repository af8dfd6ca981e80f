"""The one error that bad input raises.

Decides nothing; names what is wrong so that a caller can print one line and exit with 2.
Never wraps a programmer's error: those stay assertions and tracebacks.
Rule: the message is one line, names the row, column or key, and says the next step.
"""


class InputError(ValueError):
    """Input that cannot be used: the message is one line for a person to read."""
