"""The affine instance clock as arithmetic: now = epoch + speed x (monotonic - anchor).

Integers and one fraction, so that every process of an instance that knows the three numbers and
reads the same monotonic clock gets the same now, to the nanosecond.
"""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class AffineClock:
    """Instance time as a function of monotonic time.

    Attributes:
        epoch_ns: Instance time (UTC ns) at the anchor.
        anchor_ns: Monotonic reading (ns) at which instance time was `epoch_ns`.
        speed: Instance seconds per real second; above zero.
    """

    epoch_ns: int
    anchor_ns: int
    speed: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        """Refuse a clock that stands or runs backwards.

        Raises:
            ValueError: The speed is not above zero.
        """
        if self.speed <= 0:
            raise ValueError(f"clock speed {self.speed} is not above 0")

    def now_ns(self, monotonic_ns: int) -> int:
        """Return instance time (UTC ns, floored) at a monotonic reading."""
        return self.epoch_ns + int((monotonic_ns - self.anchor_ns) * self.speed // 1)

    def monotonic_at_ns(self, now_ns: int) -> int:
        """Return the first monotonic reading at which instance time has reached `now_ns`."""
        return self.anchor_ns - int((self.epoch_ns - now_ns) / self.speed // 1)
