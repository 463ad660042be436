"""Many parameter sets of one text: compiled once, then numbers are filled in.

Theory of operation. The text is read once. The first set is compiled with symbols in the place of
its parameters (`indicators.symbols`): what comes out is the plan of that set with holes for all
numbers that follow from parameters, and a recording of what was decided on the way. A further set
with the same decisions has the same plan but for the numbers, so the recording is replayed and the
holes are filled; one that is decided otherwise (a period that divides another, a history of no
bars) begins another pattern. Either way the plan is equal to what `compile_strategy` gives, which
`tests/property/test_dsl_patterns.py` holds together for generated texts and sets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jts_trading.dsl.check import check
from jts_trading.dsl.compiler import StrategyText, plan_digest, plan_of
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.pasting import own_steps
from jts_trading.dsl.plan import ParameterValue, Plan, RiskBlock, Rule
from jts_trading.dsl.settings import parameter_value
from jts_trading.indicators.symbols import Recording, filled, is_symbol, plain, split_holes

# Patterns that a set is tried with: those that served last come first.
_TRIED_MAX = 16


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A plan with holes, and what fills them.

    Attributes:
        plan: Its numbers that follow from parameters are symbols, or holes in texts.
        steps: Texts of steps that are not native, for the digest.
    """

    plan: Plan
    recording: Recording
    steps: tuple[str, ...]
    _source: list[str]
    _nodes: list[tuple[int, list[str], Any]]

    @property
    def orders_vary(self) -> bool:
        """Whether the quantity of an order or a limit of risk follows from parameters."""
        amounts = (rule.quantity.amount for rule in self.plan.rules)
        return any(map(is_symbol, (*amounts, *_limits(self.plan.risk))))

    @classmethod
    def of(cls, plan: Plan, recording: Recording, steps: tuple[str, ...]) -> "Pattern":
        """Return the pattern of a plan that was compiled with symbols."""
        nodes = [(at, split_holes(node.text), node.slots) for at, node in enumerate(plan.nodes)]
        varying = [n for n in nodes if len(n[1]) > 1 or is_symbol(n[2])]
        return cls(plan, recording, steps, split_holes(plan.source), varying)

    def fill(self, params: tuple[ParameterValue, ...], values: list[Any]) -> Plan:
        """Return the plan of a set.

        Args:
            params: Its parameters.
            values: What replaying gave for them.
        """
        texts = [form(values[place]) for form, place in self.recording.holes]
        plan = self.plan

        def known(number: Any) -> Any:
            return values[number.place] if is_symbol(number) else number

        nodes = list(plan.nodes)
        for at, parts, slots in self._nodes:
            nodes[at] = replace(nodes[at], text=filled(parts, texts), slots=known(slots))
        return replace(
            plan,
            rules=tuple(_rule(rule, known) for rule in plan.rules),
            risk=RiskBlock(*map(known, _limits(plan.risk))),
            params=params,
            warmup_bars={frame: known(bars) for frame, bars in plan.warmup_bars.items()},
            state_size=known(plan.state_size),
            source=filled(self._source, texts),
            digest=plan_digest(plan.normalised, params, self.steps),
            nodes=tuple(nodes),
            values_slot=known(plan.values_slot),
            guard_constants=tuple(map(known, plan.guard_constants)),
        )


def _limits(risk: RiskBlock) -> tuple[Any, ...]:
    return tuple(getattr(risk, name) for name in RiskBlock.__dataclass_fields__)


def _rule(rule: Rule, known: Callable[[Any], Any]) -> Rule:
    if not is_symbol(rule.quantity.amount):
        return rule
    return replace(rule, quantity=replace(rule.quantity, amount=known(rule.quantity.amount)))


@dataclass(frozen=True, slots=True)
class Member:
    """One parameter set: its plan, the pattern that it is of, and the numbers of that pattern."""

    plan: Plan
    pattern: Pattern
    values: list[Any]


@dataclass(slots=True)
class Patterns:
    """Compiles parameter sets of one text.

    Attributes:
        read: The text.
    """

    read: StrategyText
    _found: list[Pattern] = field(default_factory=list)
    _params: dict[tuple[str, str | None], ParameterValue] = field(default_factory=dict)

    def member(self, params: Mapping[str, str]) -> Member:
        """Compile a parameter set.

        Args:
            params: Values that replace the declared ones, as they would be written.

        Raises:
            StrategyError: As `compile_strategy`.
        """
        if self._found and params.keys() <= {node.name for node in self.read.syntax.params}:
            values = self._values(params)
            numbers = [plain(each.value) for each in values]
            for at, pattern in enumerate(self._found[:_TRIED_MAX]):
                replayed = pattern.recording.replay(numbers)
                if replayed is not None:
                    self._found.insert(0, self._found.pop(at))
                    return Member(pattern.fill(values, replayed), pattern, replayed)
        return self._begun(params)

    def _begun(self, params: Mapping[str, str]) -> Member:
        """Compile with symbols; what that gives serves further sets."""
        read, recording = self.read, Recording()
        try:
            program = check(read.syntax, read.source, params, read.catalog, recording)
            plan = plan_of(read, program)
        except StrategyError:
            # Say why with the numbers themselves.
            plan_of(read, check(read.syntax, read.source, params, read.catalog))
            raise
        pattern = Pattern.of(plan, recording, own_steps(program))
        self._found.insert(0, pattern)
        return Member(pattern.fill(plan.params, recording.values), pattern, recording.values)

    def _values(self, params: Mapping[str, str]) -> tuple[ParameterValue, ...]:
        found = []
        for node in self.read.syntax.params:
            key = node.name, params.get(node.name)
            if key not in self._params:
                self._params[key] = parameter_value(self.read.source, node, key[1])
            found.append(self._params[key])
        return tuple(found)
