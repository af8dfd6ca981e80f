"""The signed REST endpoints about the account itself.

Decides the replies about wallet, fees, permissions and settings. Never trades. Rule: what a
unified trading account (UTA 2.0) answers is answered; anything older does not exist here.
"""

from executor.paper.calls import Call, Endpoint
from executor.paper.listings import entry_row
from executor.paper.replies import Row, wallet_row
from executor.paper.venue import protecting
from executor.paper.venue.errors import PARAMS_ERROR, VenueError
from executor.paper.venue.filling import exact
from executor.paper.venue.margin import totals

UNIFIED_STATUS = 6


def key_info(call: Call) -> Row:
    """Return what the API key may do."""
    return {
        "id": "1",
        "note": "tribar-paper",
        "apiKey": call.owner.api_key,
        "readOnly": 0,
        "secret": "",  # nosec B105 - Bybit answers with an empty secret
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": [],
            "Wallet": ["AccountTransfer"],
            "Options": [],
            "Derivatives": ["DerivativesTrade"],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
            "FiatP2P": [],
            "FiatBybitPay": [],
            "FiatConvertBroker": [],
            "FiatGlobalPay": [],
            "FiatBitPay": [],
            "BitCard": [],
            "ByXPost": [],
        },
        "ips": ["*"],
        "type": 1,
        "deadlineDay": 90,
        "expiredAt": "2099-01-01T00:00:00Z",
        "createdAt": "2024-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
        "userIDInt64": "0",
        "inviterIDInt64": "0",
        "affiliateIDInt64": "0",
    }


def account_info(call: Call) -> Row:
    """Return the account's margin mode and kind."""
    window = call.exchange.disconnection.windows.get(call.owner.name)
    return {
        "marginMode": call.owner.margin_mode,
        "updatedTime": str(call.exchange.state.now_ms),
        "unifiedMarginStatus": UNIFIED_STATUS,
        "dcpStatus": "OFF" if window is None else "ON",
        "timeWindow": window or 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def fee_rates(call: Call) -> Row:
    """Return the account's fees."""
    chosen = (
        [call.series().instrument.symbol]
        if "symbol" in call.params
        else list(call.exchange.state.instruments)
    )
    taker, maker = f"{exact(call.owner.taker_fee):f}", f"{exact(call.owner.maker_fee):f}"
    return {
        "list": [
            {"symbol": symbol, "takerFeeRate": taker, "makerFeeRate": maker, "baseCoin": ""}
            for symbol in chosen
        ]
    }


def coins(call: Call) -> Row:
    """Return the coins that the instruments are of; none can be moved in or out."""
    known = {"USDT", *(one.base for one in call.exchange.state.instruments.values())}
    wanted = call.params.text("coin")
    rows = [
        {"name": coin, "coin": coin, "remainAmount": "0", "chains": []}
        for coin in sorted(known)
        if wanted in ("", coin)
    ]
    return {"rows": rows}


def wallet_balance(call: Call) -> Row:
    """Return the account's totals."""
    kind = call.params.text("accountType", "UNIFIED")
    if kind != "UNIFIED":
        raise VenueError(PARAMS_ERROR, "accountType only support UNIFIED.")
    return {"list": [wallet_row(totals(call.exchange.state, call.owner))]}


def transaction_log(call: Call) -> Row:
    """Return trades and funding payments, newest first."""
    start = call.params.integer("startTime", 0)
    end = call.params.integer("endTime", 1 << 62)
    kind, symbol = call.params.text("type"), call.params.text("symbol")
    found = (
        entry
        for entry in reversed(call.owner.entries)
        if start <= entry.time_ms <= end
        and kind in ("", entry.kind)
        and symbol in ("", entry.symbol)
    )
    return call.newest(found, entry_row, 20, 50)


def set_margin_mode(call: Call) -> Row:
    """Set the account's margin mode."""
    mode = call.params.needed("setMarginMode")
    protecting.set_margin_mode(call.exchange.state, call.owner, mode)
    return {"reasons": []}


def set_disconnection(call: Call) -> Row:
    """Set the window after which a lost private stream cancels the account's orders."""
    call.exchange.disconnection.set_window(call.owner.name, call.params.integer("timeWindow", 0))
    return {}


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("GET", "/v5/user/query-api"): key_info,
    ("GET", "/v5/account/info"): account_info,
    ("GET", "/v5/account/fee-rate"): fee_rates,
    ("GET", "/v5/asset/coin/query-info"): coins,
    ("GET", "/v5/account/wallet-balance"): wallet_balance,
    ("GET", "/v5/account/transaction-log"): transaction_log,
    ("POST", "/v5/account/set-margin-mode"): set_margin_mode,
    ("POST", "/v5/order/disconnected-cancel-all"): set_disconnection,
}
