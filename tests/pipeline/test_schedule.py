"""Which worker mattes what: every frame once, in order, whoever is slow or lost."""

import random

import pytest

from pipeline.schedule import HarmfulChunkError, Schedule


def schedule(count: int, workers: int = 2, **changed: int) -> Schedule:
    return Schedule(count, workers, **{"least": 2, "most": 16, "ahead": 6, **changed})


def collected(plan: Schedule) -> list[int]:
    found: list[int] = []
    while (chunk := plan.collect()) is not None:
        found += chunk
    return found


@pytest.mark.parametrize("seed", range(20))
def test_every_frame_comes_once_in_order_whatever_happens(seed):
    chance = random.Random(seed)
    workers = chance.randint(1, 5)
    plan = schedule(chance.randint(1, 300), workers, ahead=chance.randint(1, 8))
    total, working, found, now, lost = plan._count, {}, [], 0.0, 0
    while not plan.is_complete:
        now += chance.expovariate(1)
        for worker in range(workers):
            if worker not in working and (chunk := plan.take(worker, now)) is not None:
                working[worker] = chunk
        worker = chance.choice(sorted(working))
        chunk = working.pop(worker)
        if chance.random() < 0.1 and lost < 2:
            lost += 1
            plan.lose(worker, chunk)
        else:
            plan.finish(worker, chunk, now)
        found += collected(plan)
    assert found == list(range(total))


def test_chunks_get_smaller_towards_the_end():
    plan = schedule(100)
    sizes = []
    while (chunk := plan.take("one", 0)) is not None:
        sizes.append(len(chunk))
        plan.finish("one", chunk, 1)
        collected(plan)
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 100
    assert sizes[0] == 16 and sizes[-2] == 2


def test_nobody_runs_far_ahead_of_what_is_missing():
    plan = schedule(1000, ahead=3)
    first = plan.take("slow", 0)
    taken = [plan.take("fast", 0) for _ in range(5)]
    assert taken[2:] == [None] * 3
    plan.finish("slow", first, 1)
    assert collected(plan) and plan.take("fast", 1) is not None


def test_what_is_late_is_given_out_again_and_the_first_counts():
    plan = schedule(8, least=4)
    slow, fast = plan.take("slow", 0), plan.take("fast", 0)
    assert plan.finish("fast", fast, 4)  # a second a frame
    assert plan.take("fast", 7) is None, "late only after twice the usual time"
    assert plan.take("fast", 9) == slow
    assert plan.take("third", 9) is None, "two are enough"
    assert plan.finish("fast", slow, 10) and not plan.finish("slow", slow, 11)
    assert collected(plan) == list(range(8)) and plan.is_complete


def test_what_was_lost_comes_next():
    plan = schedule(100)
    first, second = plan.take("one", 0), plan.take("two", 0)
    plan.lose("one", first)
    assert plan.take("three", 1) == first
    plan.lose("three", first)
    plan.take("four", 2)
    with pytest.raises(HarmfulChunkError):
        plan.lose("four", first)
    plan.lose("two", second)
