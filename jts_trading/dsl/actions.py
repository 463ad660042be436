"""Actions of rules: what is ordered, how much, at which price, through whom."""

from dataclasses import dataclass

from jts_trading.dsl import syntax as s
from jts_trading.dsl.cursor import literal_of_text
from jts_trading.dsl.errors import nearest
from jts_trading.dsl.grammar import (
    ACTION_ARGUMENTS,
    ACTIONS_OF_SIDE,
    ALL_QUANTITY,
    CHOICE_WORDS,
    ENTRY_SIDES,
    FASTEST_BROKER_CALL,
    KELLY_CALL,
    ORDER_PRICES,
    ActionName,
    OrderType,
    Side,
    Slot,
    TimeInForce,
)
from jts_trading.dsl.normal import exact_decimal
from jts_trading.dsl.plan import Quantity, QuantityKind
from jts_trading.dsl.resolve import Resolver
from jts_trading.dsl.values import Fixed, Kind, Series, describe
from jts_trading.indicators.symbols import derive

FASTEST = "fastest"
_QUANTITY_HINT = f'write "5%", "{ALL_QUANTITY}", 100, 1_000_000 KRW or {KELLY_CALL}()'


@dataclass(frozen=True, slots=True)
class Order:
    """What an action orders; `prices` are nodes by name ("limit", "stop")."""

    action: ActionName
    quantity: Quantity
    order_type: OrderType
    time_in_force: TimeInForce
    broker: str
    prices: tuple[tuple[str, int], ...]


def check_action(resolver: Resolver, node: s.Action, side: Side) -> Order:
    """Check one action of a rule of this side.

    Raises:
        StrategyError: Action, argument, quantity, type or price is not accepted.
    """
    name = node.name.lower()
    accepted = [str(action) for action in ACTIONS_OF_SIDE[side]]
    if name not in set(ActionName):
        raise resolver.refuse(f'unknown action "{node.name}"', node.at, nearest(name, accepted))
    action = ActionName(name)
    if action not in ACTIONS_OF_SIDE[side]:
        raise resolver.refuse(
            f'"{action}" makes no sense for {side}', node.at, f"accepted: {', '.join(accepted)}"
        )
    given = _arguments(resolver, node, action)
    quantity = _quantity(resolver, given.get(Slot.QUANTITY), side)
    order_type = OrderType(_quoted(resolver, given, Slot.TYPE, OrderType, OrderType.MARKET))
    force = TimeInForce(_quoted(resolver, given, Slot.FORCE, TimeInForce, TimeInForce.DAY))
    _check_prices(resolver, node, given, order_type)
    prices = tuple(
        (which, _price(resolver, given[slot]))
        for which, slot in (("limit", Slot.PRICE), ("stop", Slot.STOP))
        if slot in given
    )
    broker = _broker(resolver, given.get(Slot.BROKER))
    return Order(action, quantity, order_type, force, broker, prices)


def _arguments(resolver: Resolver, node: s.Action, action: ActionName) -> dict[Slot, s.Expression]:
    known = ACTION_ARGUMENTS[action]
    found: dict[Slot, s.Expression] = {}
    flat: list[s.Argument] = []
    for argument in node.arguments:
        if isinstance(argument.value, s.Record) and not argument.name:
            flat.extend(argument.value.entries)
        else:
            flat.append(argument)
    for argument in flat:
        if isinstance(argument.value, s.Record):
            raise resolver.refuse(f'"{argument.name}" takes one value', argument.at)
        slot = known.get(argument.name) if argument.name else Slot.QUANTITY
        if slot is None:
            raise resolver.refuse(
                f'{action} has no argument "{argument.name}"',
                argument.at,
                nearest(argument.name, known),
            )
        if slot in found:
            raise resolver.refuse(f"{slot} is given twice", argument.at)
        found[slot] = argument.value
    return found


def _quantity(resolver: Resolver, node: s.Expression | None, side: Side) -> Quantity:
    if node is None:
        return Quantity(QuantityKind.NONE if side in ENTRY_SIDES else QuantityKind.ALL)
    if isinstance(node, s.Text) and node.value.strip().lower() == ALL_QUANTITY:
        if side in ENTRY_SIDES:
            raise resolver.refuse(
                f'"{ALL_QUANTITY}" means the whole position: an entry has none yet', node.at
            )
        return Quantity(QuantityKind.ALL)
    if isinstance(node, s.Text) and literal_of_text(node.value, resolver.scope.source, 0) is None:
        raise resolver.refuse(f'"{node.value}" is no quantity', node.at, _QUANTITY_HINT)
    if isinstance(node, s.Call) and node.name.lower() not in CHOICE_WORDS:
        if node.name != KELLY_CALL or node.arguments:
            raise resolver.refuse(
                f'"{node.name}(...)" is no quantity', node.at, nearest(node.name, {KELLY_CALL})
            )
        return Quantity(QuantityKind.KELLY)
    value = resolver.value(node, 0)
    if not isinstance(value, Fixed):
        raise resolver.refuse(
            f"a quantity is known in advance, found {describe(value)}", node.at, _QUANTITY_HINT
        )
    return _fixed_quantity(resolver, value, node.at)


def _fixed_quantity(resolver: Resolver, value: Fixed, at: int) -> Quantity:
    if value.value <= 0:
        raise resolver.refuse("a quantity is above zero", at, _QUANTITY_HINT)
    kinds = {
        Kind.PERCENT: QuantityKind.PERCENT,
        Kind.NUMBER: QuantityKind.SHARES,
        Kind.MONEY: QuantityKind.MONEY,
    }
    kind = kinds.get(value.kind)
    if kind is None:
        raise resolver.refuse(f"{describe(value)} is no quantity", at, _QUANTITY_HINT)
    if kind is QuantityKind.PERCENT and value.value > 1:
        raise resolver.refuse("a quantity is at most 100% of the equity", at)
    try:
        amount = derive(exact_decimal, value.value)
    except ValueError as error:
        raise resolver.refuse(f"the quantity {error}", at, _QUANTITY_HINT) from error
    return Quantity(kind, amount, value.currency)


_QUOTED = {Slot.TYPE: "type of order", Slot.FORCE: "time in force"}


def _quoted(
    resolver: Resolver,
    given: dict[Slot, s.Expression],
    slot: Slot,
    words: type[OrderType] | type[TimeInForce],
    default: str,
) -> str:
    """Return the word of an argument that stands in quotes."""
    node = given.get(slot)
    if node is None:
        return default
    accepted = [str(word) for word in words]
    if not isinstance(node, s.Text):
        raise resolver.refuse(
            f"the {_QUOTED[slot]} stands in quotes", node.at, f'write {slot}: "{accepted[0]}"'
        )
    name = node.value.strip().lower().replace("-", "_")
    if name not in accepted:
        raise resolver.refuse(
            f'"{node.value}" is no {_QUOTED[slot]}', node.at, nearest(name, accepted)
        )
    return name


def _check_prices(
    resolver: Resolver, node: s.Action, given: dict[Slot, s.Expression], order_type: OrderType
) -> None:
    for slot in (Slot.PRICE, Slot.STOP):
        if slot in ORDER_PRICES[order_type] and slot not in given:
            raise resolver.refuse(
                f'a {order_type} order needs "{slot}"', node.at, f"write {slot}: close * 0.99"
            )
        if slot in given and slot not in ORDER_PRICES[order_type]:
            raise resolver.refuse(f'a {order_type} order has no "{slot}"', given[slot].at)


def _price(resolver: Resolver, node: s.Expression) -> int:
    value = resolver.number(node, 0)
    amounts = (Kind.NUMBER, Kind.MONEY)
    is_price = value.power == 1 if isinstance(value, Series) else value.kind in amounts
    if not is_price:
        raise resolver.refuse(f"expected a price, found {describe(value)}", node.at)
    return resolver.node_of(value, 1)


def _broker(resolver: Resolver, node: s.Expression | None) -> str:
    if node is None:
        return ""
    if isinstance(node, s.Call) and node.name == FASTEST_BROKER_CALL and not node.arguments:
        return FASTEST
    if isinstance(node, s.Text) and node.value.isascii() and node.value.isidentifier():
        return node.value.lower()
    raise resolver.refuse(
        "this is no broker", node.at, f'write "kis", "creon" or {FASTEST_BROKER_CALL}()'
    )
