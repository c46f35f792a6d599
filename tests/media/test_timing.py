"""Frame rates as files round them."""

from fractions import Fraction

import pytest

from media import exact_rate

BROADCAST = {23.976: 24, 29.97: 30, 47.952: 48, 59.94: 60, 119.88: 120, 239.76: 240}


@pytest.mark.parametrize("rate", BROADCAST)
def test_a_rounded_broadcast_rate_is_made_exact(rate):
    exact = Fraction(BROADCAST[rate] * 1000, 1001)
    assert exact_rate(rate) == exact_rate(exact) == exact_rate(round(float(exact), 2)) == exact


@pytest.mark.parametrize("rate", [24, 25, 30, 48, 50, 60, 120, 12.5, 29.9, 23.99, Fraction(1, 3)])
def test_other_rates_stay(rate):
    assert exact_rate(rate) == Fraction(rate).limit_denominator(1_000_000)
