"""The simulator refuses as the venue refuses: paths, ids, keys, spelling, control messages."""

import asyncio
import contextlib
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.frames import encode_subscription

pytestmark = pytest.mark.integration
_ORDER = {
    "CANO": "50000001",
    "ACNT_PRDT_CD": "01",
    "PDNO": "005930",
    "ORD_DVSN": "00",
    "ORD_QTY": "1",
    "ORD_UNPR": "60000",
}


async def _headers(venue, tr_id: str, **changes: str) -> dict[str, str]:
    token = await venue.access.token()
    return {
        "authorization": f"Bearer {token.reveal()}",
        "appkey": venue.keys.app_key.reveal(),
        "appsecret": venue.keys.app_secret.reveal(),
        "tr_id": tr_id,
        **changes,
    }


@pytest.mark.parametrize(
    ("tr_id", "changes", "code"),
    [
        ("FHKST01010100", {}, "MCA00000"),
        ("FHKST01010100", {"authorization": ""}, "EGW00122"),
        ("FHKST01010100", {"authorization": "Bearer other"}, "EGW00121"),
        ("FHKST01010100", {"appkey": "other"}, "EGW00103"),
        ("FHKST99999999", {}, "OPSQ0002"),
        ("TTTC8434R", {}, "EGW00213"),
    ],
)
def test_quote_when_headers_are_wrong_then_the_venues_code(open_venue, tr_id, changes, code):
    """Sign-in and ids are checked before anything is answered."""

    async def run() -> None:
        async with open_venue() as venue:
            answer = await venue.http.get(
                venue.ready.rest_url + wire.QUOTE.path,
                params={"fid_cond_mrkt_div_code": "J", "fid_input_iscd": "005930"},
                headers=await _headers(venue, tr_id, **changes),
            )
            body = answer.json()
            assert body["msg_cd"] == code
            assert (body["rt_cd"] == "0") == (code == "MCA00000")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "changes", "code"),
    [
        (_ORDER, {}, "40600000"),
        ({key.lower(): value for key, value in _ORDER.items()}, {}, "OPSQ2002"),
        ({**_ORDER, "ORD_QTY": 1}, {}, "OPSQ2002"),
        ({**_ORDER, "CANO": "99999999"}, {}, "OPSQ2000"),
        (_ORDER, {"hashkey": "wrong"}, "EGW00131"),
    ],
)
def test_order_when_spelt_wrongly_then_refused(open_venue, body, changes, code):
    """Upper-case keys, string values, the right account, a right hash key if any."""

    async def run() -> None:
        async with open_venue() as venue:
            answer = await venue.http.post(
                venue.ready.rest_url + wire.BUY.path,
                json=body,
                headers=await _headers(venue, "VTTC0012U", **changes),
            )
            assert answer.json()["msg_cd"] == code
            assert len(venue.ready.desk.rows) == (code == "40600000")

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/tryitout", "/tryitout/H0STCNT0", ""])
def test_socket_when_any_path_in_use_then_answers_as_documented(open_venue, path: str):
    """All three paths work; control messages meet the venue's codes."""

    async def run() -> None:
        async with open_venue(speed=None) as venue:
            key = (await venue.access.approval_key()).reveal()
            async with connect(venue.ready.stream_url + path, proxy=None) as socket:

                async def ask(text: str) -> str:
                    await socket.send(text)
                    return json.loads(await socket.recv())["body"]["msg_cd"]

                begin = encode_subscription(key, "H0STCNT0", "000660")
                end = encode_subscription(key, "H0STCNT0", "000660", is_end=True)
                assert await ask("{") == "OPSP9999"
                assert await ask(encode_subscription(key, "H0XXXXX0", "005930")) == "OPSP8991"
                assert await ask(begin) == "OPSP0000"
                assert await ask(begin) == "OPSP0002"
                assert await ask(end) == "OPSP0001"
                assert await ask(end) == "OPSP0003"
                assert await ask(encode_subscription("nobody", "H0STCNT0", "1")) == "OPSP0011"
                with pytest.raises(ConnectionClosed):
                    await socket.recv()

    asyncio.run(run())


def test_simulator_when_its_port_is_taken_then_a_plain_error(open_venue):
    """Whoever starts it sees which part of the machine is in the way."""

    async def run() -> None:
        async with open_venue() as venue:
            port = int(venue.ready.stream_url.rpartition(":")[2])
            with pytest.raises(OSError, match="Address already in use"):
                async with open_venue(stream_port=port):
                    pass

    asyncio.run(run())


def test_connection_when_it_speaks_no_http_then_ended_and_others_are_served(open_venue):
    """Garbage on the port of REST costs the one who sent it, nobody else."""

    async def run() -> None:
        async with open_venue() as venue:
            host, _, port = venue.ready.rest_url.removeprefix("http://").partition(":")
            for garbage in (b"\xff\x00\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"x" * 70_000):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(garbage)
                writer.write_eof()
                with contextlib.suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 5)
                writer.close()
            quote = await venue.rest.quote("005930")
            assert quote.instrument_id == "KRX:005930"

    asyncio.run(run())
