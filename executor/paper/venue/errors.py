"""What the venue refuses, in the venue's own numbers.

Decides the return code and text of every refusal, as Bybit words them. Never decides whether an
order is good (``checks`` does). Rule: a refusal is a ``VenueError`` with a documented code; no
other exception may leave the venue core for anything a client sent.
"""

from typing import Final

PARAMS_ERROR: Final = 10001
STOP_UNCHANGED: Final = 34040
UNIFIED_FORBIDDEN: Final = 100028
ORDER_NOT_FOUND: Final = 110001
PRICE_OUT_OF_BAND: Final = 110003
NOT_ENOUGH_BALANCE: Final = 110007
TOO_MANY_CONDITIONALS: Final = 110009
LEVERAGE_LIMIT: Final = 110013
REDUCE_ONLY: Final = 110017
TOO_MANY_ORDERS: Final = 110020
REDUCE_ONLY_ONLY: Final = 110023
POSITION_EXISTS: Final = 110024
POSITION_MODE_UNCHANGED: Final = 110025
ORDERS_EXIST: Final = 110028
LEVERAGE_UNCHANGED: Final = 110043
DUPLICATE_LINK_ID: Final = 110072
SYMBOL_CLOSED: Final = 110074
EXPECT_RISING: Final = 110092
EXPECT_FALLING: Final = 110093
BELOW_NOTIONAL_MIN: Final = 110094
MARGIN_MODE_FAILED: Final = 3400045
# Reasons of the last one, in the venue's documented words.
EQUITY_TOO_LOW: Final = ("3400000", "Equity needs to be equal to or greater than 1000 USDC")
ORDERS_ACTIVE: Final = ("3400102", "Please ensure that there are no active orders in your account")
POSITIONS_OPEN: Final = ("3400101", "Please ensure that there are no positions in your account")


class VenueError(Exception):
    """A request that the venue refuses: ``code`` is its retCode, ``message`` its retMsg.

    ``reasons`` are the codes and texts that some refusals carry in their result.
    """

    def __init__(self, code: int, message: str, *reasons: tuple[str, str]) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.reasons = reasons
