"""Checkpoints from strangers: nothing in them runs, loops, or takes more memory than it may."""

import io
import os
import pickle
import resource
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import golden_rule
import pytest
import torch
from conftest import ROOT
from torch import nn

from model import CheckpointError, MattingRefine, load_network
from model.archive import ArchiveError, StoredTensor, open_archive


class Script(nn.Module):
    """TorchScript whose ``__setstate__`` runs when PyTorch loads it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).view(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        self.weight = state[0]
        self.training = state[1]
        torch.save(self.weight, "written-by-the-checkpoint")


@pytest.mark.filterwarnings("ignore")
def test_code_in_torchscript_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = tmp_path / "plain.pth"
    torch.jit.script(Plain()).save(str(plain))
    with open_archive(plain) as content:
        assert set(content) == set(Plain().state_dict())
    # the state that __setstate__ would get is all that such a file has
    torch.jit.script(Script()).save(str(tmp_path / "script.pth"))
    torch.jit.load("script.pth")
    assert Path("written-by-the-checkpoint").exists(), "PyTorch runs it"
    Path("written-by-the-checkpoint").unlink()
    with pytest.raises(CheckpointError, match=r"script\.pth"):
        load_network("script.pth")
    assert not Path("written-by-the-checkpoint").exists()


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.register_buffer("halves", torch.ones(3).half())
        self.numbers = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["zip", "old", "script"])
def test_tensors_come_as_pytorch_reads_them(tmp_path, way):
    path, module = tmp_path / "x.pth", Plain()
    state = module.state_dict()
    state["turned"] = torch.arange(12.0).view(3, 4).T
    state["part"] = torch.arange(12)[3:9:2]
    state["empty"], state["bare"] = torch.empty(0, 3), torch.tensor(4.0)
    state["again"] = state["part"]
    if way == "script":
        torch.jit.script(module).save(str(path))
        state = module.state_dict()
    else:
        torch.save(state, path, _use_new_zipfile_serialization=way == "zip")
    with open_archive(path) as content:
        assert set(content) == set(state)
        for key, stored in content.items():
            assert isinstance(stored, StoredTensor)
            assert stored.shape == state[key].shape and stored.dtype == state[key].dtype
            assert torch.equal(stored.load(), state[key]), key


class Runs:
    """Pickles as a call of ``os.mkdir``."""

    def __reduce__(self):
        return os.mkdir, ("made-by-the-pickle",)


def zipped(path: Path, description: bytes, **records: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", description)
        archive.writestr("x/version", b"3")
        for name, data in records.items():
            archive.writestr(f"x/data/{name}", data)
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_calls_in_a_pickle_are_not_made(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    description = pickle.dumps({"backbone.x": Runs()}, protocol)
    with pytest.raises(CheckpointError, match=r"other objects than tensors.*mkdir"):
        load_network(zipped(tmp_path / "x.pth", description))
    assert not Path("made-by-the-pickle").exists()


def test_a_pickle_cannot_change_what_is_loaded_later(tmp_path):
    """A class of TorchScript, given a ``__setstate__`` of the file's choice."""
    code = (
        b"\x80\x02c__torch__\nA\nN}X\x0c\x00\x00\x00__setstate__ccollections\nOrderedDict\ns\x86b."
    )
    with pytest.raises(ArchiveError), open_archive(zipped(tmp_path / "x.pth", code)) as content:
        raise ArchiveError(str(content))
    import model.archive

    assert "__setstate__" not in vars(model.archive._Attributes)


def state_that_contains_itself() -> bytes:
    state: dict = OrderedDict()
    state["state_dict"] = state
    return pickle.dumps(state, 2)


HOSTILE = {
    "contains itself": (state_that_contains_itself(), {}),
    "modules without an end": (b"\x80\x02c__torch__\nA\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb.", {}),
    "a memo of gigabytes": (b"\x80\x02Nr\xf0\xff\xff\xff.", {}),
    "bytes that are not there": (b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.", {}),
    "a text that is not there": (b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"x.", {}),
    "a huge tuple": (b"\x80\x02((((((((((((((((((((((((((t.", {}),
    "no end": (b"\x80\x02}", {}),
    "a description that is too large": (b"\x80\x02" + b"]" * (9 * 2**20) + b".", {}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_loop_or_fill_memory_is_refused(tmp_path, name):
    description, records = HOSTILE[name]
    path = zipped(tmp_path / "x.pth", description, **records)
    with pytest.raises(CheckpointError, match=r"x\.pth: "):
        load_network(path)


def test_a_compressed_storage_is_not_unpacked(tmp_path):
    state = golden_rule.fill(MattingRefine("mobilenetv2")).state_dict()
    torch.save(state, tmp_path / "plain.pth")
    source = zipfile.ZipFile(tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for record in source.infolist():
            archive.writestr(record.filename, source.read(record))
    with pytest.raises(CheckpointError, match="compressed"):
        load_network(tmp_path / "x.pth")


def test_a_checkpoint_takes_the_memory_of_its_network_alone(tmp_path):
    """A small file that claims gigabytes, beside tensors that no network has."""
    state = golden_rule.fill(MattingRefine("mobilenetv2")).state_dict()
    path = tmp_path / "x.pth"
    torch.save({"state_dict": state, "extra": torch.zeros(1).expand(2**33)}, path)
    code = (
        "import resource, sys\n"
        "from model import load_network\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"load_network({str(path)!r})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200_000, "kilobytes, of which the weights are 20,000"


def test_a_storage_that_is_cut_short_is_damage(tmp_path):
    state = golden_rule.fill(MattingRefine("mobilenetv2")).state_dict()
    for zipped_way in (True, False):
        torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped_way)
        data = (tmp_path / "x.pth").read_bytes()
        for end in (len(data) // 3, len(data) - 100, 600):
            (tmp_path / "cut.pth").write_bytes(data[:end])
            with pytest.raises(CheckpointError, match=r"cut short|damaged"):
                load_network(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(3).to_sparse(), torch.empty(3, device="meta"), nn.Linear(2, 2)],
    ids=["sparse", "meta", "module"],
)
def test_tensors_of_other_kinds_are_refused_in_one_line(tmp_path, tensor):
    state = golden_rule.fill(MattingRefine("mobilenetv2")).state_dict()
    torch.save({**state, "decoder.conv4.bias": tensor}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="other objects than tensors") as raised:
        load_network(tmp_path / "x.pth")
    assert "\n" not in str(raised.value)


def test_random_changes_never_raise_anything_else(tmp_path):
    """A byte of the description changed at random; what still loads, loads."""
    generator = torch.Generator().manual_seed(0)
    buffer = io.BytesIO()
    torch.save(golden_rule.fill(MattingRefine("mobilenetv2")).state_dict(), buffer)
    source = zipfile.ZipFile(buffer)
    records = {r.filename.split("/", 1)[1]: source.read(r) for r in source.infolist()}
    description = bytearray(records.pop("data.pkl"))
    names = {name.removeprefix("data/"): data for name, data in records.items()}
    storages = {name: data for name, data in names.items() if name.isdecimal()}
    for _ in range(25):  # tests/fuzz tries thousands
        place, value = torch.randint(0, 2**31, (2,), generator=generator).tolist()
        changed = bytearray(description)
        changed[place % len(changed)] = value % 256
        zipped(tmp_path / "x.pth", bytes(changed), **storages)
        try:
            load_network(tmp_path / "x.pth")
        except CheckpointError as error:
            assert str(error).startswith(f"{tmp_path / 'x.pth'}: ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4_000_000
