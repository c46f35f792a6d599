"""The program in processes of its own, forked from one that has imported everything already.

That saves the seconds that PyTorch takes to import: what a test asks is how the program ends, what
it prints and what it leaves behind, not how it starts.
"""

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
NOBODY = 65534


@dataclass(frozen=True)
class Finished:
    """How a process ended and what it printed."""

    returncode: int | None
    stdout: str
    stderr: str


class Forked:
    """A process that works in the folder ``cwd``.

    Args:
        work: A function of a test module; the status is what it returns.
        args: For ``work``.
        before: A function of a test module, called first.
    """

    def __init__(
        self,
        work: Callable[..., int | None],
        *args: object,
        cwd: Path,
        before: Callable[[], None] | None = None,
    ):
        _start_server()
        self._streams = cwd / ".stdout", cwd / ".stderr"
        for stream in self._streams:  # opened again by the process, perhaps without its rights
            stream.touch(mode=0o666)
            stream.chmod(0o666)
        self._process = _CONTEXT.Process(
            target=_run, args=(work, args, str(cwd), before), daemon=True
        )
        self._process.start()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, timeout: float = 120) -> Finished:
        """Wait for its end; it is killed when that takes longer than ``timeout`` seconds."""
        self._process.join(timeout)
        if self.running:
            self._process.kill()
            self._process.join()
        printed = [stream.read_text() for stream in self._streams]
        for stream in self._streams:
            stream.unlink()
        return Finished(self._process.exitcode, *printed)


def start_program(*args: object, cwd: Path, before: Callable[[], None] | None = None) -> Forked:
    """Start the command line in ``cwd``."""
    return Forked(_program, [*map(str, args)], cwd=cwd, before=before)


def run_program(*args: object, cwd: Path, before: Callable[[], None] | None = None) -> Finished:
    """Run the command line in ``cwd``."""
    return start_program(*args, cwd=cwd, before=before).wait()


def small_files_only() -> None:
    """A file above 100 kB cannot be written, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def little_memory(megabytes: int) -> None:
    """So much more than the program has now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def become_nobody() -> None:
    """Without the rights of root, where the tests have them."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def two_threads() -> None:
    """With two, it mattes two frames at once."""
    torch.set_num_threads(2)


_CONTEXT = multiprocessing.get_context("forkserver")


def _start_server() -> None:
    """Start the process to fork from, once; what it is told stays with it."""
    _CONTEXT.set_forkserver_preload(["cli.program", "writers.images", "writers.video"])
    ours = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # pictures too small for more threads
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _run(
    work: Callable[..., int | None],
    args: tuple[object, ...],
    cwd: str,
    before: Callable[[], None] | None,
) -> None:
    # shells let what they start in the background ignore Ctrl-C, and that is inherited
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    for name, stream in ((".stdout", sys.stdout), (".stderr", sys.stderr)):
        file = os.open(name, os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, stream.fileno())
        os.close(file)
    if before is not None:
        before()
    sys.exit(work(*args))


def _program(argv: list[str]) -> int:
    from inference_video import main

    return main(argv)
