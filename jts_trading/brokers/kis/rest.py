"""Queries of KIS: prices, history, the day's orders, balance. Nothing here changes an order."""

from collections.abc import Mapping, Sequence
from datetime import date

from jts_trading.brokers.kis import codec, wire
from jts_trading.brokers.kis.errors import VenueBusyError
from jts_trading.brokers.kis.fields import decode
from jts_trading.brokers.kis.limits import MULTI_QUOTE_SYMBOLS_MAX
from jts_trading.brokers.kis.transport import KisTransport
from jts_trading.domain.account_reports import BalanceReport, BuyableReport, OrderReport
from jts_trading.domain.ticks import BookTick, HistoryBar, Quote
from jts_trading.ports.clock import Clock

# Ends a query whose pages never end.
PAGES_MAX = 100


class KisRest:
    """Asks KIS about the market and one account.

    Every method raises VenueBusyError (ask again later), VenueRefusedError (the question is
    wrong) and DecodeError (the answer cannot be read).

    Args:
        transport: Calls REST.
        clock: Dates what is received.
    """

    def __init__(self, transport: KisTransport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._settings = transport.settings

    async def quote(self, symbol: str) -> Quote:
        """Return the state of one instrument, with its limits and tick of today."""
        answer = await self._transport.query(
            wire.QUOTE, {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": symbol}
        )
        return codec.decode_quote(answer.body, self._clock.now_ns())

    async def quotes(self, symbols: Sequence[str]) -> tuple[Quote, ...]:
        """Return the state of many instruments, 30 a call; unknown symbols are left out."""
        found: list[Quote] = []
        for start in range(0, len(symbols), MULTI_QUOTE_SYMBOLS_MAX):
            parameters = {}
            for at, symbol in enumerate(symbols[start : start + MULTI_QUOTE_SYMBOLS_MAX], 1):
                parameters[f"FID_COND_MRKT_DIV_CODE_{at}"] = "J"
                parameters[f"FID_INPUT_ISCD_{at}"] = symbol
            answer = await self._transport.query(wire.MULTI_QUOTE, parameters)
            found += codec.decode_quotes(answer.body, self._clock.now_ns())
        return tuple(found)

    async def book(self, symbol: str) -> BookTick:
        """Return ten levels a side of the order book, and what a call auction would match."""
        answer = await self._transport.query(
            wire.BOOK, {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": symbol}
        )
        return codec.decode_book(answer.body, symbol, self._clock.now_ns())

    async def minutes_today(self, symbol: str, until: str) -> tuple[HistoryBar, ...]:
        """Return up to 30 minute bars of today, the newest at HHMMSS or before, oldest first."""
        answer = await self._transport.query(
            wire.MINUTES_TODAY,
            {
                "FID_ETC_CLS_CODE": "",
                "FID_COND_MRKT_DIV_CODE": "J",
                "FID_INPUT_ISCD": symbol,
                "FID_INPUT_HOUR_1": until,
                "FID_PW_DATA_INCU_YN": "N",
            },
        )
        return codec.decode_minutes(answer.body, symbol, self._clock.now_ns())

    async def minutes_of(self, symbol: str, day: date, until: str) -> tuple[HistoryBar, ...]:
        """Return up to 120 minute bars of a past day, likewise."""
        answer = await self._transport.query(
            wire.MINUTES_PAST,
            {
                "FID_COND_MRKT_DIV_CODE": "J",
                "FID_INPUT_ISCD": symbol,
                "FID_INPUT_HOUR_1": until,
                "FID_INPUT_DATE_1": f"{day:%Y%m%d}",
                "FID_PW_DATA_INCU_YN": "N",
                "FID_FAKE_TICK_INCU_YN": "",
            },
        )
        return codec.decode_minutes(answer.body, symbol, self._clock.now_ns())

    async def orders(self, first: date, last: date) -> tuple[OrderReport, ...]:
        """Return every order of a span of days, oldest first, with what was filled of it."""
        parameters = self._account() | {
            "INQR_STRT_DT": f"{first:%Y%m%d}",
            "INQR_END_DT": f"{last:%Y%m%d}",
            "SLL_BUY_DVSN_CD": "00",
            "PDNO": "",
            "ORD_GNO_BRNO": "",
            "ODNO": "",
            "CCLD_DVSN": "00",
            "INQR_DVSN": "01",
            "INQR_DVSN_1": "",
            "INQR_DVSN_3": "00",
            "EXCG_ID_DVSN_CD": "KRX" if self._settings.is_paper else "ALL",
        }
        pages = await self._pages(wire.ORDERS, parameters)
        return tuple(report for page in pages for report in codec.decode_orders(page))

    async def balance(self) -> BalanceReport:
        """Return money and positions of the account."""
        parameters = self._account() | {
            "AFHR_FLPR_YN": "N",
            "OFL_YN": "",
            "INQR_DVSN": "02",
            "UNPR_DVSN": "01",
            "FUND_STTL_ICLD_YN": "N",
            "FNCG_AMT_AUTO_RDPT_YN": "N",
            "PRCS_DVSN": "00",
        }
        pages = await self._pages(wire.BALANCE, parameters)
        account = self._settings.account + self._settings.product
        return codec.decode_balance(pages, account, self._clock.now_ns())

    async def buyable(self, symbol: str, price: int | None) -> BuyableReport:
        """Return what may be bought at a price in won, or at the market when None."""
        parameters = self._account() | {
            "PDNO": symbol,
            "ORD_UNPR": "" if price is None else str(price),
            "ORD_DVSN": "01" if price is None else "00",
            "CMA_EVLU_AMT_ICLD_YN": "N",
            "OVRS_ICLD_YN": "N",
        }
        answer = await self._transport.query(wire.BUYABLE, parameters)
        return codec.decode_buyable(answer.body)

    def _account(self) -> dict[str, str]:
        return {"CANO": self._settings.account, "ACNT_PRDT_CD": self._settings.product}

    async def _pages(self, call: wire.Call, parameters: Mapping[str, str]) -> tuple[bytes, ...]:
        pages: list[bytes] = []
        cursors = {"CTX_AREA_FK100": "", "CTX_AREA_NK100": ""}
        for _ in range(PAGES_MAX):
            answer = await self._transport.query(
                call, {**parameters, **cursors}, is_next_page=bool(pages)
            )
            pages.append(answer.body)
            if not answer.has_more:
                return tuple(pages)
            envelope = decode(answer.body, wire.Envelope)
            cursors = {
                "CTX_AREA_FK100": envelope.ctx_area_fk100,
                "CTX_AREA_NK100": envelope.ctx_area_nk100,
            }
        raise VenueBusyError(f"KIS {call.path}: more than {PAGES_MAX} pages")
