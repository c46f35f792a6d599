"""A run that Ray spreads over two nodes, which lose a worker and then a node on the way."""

import json
import os
import re
import signal
import time
from pathlib import Path

import footage
import pytest
from conftest import ROOT
from processes import start_program
from runs import matte_checkpoint as matte

ray = pytest.importorskip("ray", reason="Ray is not installed")
COUNT = 160


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a core each."""
    from ray.cluster_utils import Cluster

    quiet = {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in quiet.items():
            patch.setenv(name, value)
        nodes = Cluster()
        nodes.add_node(num_cpus=0, include_dashboard=False)
        for _ in range(2):
            nodes.add_node(num_cpus=1)
        ray.init(address=nodes.address, log_to_driver=False, configure_logging=False)
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture
def desk(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    footage.make_clip(tmp_path / "clip.mp4", COUNT)
    footage.make_plate(tmp_path / "plate.png")
    (tmp_path / "half.pth").hardlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(out: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(out, "com").iterdir()}


def workers_of(node) -> list[int]:
    """Processes of the workers on a node."""
    (raylet,) = node.all_processes["raylet"]
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name = (path / "cmdline").read_bytes()
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == raylet.process.pid and name.startswith(b"ray::Worker"):
            pids.append(int(path.name))
    return pids


def test_a_worker_is_killed_and_a_node_is_removed(cluster, desk):
    matte("one")
    first, second = cluster.worker_nodes
    events: list[str] = []

    def disturb(done: int, expected: int | None) -> None:
        assert expected == COUNT
        if done >= 10 and not events:
            (worker,) = workers_of(first)
            os.kill(worker, signal.SIGKILL)
            events.append("killed")
        elif done >= 80 and len(events) == 1:
            cluster.remove_node(second, allow_graceful=False)
            events.append("removed")

    result = matte("several", workers=2, progress=disturb)
    assert events == ["killed", "removed"]
    assert images("several") == images("one")
    report = json.loads(Path("several/run.json").read_text())
    assert (report["status"], report["frames"]) == ("done", COUNT)
    assert (result.frames, report["device"]) == (COUNT, "2 workers on cpu")


def test_the_command_line_stops_at_ctrl_c(cluster, desk):
    page = (ROOT / "docs/farm.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^inference-video (.* --ray-address .*)$", page, flags=re.M)
    (desk / "clip.mp4").rename("shot.mp4")
    program = start_program(*line.replace("head:6379", cluster.address).split(), cwd=desk)
    while program.running and not list(Path("farm").glob("com/*.png")):
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    finished = program.wait()
    assert finished.returncode == 130, finished.stderr
    lines = [x for x in finished.stderr.splitlines() if " frames" not in x or "Ctrl" in x]
    assert len(lines) == 2 and "Ctrl-C again" in lines[0], "besides progress, on a slow machine"
    assert lines[1] == "stopped; what was written until now is kept"
    assert json.loads(Path("farm/run.json").read_text())["status"] == "stopped"
    (node,) = cluster.worker_nodes
    deadline = time.monotonic() + 30
    while workers_of(node) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers_of(node)
