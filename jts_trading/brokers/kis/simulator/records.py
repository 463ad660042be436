"""Records of the simulated socket: the fields of one trade, one book, one notice."""

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.simulator.answers import hhmmss, kst, ratio, sign, ymd
from jts_trading.brokers.kis.simulator.orders_of_day import (
    BRANCH,
    NoticeStep,
    PushedNotice,
)
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.domain.market.costs import Side
from jts_trading.simulation.krx_market import KrxMarket, Print

_AGGRESSOR_CODES = {Side.BUY: "1", Side.SELL: "5"}
_SIDE_CODES = {Side.SELL: "01", Side.BUY: "02"}
_STEP_CODES = {
    NoticeStep.RECEIVED: ("1", "1"),
    NoticeStep.CONFIRMED: ("1", "2"),
    NoticeStep.FILL: ("2", "2"),
    NoticeStep.LAPSED: ("1", "3"),
}


def trade_record(market: KrxMarket, trade: Print) -> list[str]:
    """Return H0STCNT0 of a trade that the market has just played."""
    figures, reference = market.figures, market.limits.reference
    depth = {side: market.book.depth(side, wire.BOOK_LEVELS) for side in (Side.BUY, Side.SELL)}
    best_ask, best_bid = (
        depth[side][0] if depth[side] else (0, 0) for side in (Side.SELL, Side.BUY)
    )
    change = trade.price - reference
    bought, sold = figures.shares[Side.BUY], figures.shares[Side.SELL]
    values = {
        "MKSC_SHRN_ISCD": trade.symbol,
        "STCK_CNTG_HOUR": hhmmss(trade.ts_ns),
        "STCK_PRPR": str(trade.price),
        "PRDY_VRSS_SIGN": sign(change, market),
        "PRDY_VRSS": str(change),
        "PRDY_CTRT": ratio(change, reference),
        "WGHN_AVRG_STCK_PRC": f"{figures.turnover / figures.volume:.2f}",
        "STCK_OPRC": str(figures.open),
        "STCK_HGPR": str(figures.high),
        "STCK_LWPR": str(figures.low),
        "ASKP1": str(best_ask[0]),
        "BIDP1": str(best_bid[0]),
        "CNTG_VOL": str(trade.quantity),
        "ACML_VOL": str(figures.volume),
        "ACML_TR_PBMN": str(figures.turnover),
        "SELN_CNTG_CSNU": str(figures.trades[Side.SELL]),
        "SHNU_CNTG_CSNU": str(figures.trades[Side.BUY]),
        "NTBY_CNTG_CSNU": str(figures.trades[Side.BUY] - figures.trades[Side.SELL]),
        "CTTR": ratio(bought, sold),
        "SELN_CNTG_SMTN": str(sold),
        "SHNU_CNTG_SMTN": str(bought),
        "CCLD_DVSN": _AGGRESSOR_CODES[trade.side],
        "SHNU_RATE": f"{bought / figures.volume:.2f}",
        "OPRC_HOUR": hhmmss(figures.open_ns),
        **_against("OPRC", trade.price - figures.open),
        "HGPR_HOUR": hhmmss(figures.high_ns),
        **_against("HGPR", trade.price - figures.high),
        "LWPR_HOUR": hhmmss(figures.low_ns),
        **_against("LWPR", trade.price - figures.low),
        "BSOP_DATE": ymd(kst(trade.ts_ns).date()),
        "NEW_MKOP_CLS_CODE": "20",
        "TRHT_YN": "N",
        "ASKP_RSQN1": str(best_ask[1]),
        "BIDP_RSQN1": str(best_bid[1]),
        "TOTAL_ASKP_RSQN": str(sum(size for _, size in depth[Side.SELL])),
        "TOTAL_BIDP_RSQN": str(sum(size for _, size in depth[Side.BUY])),
        "MRKT_TRTM_CLS_CODE": "",
        "VI_STND_PRC": str(reference),
    }
    return [values.get(column, "0") for column in wire.TRADE_COLUMNS]


def _against(name: str, change: int) -> dict[str, str]:
    code = "3" if not change else "2" if change > 0 else "5"
    return {f"{name}_VRSS_PRPR_SIGN": code, f"{name}_VRSS_PRPR": str(change)}


def book_record(market: KrxMarket, ts_ns: int) -> list[str]:
    """Return H0STASP0 with 62 fields, as the wire shows it today."""
    values = {
        "MKSC_SHRN_ISCD": market.listing.symbol,
        "BSOP_HOUR": hhmmss(ts_ns),
        "ANTC_CNTG_VRSS": str(-market.limits.reference),
        "ANTC_CNTG_VRSS_SIGN": "5",
        "ANTC_CNTG_PRDY_CTRT": "-100.00",
        "ACML_VOL": str(market.figures.volume),
    }
    for name, side in (("ASKP", Side.SELL), ("BIDP", Side.BUY)):
        depth = market.book.depth(side, wire.BOOK_LEVELS)
        for at, (price, size) in enumerate(depth, start=1):
            values[f"{name}{at}"] = str(price)
            values[f"{name}_RSQN{at}"] = str(size)
        values[f"TOTAL_{name}_RSQN"] = str(sum(size for _, size in depth))
    columns = (*wire.BOOK_COLUMNS, *wire.BOOK_EXTRA_COLUMNS)
    return [values.get(column, "0") for column in columns]


def notice_record(notice: PushedNotice, name: str, settings: SimulatorSettings) -> list[str]:
    """Return H0STCNI0/9 with 26 fields, before encryption."""
    row = notice.row
    is_filled, accepted = _STEP_CODES[notice.step]
    values = {
        "CUST_ID": settings.user_id,
        "ACNT_NO": settings.account + settings.product,
        "ODER_NO": row.number,
        "OODER_NO": row.original or "0" * 10,
        "SELN_BYOV_CLS": _SIDE_CODES[row.side],
        "RCTF_CLS": row.kind.value,
        "ODER_KIND": row.division,
        "ODER_COND": {"11": "1", "13": "1", "12": "2", "14": "2"}.get(row.division, "0"),
        "STCK_SHRN_ISCD": row.symbol,
        "CNTG_QTY": str(notice.quantity),
        "CNTG_UNPR": str(notice.price),
        "STCK_CNTG_HOUR": hhmmss(notice.ts_ns),
        "RFUS_YN": "0",
        "CNTG_YN": is_filled,
        "ACPT_YN": accepted,
        "BRNC_NO": BRANCH,
        "ODER_QTY": str(row.quantity),
        "ACNT_NAME": "모의계좌",
        "ORD_EXG_GB": "1",
        "POPUP_YN": "N",
        "CRDT_CLS": "00",
        "CNTG_ISNM40": name,
        "ODER_PRC": str(row.price),
        "ORD_COND_PRC": "0",
    }
    return [values.get(column, "") for column in wire.NOTICE_COLUMNS]
