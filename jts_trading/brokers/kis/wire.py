"""What KIS puts on the wire, spelled as KIS spells it: tables and structs, no meaning.

Every value is a string unless said. Unknown fields are ignored, because the venue adds fields
without notice; a missing field that we read is an error of the frame.

An answer of REST (prices whole won, times KST):

    {"rt_cd":"0","msg_cd":"APBK0013","msg1":"주문 전송 완료 되었습니다.",
     "output":{"KRX_FWDG_ORD_ORGNO":"00950","ODNO":"0000117057","ORD_TMD":"093012"}}

A frame of the socket (flag, transaction id, records, fields of all records in a row):

    0|H0STCNT0|001|005930^101530^71000^2^1000^1.43^...
"""

from typing import NamedTuple

import msgspec

from jts_trading.brokers.kis.settings import Environment

PATH_TOKEN = "/oauth2/tokenP"  # noqa: S105 - a path
PATH_REVOKE = "/oauth2/revokeP"
PATH_APPROVAL = "/oauth2/Approval"
PATH_HASHKEY = "/uapi/hashkey"
_QUOTATIONS = "/uapi/domestic-stock/v1/quotations"
_TRADING = "/uapi/domestic-stock/v1/trading"


class Call(NamedTuple):
    """One call of REST.

    Attributes:
        old: An id that other clients still send; accepted by the simulator.
        has_paper: Whether the paper host knows the call.
        is_ledger: Whether it counts against the quota of the account ledger.
    """

    method: str
    path: str
    tr_id: str
    old: str = ""
    has_paper: bool = True
    is_ledger: bool = False

    def tr_id_in(self, environment: Environment) -> str:
        """Return the id in an environment."""
        return id_in(self.tr_id, environment)


def id_in(tr_id: str, environment: Environment) -> str:
    """Return a real id as the environment spells it: paper replaces a leading T, J or C by V."""
    if environment is Environment.PAPER and tr_id[:1] in "TJC":
        return "V" + tr_id[1:]
    return tr_id


QUOTE = Call("GET", f"{_QUOTATIONS}/inquire-price", "FHKST01010100")
MULTI_QUOTE = Call("GET", f"{_QUOTATIONS}/intstock-multprice", "FHKST11300006")
BOOK = Call("GET", f"{_QUOTATIONS}/inquire-asking-price-exp-ccn", "FHKST01010200")
MINUTES_TODAY = Call("GET", f"{_QUOTATIONS}/inquire-time-itemchartprice", "FHKST03010200")
MINUTES_PAST = Call("GET", f"{_QUOTATIONS}/inquire-time-dailychartprice", "FHKST03010230")
BUY = Call("POST", f"{_TRADING}/order-cash", "TTTC0012U", "TTTC0802U", is_ledger=True)
SELL = Call("POST", f"{_TRADING}/order-cash", "TTTC0011U", "TTTC0801U", is_ledger=True)
CHANGE = Call("POST", f"{_TRADING}/order-rvsecncl", "TTTC0013U", "TTTC0803U", is_ledger=True)
OPEN_ORDERS = Call(
    "GET",
    f"{_TRADING}/inquire-psbl-rvsecncl",
    "TTTC0084R",
    "TTTC8036R",
    has_paper=False,
    is_ledger=True,
)
ORDERS = Call("GET", f"{_TRADING}/inquire-daily-ccld", "TTTC0081R", "TTTC8001R", is_ledger=True)
BALANCE = Call("GET", f"{_TRADING}/inquire-balance", "TTTC8434R", is_ledger=True)
BUYABLE = Call("GET", f"{_TRADING}/inquire-psbl-order", "TTTC8908R", is_ledger=True)
CALLS = (
    *(QUOTE, MULTI_QUOTE, BOOK, MINUTES_TODAY, MINUTES_PAST),
    *(BUY, SELL, CHANGE, OPEN_ORDERS, ORDERS, BALANCE, BUYABLE),
)

TR_TRADE = "H0STCNT0"
TR_BOOK = "H0STASP0"
TR_NOTICE_REAL = "H0STCNI0"
TR_NOTICE_PAPER = "H0STCNI9"
TR_PINGPONG = "PINGPONG"
NOTICE_TRS = frozenset({TR_NOTICE_REAL, TR_NOTICE_PAPER})

# Fields of a record of H0STCNT0; more may follow.
TRADE_COLUMNS = (
    *("MKSC_SHRN_ISCD", "STCK_CNTG_HOUR", "STCK_PRPR", "PRDY_VRSS_SIGN", "PRDY_VRSS"),
    *("PRDY_CTRT", "WGHN_AVRG_STCK_PRC", "STCK_OPRC", "STCK_HGPR", "STCK_LWPR"),
    *("ASKP1", "BIDP1", "CNTG_VOL", "ACML_VOL", "ACML_TR_PBMN"),
    *("SELN_CNTG_CSNU", "SHNU_CNTG_CSNU", "NTBY_CNTG_CSNU", "CTTR", "SELN_CNTG_SMTN"),
    *("SHNU_CNTG_SMTN", "CCLD_DVSN", "SHNU_RATE", "PRDY_VOL_VRSS_ACML_VOL_RATE", "OPRC_HOUR"),
    *("OPRC_VRSS_PRPR_SIGN", "OPRC_VRSS_PRPR", "HGPR_HOUR", "HGPR_VRSS_PRPR_SIGN"),
    *("HGPR_VRSS_PRPR", "LWPR_HOUR", "LWPR_VRSS_PRPR_SIGN", "LWPR_VRSS_PRPR", "BSOP_DATE"),
    *("NEW_MKOP_CLS_CODE", "TRHT_YN", "ASKP_RSQN1", "BIDP_RSQN1", "TOTAL_ASKP_RSQN"),
    *("TOTAL_BIDP_RSQN", "VOL_TNRT", "PRDY_SMNS_HOUR_ACML_VOL"),
    *("PRDY_SMNS_HOUR_ACML_VOL_RATE", "HOUR_CLS_CODE", "MRKT_TRTM_CLS_CODE", "VI_STND_PRC"),
)
BOOK_LEVELS = 10
# Fields of H0STASP0 that are documented, and the three more that the wire shows.
BOOK_COLUMNS = (
    *("MKSC_SHRN_ISCD", "BSOP_HOUR", "HOUR_CLS_CODE"),
    *(f"ASKP{n}" for n in range(1, 11)),
    *(f"BIDP{n}" for n in range(1, 11)),
    *(f"ASKP_RSQN{n}" for n in range(1, 11)),
    *(f"BIDP_RSQN{n}" for n in range(1, 11)),
    *("TOTAL_ASKP_RSQN", "TOTAL_BIDP_RSQN", "OVTM_TOTAL_ASKP_RSQN", "OVTM_TOTAL_BIDP_RSQN"),
    *("ANTC_CNPR", "ANTC_CNQN", "ANTC_VOL", "ANTC_CNTG_VRSS", "ANTC_CNTG_VRSS_SIGN"),
    *("ANTC_CNTG_PRDY_CTRT", "ACML_VOL", "TOTAL_ASKP_RSQN_ICDC", "TOTAL_BIDP_RSQN_ICDC"),
    *("OVTM_TOTAL_ASKP_ICDC", "OVTM_TOTAL_BIDP_ICDC", "STCK_DEAL_CLS_CODE"),
)
BOOK_EXTRA_COLUMNS = ("KMID_PRC", "KMID_TOTAL_RSQN", "KMID_CLS_CODE")
# Fields of H0STCNI0/9, and of the layout before Nextrade (which has no venue of its own).
NOTICE_COLUMNS = (
    *("CUST_ID", "ACNT_NO", "ODER_NO", "OODER_NO", "SELN_BYOV_CLS", "RCTF_CLS", "ODER_KIND"),
    *("ODER_COND", "STCK_SHRN_ISCD", "CNTG_QTY", "CNTG_UNPR", "STCK_CNTG_HOUR", "RFUS_YN"),
    *("CNTG_YN", "ACPT_YN", "BRNC_NO", "ODER_QTY", "ACNT_NAME", "ORD_COND_PRC", "ORD_EXG_GB"),
    *("POPUP_YN", "FILLER", "CRDT_CLS", "CRDT_LOAN_DATE", "CNTG_ISNM40", "ODER_PRC"),
)
NOTICE_COLUMNS_OLD = (
    *NOTICE_COLUMNS[:18],
    *("CNTG_ISNM", "CRDT_CLS", "CRDT_LOAN_DATE", "CNTG_ISNM40", "ODER_PRC"),
)


class _Answer(msgspec.Struct, frozen=True):
    """An answer of REST."""


class TokenAnswer(_Answer, frozen=True):
    """`POST /oauth2/tokenP`: the expiry is KST without a zone, `expires_in` a number (s)."""

    access_token: str
    access_token_token_expired: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - a kind of token


class ApprovalAnswer(_Answer, frozen=True):
    """`POST /oauth2/Approval`: `{"approval_key": "<uuid>"}`."""

    approval_key: str


class GatewayRefusal(_Answer, frozen=True):
    """What the token endpoint answers with HTTP 403, in an envelope of its own."""

    error_code: str
    error_description: str = ""


class Envelope(_Answer, frozen=True):
    """What every other answer carries; success is `rt_cd` "0" and nothing else."""

    rt_cd: str
    msg_cd: str = ""
    msg1: str = ""
    ctx_area_fk100: str = ""
    ctx_area_nk100: str = ""


class QuoteOutput(_Answer, frozen=True):
    """`inquire-price`, the fields that we read of its 80 and more."""

    stck_shrn_iscd: str
    stck_prpr: str
    stck_oprc: str
    stck_hgpr: str
    stck_lwpr: str
    stck_sdpr: str
    stck_mxpr: str
    stck_llam: str
    aspr_unit: str
    acml_vol: str
    temp_stop_yn: str = "N"
    iscd_stat_cls_code: str = "00"


class MultiQuoteOutput(_Answer, frozen=True):
    """A row of `intstock-multprice`, up to 30 symbols a call."""

    inter_shrn_iscd: str
    inter2_prpr: str
    inter2_oprc: str
    inter2_hgpr: str
    inter2_lwpr: str
    inter2_prdy_clpr: str
    acml_vol: str
    inter2_mxpr: str = ""
    inter2_llam: str = ""
    inter2_askp: str = ""
    inter2_bidp: str = ""


class MinuteRow(_Answer, frozen=True):
    """A row of the minute charts, labelled by the start of its minute; newest first."""

    stck_bsop_date: str
    stck_cntg_hour: str
    stck_prpr: str
    stck_oprc: str
    stck_hgpr: str
    stck_lwpr: str
    cntg_vol: str


class OrderOutput(_Answer, frozen=True):
    """`order-cash` and `order-rvsecncl`; read without regard to case, as both are seen."""

    krx_fwdg_ord_orgno: str
    odno: str
    ord_tmd: str = ""


class OrderRow(_Answer, frozen=True):
    """A row of `inquire-daily-ccld`: cumulative per order."""

    ord_dt: str
    ord_gno_brno: str
    odno: str
    sll_buy_dvsn_cd: str
    pdno: str
    ord_qty: str
    ord_unpr: str
    ord_tmd: str
    tot_ccld_qty: str
    tot_ccld_amt: str
    rmn_qty: str
    orgn_odno: str = ""
    cncl_yn: str = "N"
    cnc_cfrm_qty: str = "0"
    rjct_qty: str = "0"
    excg_id_dvsn_Cd: str = "KRX"  # noqa: N815 - so the venue spells it


class PositionRow(_Answer, frozen=True):
    """A row of `inquire-balance`; rows without quantity stay until they have settled."""

    pdno: str
    hldg_qty: str
    ord_psbl_qty: str
    pchs_amt: str
    prpr: str


class CashRow(_Answer, frozen=True):
    """The totals of `inquire-balance`: D+0, D+1 and D+2 deposits, costs of today."""

    dnca_tot_amt: str
    nxdy_excc_amt: str
    prvs_rcdl_excc_amt: str
    thdt_tlex_amt: str = "0"


class BuyableOutput(_Answer, frozen=True):
    """`inquire-psbl-order`; `nrcvb_` is what can be bought without receivables."""

    ord_psbl_cash: str
    nrcvb_buy_amt: str
    nrcvb_buy_qty: str
    psbl_qty_calc_unpr: str


class QuoteBody(_Answer, frozen=True):
    """`inquire-price`."""

    output: QuoteOutput


class MultiQuoteBody(_Answer, frozen=True):
    """`intstock-multprice`."""

    output: list[MultiQuoteOutput]


class BookBody(_Answer, frozen=True):
    """`inquire-asking-price-exp-ccn`: `askp1` to `bidp_rsqn10`, and fields of a call auction.

    One page of the documents calls the second part a list, so it is read as neither.
    """

    output1: dict[str, str]
    output2: msgspec.Raw = msgspec.Raw(b"{}")


class BookExpectation(_Answer, frozen=True):
    """The second part of a book: zero outside call auctions."""

    antc_cnpr: str = "0"
    antc_vol: str = "0"


class MinuteBody(_Answer, frozen=True):
    """The minute charts."""

    output2: list[MinuteRow]


class OrdersBody(_Answer, frozen=True):
    """`inquire-daily-ccld`, one page."""

    output1: list[OrderRow]


class BalanceBody(_Answer, frozen=True):
    """`inquire-balance`, one page; the totals stand in a list of one."""

    output1: list[PositionRow]
    output2: list[CashRow]


class BuyableBody(_Answer, frozen=True):
    """`inquire-psbl-order`."""

    output: BuyableOutput


class CashOrderRequest(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    """Body of `order-cash`; upper-case keys are required, values are strings."""

    cano: str
    acnt_prdt_cd: str
    pdno: str
    ord_dvsn: str
    ord_qty: str
    ord_unpr: str
    excg_id_dvsn_cd: str = "KRX"
    sll_type: str = ""
    cndt_pric: str = ""


class ChangeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="upper"):
    """Body of `order-rvsecncl`: `RVSE_CNCL_DVSN_CD` 01 amends, 02 cancels."""

    cano: str
    acnt_prdt_cd: str
    krx_fwdg_ord_orgno: str
    orgn_odno: str
    ord_dvsn: str
    rvse_cncl_dvsn_cd: str
    ord_qty: str
    ord_unpr: str
    qty_all_ord_yn: str
    excg_id_dvsn_cd: str = "KRX"
    cndt_pric: str = ""


class StreamHeader(msgspec.Struct, frozen=True):
    """Header of a control message of the socket; error frames leave parts out."""

    tr_id: str = ""
    tr_key: str = ""
    encrypt: str = "N"
    datetime: str = ""


class StreamKeys(msgspec.Struct, frozen=True):
    """Key (32 characters) and iv (16), sent with each success."""

    iv: str = ""
    key: str = ""


class StreamResult(msgspec.Struct, frozen=True):
    """Body of an answer on the socket."""

    rt_cd: str = ""
    msg_cd: str = ""
    msg1: str = ""
    output: StreamKeys | None = None


class StreamControl(msgspec.Struct, frozen=True):
    """A control message: `{"header": {...}, "body": {...}}`, each part optional."""

    header: StreamHeader = StreamHeader()
    body: StreamResult | None = None
