"""What identifies a run: equal digests mean equal results."""

import hashlib
import json
from dataclasses import dataclass

from jts_trading.dsl.plan import Plan


@dataclass(frozen=True, slots=True)
class Digests:
    """What identifies a run: equal digests mean equal results, to the won.

    Attributes:
        data: Of every bar that was read.
        code: Of the strategy: text, parameters, and the step that they were compiled to.
        params: Of the parameters alone.
        config: Of the settings.
        engine: Of batch form and portfolio, compilers, the processor and the rule table.
    """

    data: str
    code: str
    params: str
    config: str
    engine: str

    def document(self) -> dict[str, str]:
        """Return what a script reads of them."""
        return {
            "data_digest": self.data,
            "code_digest": self.code,
            "params_digest": self.params,
            "config_digest": self.config,
            "engine_digest": self.engine,
        }

    @property
    def run(self) -> str:
        """Short name of the run: equal inputs and program, equal name."""
        joined = "\0".join((self.data, self.code, self.params, self.config, self.engine))
        return hashlib.sha256(joined.encode()).hexdigest()[:12]


def code_digest(plan: Plan) -> str:
    """Return what identifies a strategy as a program: text, parameters, its step and guard."""
    parts = (plan.digest, plan.source, plan.guard)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def params_digest(plan: Plan) -> str:
    """Return what identifies the parameters of a strategy alone."""
    params = json.dumps({p.name: str(p.value) for p in plan.params}, sort_keys=True)
    return hashlib.sha256(params.encode()).hexdigest()
