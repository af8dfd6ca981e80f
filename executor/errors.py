"""What can go wrong with the outside, as types.

Decides the classes of failure that the executor handles differently, and what is done about each::

    RetryableError        a query: asked again, 1 s doubling to 60 s with jitter, 5 tries; counts
                          towards the breaker of its group (opens after 5 in a row)
    RateLimitedError      everything but exits is left alone for 30 s
    RejectedError         not repeated; where the balance does not suffice: an alert
    FatalError            not repeated; entries are halted, an alert, a person must act
    UnknownOutcomeError   never resent: asked for by client order id until it is known
    FenceError            not sent, by us: lease, kill, or the breaker of entries
    BreakerOpenError      a query not made while its group is left alone; asked at the next look
    a position that differs from the ledger: the reconciler asks the venue at once

Never raises one.
Rule: whoever talks to the outside turns every foreign exception into one of these, and whoever
catches names the classes it can handle; what an attempt *may have done* decides the class.
"""


class VenueError(Exception):
    """The exchange did not do what was asked; ``code`` is its own, "" where it gave none."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class RetryableError(VenueError):
    """Nothing was changed and asking again may work: a timeout or an outage of a *query*."""


class RateLimitedError(VenueError):
    """Too many requests. ``wait_s`` is how long to leave the venue alone."""

    def __init__(self, message: str, *, code: str = "", wait_s: float = 1.0) -> None:
        super().__init__(message, code=code)
        self.wait_s = wait_s


class RejectedError(VenueError):
    """The venue understood and said no; asking the same again gets the same answer."""


class FatalError(VenueError):
    """Keys, permissions, account mode: a person must act, trading stops."""


class UnknownOutcomeError(VenueError):
    """An order or a change was sent and nobody knows whether it was executed: ask, never resend."""


class FenceError(Exception):
    """We may not sign: the lease does not reach far enough, or entries are halted."""


class JournalError(Exception):
    """The memory cannot be written or read; trading without it is not possible."""


class BundleRefused(Exception):  # noqa: N818 - a refusal, not an accident
    """A model that may not be loaded, and why, in one line."""


class BreakerOpenError(VenueError):
    """A query was not made: its group of endpoints is left alone for a while."""
