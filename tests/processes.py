"""The program in processes of its own, forked from one that has imported everything already.

That saves the seconds that PyTorch takes to import: what a test asks is how the program ends, what
it prints and what it leaves behind, not how it starts.
"""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOBODY = 65534


@dataclass(frozen=True)
class Finished:
    """How a process ended and what it printed."""

    returncode: int | None
    stdout: str
    stderr: str


def run_forked(
    *args: object, cwd: Path, before: Callable[[], None] | None = None, timeout: float = 120
) -> Finished:
    """Run the command line in ``cwd``, after ``before``, a function of this module."""
    _start_server()
    process = _CONTEXT.Process(target=_run, args=([*map(str, args)], str(cwd), before))
    streams = cwd / ".stdout", cwd / ".stderr"
    for stream in streams:  # opened again by the process, which may have lost its rights by then
        stream.touch(mode=0o666)
        stream.chmod(0o666)
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
    printed = [stream.read_text() for stream in streams]
    for stream in streams:
        stream.unlink()
    return Finished(process.exitcode, *printed)


def small_files_only() -> None:
    """A file above 100 kB cannot be written, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def little_memory() -> None:
    """About 1 GB more than the program has now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + 1_000_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def become_nobody() -> None:
    """Without the rights of root, where the tests have them."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


_CONTEXT = multiprocessing.get_context("forkserver")


def _start_server() -> None:
    """Start the process to fork from, once; what it is told stays with it."""
    _CONTEXT.set_forkserver_preload(["inference_video"])
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


def _run(argv: list[str], cwd: str, before: Callable[[], None] | None) -> None:
    os.chdir(cwd)
    for name, stream in ((".stdout", sys.stdout), (".stderr", sys.stderr)):
        file = os.open(name, os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, stream.fileno())
        os.close(file)
    if before is not None:
        before()
    from inference_video import main

    sys.exit(main(argv))
