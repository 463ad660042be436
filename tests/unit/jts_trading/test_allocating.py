"""Cash of an account dealt to strategy instances, and the differences that `external` takes."""

from decimal import Decimal

from jts_trading.domain.account_reports import BalanceReport, HeldPosition
from jts_trading.domain.ledger_rows import BalanceRow, LedgerAccount
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.execution.allocating import Allocation, allocate, foreign_currencies
from jts_trading.execution.differences import Books, DifferenceWatch, adopt, compare

OWNER = ("kis", "5000000101")


def balance(
    instance: str, ledger: LedgerAccount, amount: int, quantity: int = 0, instrument: str = ""
) -> BalanceRow:
    """One balance in won."""
    return BalanceRow(
        broker=OWNER[0],
        account=OWNER[1],
        instance=instance,
        ledger=ledger,
        instrument_id=instrument,
        currency="KRW",
        amount=Decimal(amount),
        quantity=Decimal(quantity),
    )


def books(*rows: BalanceRow, newest_seq: int = 7) -> Books:
    """An account."""
    return Books(*OWNER, "KRW", rows, newest_seq)


def funded(external: int, **given: int) -> Books:
    """An account whose external cash is known, and instances that still hold what they got."""
    rows = [balance("external", LedgerAccount.CASH, external)]
    for instance, amount in given.items():
        rows.append(balance(instance, LedgerAccount.CASH, amount))
        rows.append(balance(instance, LedgerAccount.CAPITAL, -amount))
    return books(*rows)


def inputs(version: int = 3, **allocations: int) -> TradingInputs:
    """Instances of the account with their allocations, and one of another account."""
    wanted = [("other", 5, "paper")] + [(name, cash, "kis") for name, cash in allocations.items()]
    return TradingInputs(
        version=version,
        created_ns=0,
        source="test",
        instances=tuple(
            StrategyInput(
                instance=name,
                strategy_id="",
                release="",
                dsl_code="",
                broker=broker,
                account=OWNER[1],
                venue="KRX",
                interval="1m",
                instrument_ids=(),
                allocation=Decimal(cash),
                currency="KRW",
            )
            for name, cash, broker in wanted
        ),
    )


def amounts(allocation: Allocation) -> list[tuple[str, int]]:
    """Each move as the instance and what it gets."""
    return [(given.event.instance, int(given.event.amount)) for _, given in allocation.moves]  # type: ignore[union-attr]


def test_allocation_when_external_has_the_cash_then_moves_it_in_pairs() -> None:
    """The sum over the account stays; the ids name inputs, account and instance."""
    allocation = allocate(funded(100), inputs(sma=60, rsi=40), frozenset())

    assert amounts(allocation) == [("sma", 60), ("rsi", 40)]
    for taken, given in allocation.moves:
        assert taken.event.instance == "external"  # type: ignore[union-attr]
        assert taken.event.amount + given.event.amount == 0  # type: ignore[union-attr]
    assert allocation.moves[0][1].event_id == "allocation/3/kis/5000000101/sma/7/given"
    assert allocation.short == ()


def test_allocation_when_done_then_is_not_repeated() -> None:
    """What an instance was given counts, not what it has made of it."""
    done = books(
        balance("external", LedgerAccount.CASH, 100),
        balance("sma", LedgerAccount.CASH, 11),
        balance("sma", LedgerAccount.CAPITAL, -60),
        balance("sma", LedgerAccount.POSITION, 40, 4, "KRX:005930"),
    )

    assert allocate(done, inputs(sma=60), frozenset()).moves == ()
    assert amounts(allocate(done, inputs(sma=75), frozenset())) == [("sma", 15)]


def test_allocation_when_external_is_short_then_nothing_moves_and_it_says_so() -> None:
    """All or nothing for an instance; the next one may still fit."""
    allocation = allocate(funded(50), inputs(sma=60, rsi=40), frozenset())

    assert amounts(allocation) == [("rsi", 40)]
    assert allocation.short == ("sma is to have 60 KRW more; external has 50",)


def test_allocation_when_smaller_then_cash_comes_back_unless_the_instance_is_busy() -> None:
    """Open orders may need it; and what is in positions cannot come back."""
    wanted = inputs(sma=20)

    assert amounts(allocate(funded(0, sma=60), wanted, frozenset())) == [("sma", -40)]
    assert allocate(funded(0, sma=60), wanted, frozenset({"sma"})).moves == ()
    assert allocate(funded(0, sma=60), wanted, frozenset({"sma"})).short != ()


def test_allocation_when_an_instance_is_gone_then_returns_all_once_it_is_flat() -> None:
    """With what it made; while it holds something its cash stays with it."""
    holding = books(
        balance("external", LedgerAccount.CASH, 0),
        balance("sma", LedgerAccount.CASH, 70),
        balance("sma", LedgerAccount.CAPITAL, -60),
        balance("sma", LedgerAccount.POSITION, 5, 1, "KRX:005930"),
    )
    flat = books(*holding.balances[:3])

    assert allocate(holding, inputs(), frozenset()) == Allocation((), ())
    assert amounts(allocate(flat, inputs(), frozenset())) == [("sma", -70)]


def test_allocation_when_in_another_currency_then_is_named() -> None:
    """Money is never converted on the way."""
    dollars = Books(*OWNER, "USD", (), 0)

    assert foreign_currencies(dollars, inputs(sma=1)) == (
        "sma is to have KRW; the account has USD",
    )
    assert allocate(dollars, inputs(sma=1), frozenset()).moves == ()


def report(cash: int, **held: tuple[int, int]) -> BalanceReport:
    """A balance with positions by symbol as quantity and cost."""
    money = Decimal(cash)
    return BalanceReport(
        broker=OWNER[0],
        account=OWNER[1],
        ts_recv_ns=0,
        settled_cash=money,
        next_day_cash=money,
        cash=money,
        costs_today=Decimal(0),
        positions=tuple(
            HeldPosition(
                instrument_id=f"KRX:{symbol[1:]}",
                quantity=Decimal(quantity),
                sellable=Decimal(quantity),
                cost=Decimal(cost),
                last=Decimal(1),
            )
            for symbol, (quantity, cost) in held.items()
        ),
    )


def test_difference_when_cost_differs_then_is_none() -> None:
    """Brokers average over the account, we over each instance: quantities decide."""
    held = books(
        balance("sma", LedgerAccount.CASH, 10),
        balance("external", LedgerAccount.CASH, 5),
        balance("sma", LedgerAccount.POSITION, 700, 3, "KRX:005930"),
        balance("external", LedgerAccount.POSITION, 200, 1, "KRX:005930"),
    )

    assert not compare(held.balances, report(15, s005930=(4, 1)), "KRW")
    found = compare(held.balances, report(14, s005930=(5, 1)), "KRW")
    assert str(found) == "cash -1, KRX:005930 +1"


def test_watch_when_seen_twice_in_the_same_books_then_lasts() -> None:
    """F37: one read is never acted upon, nor two between which something was booked."""
    watch = DifferenceWatch()
    wrong = compare((), report(5), "KRW")
    right = compare((), report(0), "KRW")

    assert [watch.note(*seen) for seen in ((wrong, 1), (wrong, 2), (wrong, 2))] == [
        False,
        False,
        True,
    ]
    assert [watch.note(*seen) for seen in ((right, 2), (wrong, 2), (right, 2))] == [False] * 3


def test_adoption_when_a_part_of_external_leaves_then_takes_its_share_of_the_cost() -> None:
    """What was transferred out costs what it had cost."""
    held = books(balance("external", LedgerAccount.POSITION, 1_000, 3, "KRX:005930"))

    (gone,) = adopt(held, report(0, s005930=(1, 50)), "test")

    assert (gone.event.quantity, gone.event.cost) == (-2, 666)  # type: ignore[union-attr]


def test_adoption_when_the_account_is_new_then_takes_the_brokers_cost() -> None:
    """The opening balance is what the broker shows."""
    found = adopt(books(newest_seq=0), report(100, s005930=(3, 210)), "opening balance")

    moved = [(type(each.event).__name__, each.event_id) for each in found]
    assert moved == [
        ("PositionAdopted", "position/kis/5000000101/0/KRX:005930"),
        ("CashMoved", "cash/kis/5000000101/0"),
    ]
    assert found[0].event.cost == 210  # type: ignore[union-attr]
