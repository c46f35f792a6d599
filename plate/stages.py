"""Stages of long work on a plate, for those who wait for it."""

from collections.abc import Callable

#: Told of a stage by name, such as "frames read for the plate", how many are done, and how many
#: there are, if known. What it raises ends the work.
Watch = Callable[[str, int, int | None], None]
#: The same within a stage.
Step = Callable[[int, int | None], None]


def watch_nothing(stage: str, done: int, total: int | None) -> None:
    """For those who do not wait."""


def counted(step: Step, total: int | None) -> Callable[[], None]:
    """A function to call before each of ``total`` pieces of work."""
    done = -1

    def next_one() -> None:
        nonlocal done
        done += 1
        step(done, total)

    return next_one
