"""Answers of the simulated REST, with every documented field: numbers as strings, KST times.

Fields that the simulated market has no figure for carry the neutral value of the documents.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from jts_trading.brokers.kis.limits import MINUTE_ROWS_PAST, MINUTE_ROWS_TODAY
from jts_trading.brokers.kis.simulator.desk import Desk
from jts_trading.brokers.kis.simulator.orders_of_day import BRANCH, OrderRow, RowKind
from jts_trading.domain.market.costs import Side
from jts_trading.simulation.krx_market import KrxMarket
from jts_trading.simulation.tape import TapeBar

Fields = dict[str, Any]
_SIDE_CODES = {Side.SELL: "01", Side.BUY: "02"}
_DIVISION_NAMES = {"00": "지정가", "01": "시장가", "03": "최유리지정가", "04": "최우선지정가"}
_QUOTE_NEUTRAL = {
    **dict.fromkeys(("new_hgpr_lwpr_cls_code", "apprch_rate", "stac_month"), ""),
    **dict.fromkeys(("oprc_rang_cont_yn", "clpr_rang_cont_yn", "crdt_able_yn"), "N"),
    **dict.fromkeys(("elw_pblc_yn", "invt_caful_yn", "short_over_yn", "sltr_yn"), "N"),
    **dict.fromkeys(("mang_issu_cls_code", "vi_cls_code", "ovtm_vi_cls_code", "ssts_yn"), "N"),
    **dict.fromkeys(("marg_rate", "hts_frgn_ehrt", "per", "pbr", "eps", "bps"), "0.00"),
    **dict.fromkeys(("vol_tnrt", "whol_loan_rmnd_rate", "prdy_vrss_vol_rate"), "0.00"),
    **dict.fromkeys(("frgn_ntby_qty", "pgtr_ntby_qty", "frgn_hldn_qty", "lstn_stcn"), "0"),
    **dict.fromkeys(("hts_avls", "cpfn", "stck_fcam", "stck_sspr", "fcam_cnnm"), "0"),
    **dict.fromkeys(("cpfn_cnnm", "last_ssts_cntg_qty", "pvt_scnd_dmrs_prc"), "0"),
    **dict.fromkeys(("pvt_frst_dmrs_prc", "pvt_pont_val", "pvt_frst_dmsp_prc"), "0"),
    **dict.fromkeys(("pvt_scnd_dmsp_prc", "dmrs_val", "dmsp_val"), "0"),
    **dict.fromkeys((f"{p}_{e}" for p in ("d250", "w52") for e in ("hgpr", "lwpr")), "0"),
    **dict.fromkeys((f"{p}_{e}_date" for p in ("d250", "w52") for e in ("hgpr", "lwpr")), ""),
    **dict.fromkeys((f"d250_{e}_vrss_prpr_rate" for e in ("hgpr", "lwpr")), "0.00"),
    **dict.fromkeys((f"w52_{e}_vrss_prpr_ctrt" for e in ("hgpr", "lwpr")), "0.00"),
    **dict.fromkeys(("stck_dryy_hgpr", "stck_dryy_lwpr"), "0"),
    **dict.fromkeys(("dryy_hgpr_vrss_prpr_rate", "dryy_lwpr_vrss_prpr_rate"), "0.00"),
    **dict.fromkeys(("dryy_hgpr_date", "dryy_lwpr_date"), ""),
    "mrkt_warn_cls_code": "00",
    "grmn_rate_cls_code": "40",
    "hts_deal_qty_unit_val": "1",
}
_ORDER_NEUTRAL = {
    **dict.fromkeys(("loan_dt", "cpbc_ordp_ord_rcit_dvsn_cd", "cpbc_ordp_infm_mthd_dvsn_cd"), ""),
    **dict.fromkeys(("ctac_tlno", "cpbc_ordp_mtrl_dvsn_cd", "rsvn_ord_end_dt"), ""),
    "stpm_efct_occr_dtmd": "",
    "ordr_empno": "OpnAPI",
    "inqr_ip_addr": "000.000.000.000",
    "prdt_type_cd": "300",
    "excg_dvsn_cd": "02",
    "excg_id_dvsn_Cd": "KRX",
    "stpm_cndt_pric": "0",
    "rjct_qty": "0",
}


def kst(ts_ns: int) -> datetime:
    """Return the Korean wall time of an instant, without a zone."""
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).replace(tzinfo=None) + timedelta(
        hours=9
    )


def hhmmss(ts_ns: int) -> str:
    """Return the Korean time of an instant as the venue writes it."""
    return f"{kst(ts_ns):%H%M%S}"


def ymd(day: date) -> str:
    """Return a date as the venue writes it."""
    return f"{day:%Y%m%d}"


def sign(change: int, market: KrxMarket) -> str:
    """Return 1 upper limit, 2 up, 3 flat, 4 lower limit, 5 down."""
    if market.last == market.limits.upper:
        return "1"
    if market.last == market.limits.lower:
        return "4"
    return "3" if not change else "2" if change > 0 else "5"


def ratio(part: int, whole: int) -> str:
    """Return a percentage with two decimals."""
    return f"{100 * part / whole:.2f}" if whole else "0.00"


def _change(market: KrxMarket) -> Fields:
    change = market.last - market.limits.reference
    return {
        "prdy_vrss": str(change),
        "prdy_vrss_sign": sign(change, market),
        "prdy_ctrt": ratio(change, market.limits.reference),
    }


def quote(market: KrxMarket) -> Fields:
    """Return `output` of inquire-price."""
    figures, limits = market.figures, market.limits
    vwap = figures.turnover / figures.volume if figures.volume else market.last
    return {
        **_QUOTE_NEUTRAL,
        **_change(market),
        "iscd_stat_cls_code": "00",
        "rprs_mrkt_kor_name": market.listing.market,
        "bstp_kor_isnm": "",
        "temp_stop_yn": "N",
        "stck_prpr": str(market.last),
        "acml_tr_pbmn": str(figures.turnover),
        "acml_vol": str(figures.volume),
        "stck_oprc": str(figures.open),
        "stck_hgpr": str(figures.high),
        "stck_lwpr": str(figures.low),
        "stck_mxpr": str(limits.upper),
        "stck_llam": str(limits.lower),
        "stck_sdpr": str(limits.reference),
        "wghn_avrg_stck_prc": f"{vwap:.2f}",
        "rstc_wdth_prc": str(limits.upper - limits.reference),
        "aspr_unit": str(market.ladder.tick(market.last)),
        "stck_shrn_iscd": market.listing.symbol,
    }


def multi_quote(market: KrxMarket) -> Fields:
    """Return a row of intstock-multprice."""
    figures, limits = market.figures, market.limits
    change = _change(market)
    return {
        "kospi_kosdaq_cls_name": market.listing.market,
        "inter_shrn_iscd": market.listing.symbol,
        "inter_kor_isnm": market.listing.name,
        "inter2_prpr": str(market.last),
        "inter2_prdy_vrss": change["prdy_vrss"],
        "prdy_vrss_sign": change["prdy_vrss_sign"],
        "prdy_ctrt": change["prdy_ctrt"],
        "acml_vol": str(figures.volume),
        "acml_tr_pbmn": str(figures.turnover),
        "inter2_oprc": str(figures.open),
        "inter2_hgpr": str(figures.high),
        "inter2_lwpr": str(figures.low),
        "inter2_llam": str(limits.lower),
        "inter2_mxpr": str(limits.upper),
        "inter2_askp": str(market.book.best(Side.SELL) or 0),
        "inter2_bidp": str(market.book.best(Side.BUY) or 0),
        "inter2_prdy_clpr": str(limits.reference),
    }


def minutes(desk: Desk, query: Mapping[str, str], *, is_past: bool) -> list[Fields]:
    """Return rows of a minute chart, newest first, up to the hour that was asked for."""
    bars = desk.minutes[query["FID_INPUT_ISCD"]]
    last = query.get("FID_INPUT_HOUR_1", "") or "235959"
    day = query.get("FID_INPUT_DATE_1", "") if is_past else ymd(desk.day)
    with_earlier = query.get("FID_PW_DATA_INCU_YN") == "Y"
    rows = [
        _minute(bar)
        for bar in reversed(bars)
        if (stamp := f"{kst(bar.start_ns):%Y%m%d%H%M%S}") <= day + last
        and (with_earlier or stamp.startswith(day))
    ]
    return rows[: MINUTE_ROWS_PAST if is_past else MINUTE_ROWS_TODAY]


def _minute(bar: TapeBar) -> Fields:
    at = kst(bar.start_ns)
    return {
        "stck_bsop_date": ymd(at.date()),
        "stck_cntg_hour": f"{at:%H%M}00",
        "stck_prpr": str(bar.close),
        "stck_oprc": str(bar.open),
        "stck_hgpr": str(bar.high),
        "stck_lwpr": str(bar.low),
        "cntg_vol": str(bar.volume),
        "acml_tr_pbmn": "0",
    }


def order_output(row: OrderRow) -> Fields:
    """Return `output` of an accepted order, amendment or cancel."""
    return {
        "KRX_FWDG_ORD_ORGNO": BRANCH,
        "ODNO": row.number,
        "ORD_TMD": hhmmss(row.ordered_ns),
    }


def order_row(row: OrderRow, name: str) -> Fields:
    """Return a row of inquire-daily-ccld."""
    is_cancel = row.kind is RowKind.CANCEL
    return {
        **_ORDER_NEUTRAL,
        "ord_dt": ymd(row.day),
        "ord_gno_brno": BRANCH,
        "ord_orgno": BRANCH,
        "odno": row.number,
        "orgn_odno": row.original,
        "ord_dvsn_name": _DIVISION_NAMES.get(row.division, ""),
        "ord_dvsn_cd": row.division,
        "sll_buy_dvsn_cd": _SIDE_CODES[row.side],
        "sll_buy_dvsn_cd_name": "현금매수" if row.side is Side.BUY else "현금매도",
        "pdno": row.symbol,
        "prdt_name": name,
        "ord_qty": str(row.quantity),
        "ord_unpr": str(row.price),
        "ord_tmd": hhmmss(row.ordered_ns),
        "infm_tmd": hhmmss(row.ordered_ns),
        "tot_ccld_qty": str(row.filled),
        "tot_ccld_amt": str(row.amount),
        "avg_prvs": str(row.amount // row.filled) if row.filled else "0",
        "cncl_yn": "Y" if is_cancel else "N",
        "cnc_cfrm_qty": str(row.cancelled),
        "rmn_qty": str(row.remaining),
        "ccld_cndt_name": {"11": "IOC", "13": "IOC", "12": "FOK", "14": "FOK"}.get(
            row.division, "없음"
        ),
    }


def order_totals(rows: list[OrderRow]) -> Fields:
    """Return `output2` of inquire-daily-ccld."""
    filled, amount = sum(row.filled for row in rows), sum(row.amount for row in rows)
    return {
        "tot_ord_qty": str(sum(row.quantity for row in rows)),
        "tot_ccld_qty": str(filled),
        "tot_ccld_amt": str(amount),
        "prsm_tlex_smtl": "0",
        "pchs_avg_pric": f"{amount / filled:.4f}" if filled else "0.0000",
    }


def positions(desk: Desk) -> list[Fields]:
    """Return `output1` of inquire-balance: what is held, and what was sold and has not settled."""
    rows = []
    for symbol, held in sorted(desk.ledger.positions.items()):
        unsettled = any(
            row.symbol == symbol and row.settle_date > desk.day for row in desk.ledger.rows
        )
        if held.quantity or unsettled:
            rows.append(_position(desk, symbol, held.quantity, held.cost))
    return rows


def _position(desk: Desk, symbol: str, quantity: int, cost: int) -> Fields:
    market = desk.markets[symbol]
    value = quantity * market.last
    today = {
        side: sum(
            row.quantity
            for row in desk.ledger.rows_of(desk.day)
            if row.symbol == symbol and row.side is side
        )
        for side in (Side.BUY, Side.SELL)
    }
    return {
        **dict.fromkeys(("loan_dt", "expd_dt", "grta_rt_name"), ""),
        **dict.fromkeys(("loan_amt", "stln_slng_chgs", "bfdy_buy_qty", "bfdy_sll_qty"), "0"),
        "trad_dvsn_name": "현금",
        "item_mgna_rt_name": "20%",
        "sbst_pric": "0",
        "stck_loan_unpr": "0.0000",
        "evlu_erng_rt": "0.00000000",
        "pdno": symbol,
        "prdt_name": market.listing.name,
        "thdt_buyqty": str(today[Side.BUY]),
        "thdt_sll_qty": str(today[Side.SELL]),
        "hldg_qty": str(quantity),
        "ord_psbl_qty": str(desk.sellable(symbol)),
        "pchs_avg_pric": f"{cost / quantity:.4f}" if quantity else "0.0000",
        "pchs_amt": str(cost),
        "prpr": str(market.last),
        "evlu_amt": str(value),
        "evlu_pfls_amt": str(value - cost),
        "evlu_pfls_rt": ratio(value - cost, cost),
        "fltt_rt": ratio(market.last - market.limits.reference, market.limits.reference),
        "bfdy_cprs_icdc": str(market.last - market.limits.reference),
    }


def cash(desk: Desk, next_day: date) -> Fields:
    """Return the one row of `output2` of inquire-balance."""
    ledger = desk.ledger
    value = sum(
        held.quantity * desk.markets[symbol].last for symbol, held in ledger.positions.items()
    )
    cost = sum(held.cost for held in ledger.positions.values())
    today = list(ledger.rows_of(desk.day))
    traded = {
        side: sum(row.gross for row in today if row.side is side) for side in (Side.BUY, Side.SELL)
    }
    total = value + ledger.cash
    return {
        **dict.fromkeys(("cma_evlu_amt", "bfdy_buy_amt", "bfdy_sll_amt", "bfdy_tlex_amt"), "0"),
        **dict.fromkeys(("nxdy_auto_rdpt_amt", "d2_auto_rdpt_amt", "tot_loan_amt"), "0"),
        "tot_stln_slng_chgs": "0",
        "fncg_gld_auto_rdpt_yn": "",
        "bfdy_tot_asst_evlu_amt": "0",
        "asst_icdc_erng_rt": "0.00000000",
        "dnca_tot_amt": str(ledger.settled_cash(desk.day)),
        "nxdy_excc_amt": str(ledger.settled_cash(next_day)),
        "prvs_rcdl_excc_amt": str(ledger.cash),
        "thdt_buy_amt": str(traded[Side.BUY]),
        "thdt_sll_amt": str(traded[Side.SELL]),
        "thdt_tlex_amt": str(sum(row.commission + row.tax for row in today)),
        "scts_evlu_amt": str(value),
        "tot_evlu_amt": str(total),
        "nass_amt": str(total),
        "pchs_amt_smtl_amt": str(cost),
        "evlu_amt_smtl_amt": str(value),
        "evlu_pfls_smtl_amt": str(value - cost),
        "asst_icdc_amt": str(total - ledger.deposit),
    }


def buyable(desk: Desk, query: Mapping[str, str]) -> Fields:
    """Return `output` of inquire-psbl-order; unpriced types use the upper limit."""
    market = desk.markets.get(query.get("PDNO", ""))
    available = max(0, desk.ledger.buyable)
    price = quantity = 0
    if market is not None:
        asked = query.get("ORD_UNPR", "") or "0"
        is_priced = query.get("ORD_DVSN") == "00" and int(asked) > 0
        price = int(asked) if is_priced else market.limits.upper
        quantity = available // price
        while quantity and (
            desk.ledger.cash_needed(desk.day, market.listing, price, quantity) > available
        ):
            quantity -= 1
    return {
        **dict.fromkeys(("ord_psbl_sbst", "ruse_psbl_amt", "fund_rpch_chgs"), "0"),
        **dict.fromkeys(("cma_evlu_amt", "ovrs_re_use_amt_wcrc"), "0"),
        "ord_psbl_frcr_amt_wcrc": "0",
        "ord_psbl_cash": str(available),
        "psbl_qty_calc_unpr": str(price),
        "nrcvb_buy_amt": str(available),
        "nrcvb_buy_qty": str(quantity),
        "max_buy_amt": str(available),
        "max_buy_qty": str(quantity),
    }
