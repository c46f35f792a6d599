"""The simulation of many workers: its shares add up, and it stops scaling where it has to."""

import pytest

from benchmarks.simulated_workers import Costs, simulate

FREE = Costs(start=0, chunk=0, frame=1, spread=0, own=0)


def shares(found) -> float:
    return found.matting + found.starting + found.chunks + found.waiting + found.ending


@pytest.mark.parametrize("workers", [1, 3, 64])
def test_workers_that_cost_nothing_share_the_work(workers):
    found = simulate(FREE, 6400, workers)
    assert found.speedup == pytest.approx(workers, rel=0.05)
    assert shares(found) == pytest.approx(1)


def test_each_cost_bounds_what_workers_gain():
    assert simulate(Costs(10, 0, 1, 0, 0), 100, 100).speedup < 10, "the start"
    assert simulate(Costs(0, 4, 1, 0, 0), 6400, 10, least=4, most=4).speedup < 5.1, "chunks"
    slow = simulate(Costs(0, 0, 1, 0, 0.1), 6400, 100)
    assert slow.speedup < 10.1 and slow.waiting > 0.5, "the run itself"
    tail = simulate(FREE, 6400, 1000, least=64)
    assert tail.speedup <= 100 and tail.ending > 0.5, "the last range"
    for found in (slow, tail, simulate(Costs(3, 0.2, 0.2, 0.3, 0.002), 5000, 50)):
        assert shares(found) == pytest.approx(1)
