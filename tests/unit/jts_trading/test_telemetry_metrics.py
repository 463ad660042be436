"""Counters and latencies of a role."""

import pytest

from jts_trading.telemetry.metrics import Counters, Latency, sample_name, with_label


def test_percentiles_when_durations_were_noted_then_are_ones_of_them() -> None:
    """p50 and p99 are durations that happened, and the count goes on past the reservoir."""
    latency = Latency(size=100)
    for ms in range(1, 251):
        latency.add(ms)

    assert latency.count == 250
    assert latency.p50 == 200
    assert latency.p99 == 249
    assert latency.samples("commit", role="trader") == {
        'commit_count{role="trader"}': 250,
        'commit_sum_ms{role="trader"}': 31375,
        'commit_p50_ms{role="trader"}': 200,
        'commit_p99_ms{role="trader"}': 249,
        'commit_max_ms{role="trader"}': 250,
    }


def test_percentiles_when_nothing_was_noted_then_are_zero() -> None:
    """A latency without a duration is readable."""
    assert (Latency().p50, Latency().p99, Latency().count) == (0, 0, 0)


def test_counters_when_added_and_put_then_are_read_by_name_and_labels() -> None:
    """A counter adds, a gauge replaces; labels keep values apart in any order."""
    counters = Counters()
    counters.add("frames_total", feed="kis-1")
    counters.add("frames_total", 2, feed="kis-1")
    counters.add("frames_total", feed="binance-1")
    counters.put("lag", 3)
    counters.put("lag", 1)

    assert counters.read("frames_total", feed="kis-1") == 3
    assert counters.read("never") == 0
    assert counters.samples() == {
        'frames_total{feed="kis-1"}': 3,
        'frames_total{feed="binance-1"}': 1,
        "lag": 1,
    }
    assert sample_name("a", z="1", b="2") == sample_name("a", b="2", z="1") == 'a{b="2",z="1"}'


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("orders_total", 'orders_total{role="trader"}'),
        ('orders_total{side="buy"}', 'orders_total{role="trader",side="buy"}'),
    ],
)
def test_with_label_when_a_role_is_added_then_stands_first(sample: str, expected: str) -> None:
    """The status server tells the roles apart by a label."""
    assert with_label(sample, "role", "trader") == expected


def test_sample_name_when_a_value_has_quotes_then_they_are_escaped() -> None:
    """No value can end its own quotes."""
    assert sample_name("x", why='a"b\\\n') == 'x{why="a\\"b\\\\\\n"}'
