"""Checkpoints: every way in which a network is saved, and none that only looks like one."""

import warnings
from collections.abc import Callable
from pathlib import Path

import golden_rule
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model import CheckpointError, MattingBase, MattingRefine, load_network

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def refine() -> MattingRefine:
    return golden_rule.fill(MattingRefine("mobilenetv2"))


@pytest.fixture(scope="module")
def state(refine: MattingRefine) -> State:
    return refine.state_dict()


class Wrapper(nn.Module):
    """A network inside of another module, as exporters put it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return x


def save_torchscript(state: State, path: Path) -> None:
    network = Wrapper(MattingRefine("mobilenetv2"))
    network.model.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        # only the weights matter here, so the network's own forward is not compiled
        torch.jit.save(torch.jit.trace_module(network.eval(), {"forward": torch.zeros(1)}), path)


WAYS: dict[str, Callable[[State, Path], None]] = {
    "state dict": torch.save,
    "old format": lambda s, path: torch.save(s, path, _use_new_zipfile_serialization=False),
    "state_dict": lambda s, path: torch.save({"epoch": 3, "state_dict": s}, path),
    "model": lambda s, path: torch.save({"model": s, "step": 100}, path),
    "DataParallel": lambda s, path: torch.save({f"module.{k}": v for k, v in s.items()}, path),
    "nested": lambda s, path: torch.save(
        {"state_dict": {f"module.model.{k}": v for k, v in s.items()}}, path
    ),
    "safetensors": lambda s, path: save_file(s, path),
    "parameters": lambda s, path: torch.save(
        {k: nn.Parameter(v, False) for k, v in s.items()}, path
    ),
    "TorchScript": save_torchscript,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("error")
def test_every_way_of_saving_is_read(tmp_path, state, way):
    WAYS[way](state, tmp_path / "weights.pth")
    network = load_network(tmp_path / "weights.pth")
    assert type(network) is MattingRefine
    assert not network.training
    loaded = network.state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("save", [torch.save, save_file], ids=["pth", "safetensors"])
def test_half_precision_is_widened(tmp_path, state, save):
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save(halves, tmp_path / "half.pth")
    for key, value in load_network(tmp_path / "half.pth").state_dict().items():
        assert value.dtype == state[key].dtype
        assert torch.equal(value, halves[key].to(value.dtype))


def test_it_computes_what_the_saved_network_computes(tmp_path, refine, state):
    torch.save(state, tmp_path / "weights.pth")
    src, bgr = golden_rule.image("src", 1, 32, 48), golden_rule.image("bgr", 1, 32, 48)
    loaded = load_network(tmp_path / "weights.pth", refine_threshold=0.1)
    with torch.inference_mode():
        for ours, theirs in zip(loaded(src, bgr), refine(src, bgr), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_the_kernel_size_is_found(tmp_path, kernel_size):
    network = MattingRefine("mobilenetv2", refine_kernel_size=kernel_size)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    assert load_network(tmp_path / "weights.pth").refiner.kernel_size == kernel_size
    other = 4 - kernel_size
    with pytest.raises(CheckpointError, match=rf"holds {kernel_size}, not {other}.*kernel-size"):
        load_network(tmp_path / "weights.pth", refine_kernel_size=other)


def test_the_backbone_is_found(tmp_path, state):
    torch.save(MattingBase("resnet50").state_dict(), tmp_path / "50.pth")
    torch.save(state, tmp_path / "mobile.pth")
    network = load_network(tmp_path / "50.pth")
    assert (type(network), network.backbone_name) == (MattingBase, "resnet50")
    assert load_network(tmp_path / "mobile.pth").backbone_name == "mobilenetv2"
    with pytest.raises(CheckpointError, match=r"holds resnet50, not resnet101.*--model-backbone"):
        load_network(tmp_path / "50.pth", backbone="resnet101")
    with pytest.raises(CheckpointError, match=r"holds mobilenetv2, not resnet50.*--model-backbone"):
        load_network(tmp_path / "mobile.pth", backbone="resnet50")


def test_a_resnet101_is_told_from_a_resnet50(tmp_path):
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in MattingBase("resnet101").state_dict().items()}
    # one number for each tensor, expanded, so that the file stays small
    state = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    torch.save(state, tmp_path / "101.pth")
    assert load_network(tmp_path / "101.pth").backbone_name == "resnet101"


def test_the_type_is_found_and_a_refiner_can_be_left_out(tmp_path, state):
    torch.save(state, tmp_path / "refine.pth")
    base = {key: value for key, value in state.items() if not key.startswith("refiner.")}
    torch.save(base, tmp_path / "base.pth")
    for name in ("refine.pth", "base.pth"):
        network = load_network(tmp_path / name, model_type="mattingbase")
        assert type(network) is MattingBase
        assert list(network.state_dict()) == list(base)
    assert type(load_network(tmp_path / "base.pth")) is MattingBase
    assert type(load_network(tmp_path / "refine.pth")) is MattingRefine
    with pytest.raises(CheckpointError, match=r"base.pth: has no refiner.*mattingbase"):
        load_network(tmp_path / "base.pth", model_type="mattingrefine")


MISFITS: dict[str, tuple[Callable[[State], object], str]] = {
    "missing key": (lambda s: s.pop("decoder.bn2.weight"), "lacks decoder.bn2.weight"),
    "missing refiner key": (lambda s: s.pop("refiner.bn2.bias"), "lacks refiner.bn2.bias"),
    "extra key": (
        lambda s: s.update({"decoder.conv9.weight": torch.zeros(1)}),
        "has decoder.conv9",
    ),
    "wrong shape": (
        lambda s: s.update({"decoder.conv4.bias": torch.zeros(5)}),
        r"decoder.conv4.bias is \(5,\), expected \(37,\)",
    ),
    "no shape": (lambda s: s.update({"refiner.conv1.weight": torch.zeros(())}), "refiner.conv1"),
    "whole numbers": (
        lambda s: s.update(
            {"decoder.conv4.bias": torch.quantize_per_tensor(torch.zeros(37), 1, 0, torch.qint8)}
        ),
        "decoder.conv4.bias is quantised",
    ),
    "integers": (
        lambda s: s.update({"decoder.conv4.bias": torch.zeros(37, dtype=torch.int64)}),
        "decoder.conv4.bias is int64; save the weights as floats",
    ),
    "another module": (lambda s: s.update({"head.weight": torch.zeros(1)}), "has head.weight"),
}


@pytest.mark.filterwarnings("ignore:torch.quantize")  # on its way out
@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_named(tmp_path, state, name):
    change, message = MISFITS[name]
    changed = dict(state)
    change(changed)
    torch.save(changed, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=f"weights.pth: .*{message}"):
        load_network(tmp_path / "weights.pth")


def test_a_path_that_no_file_can_have_is_named():
    with pytest.raises(CheckpointError, match="embedded null byte"):
        load_network("weights\0.pth")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"data.pkl", b"data\xff\xff\xff\xff"),  # a name that is not UTF-8, so marked
        (b"PK\x01\x02\0\0\0\0", b"PK\x01\x02\0\0\xff\0"),  # a later version of the format
        (b"PK\x06\x07\0\0\0\0", b"PK\x06\x07\1\0\0\0"),  # on another disk
    ],
    ids=["name", "version", "disks"],
)
def test_a_damaged_archive_is_named(tmp_path, state, old, new):
    torch.save(state, tmp_path / "weights.pth")
    data = (tmp_path / "weights.pth").read_bytes()
    entry = data.index(b"PK\x01\x02")  # of the index at the end
    index = bytearray(data[entry:])
    index[8:10] = (int.from_bytes(index[8:10], "little") | 0x800).to_bytes(2, "little")  # UTF-8
    assert old in index
    (tmp_path / "weights.pth").write_bytes(data[:entry] + bytes(index).replace(old, new, 1))
    with pytest.raises(CheckpointError, match=r"weights\.pth: damaged"):
        load_network(tmp_path / "weights.pth")


def test_a_damaged_file_of_the_old_format_is_named(tmp_path, state):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "old.pth").read_bytes()
    keys = data.rindex(b"X", 0, data.rindex(b"e.", 0, len(data)))
    assert keys
    start = next(i for i in range(len(data)) if data[i : i + 3] == b"cpu") - 40
    key = next(part for part in data[start : start + 40].split(b"\0") if part[:8].isdigit())
    (tmp_path / "old.pth").write_bytes(data.replace(key[:8], b"99999999", 1))
    with pytest.raises(CheckpointError, match=r"old\.pth: damaged"):
        load_network(tmp_path / "old.pth")


def test_a_truncated_safetensors_file_is_named(tmp_path, state):
    save_file(state, tmp_path / "weights.safetensors")
    whole = (tmp_path / "weights.safetensors").read_bytes()
    for length in (20, 2000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "weights.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"weights\.safetensors: .*cut short"):
            load_network(tmp_path / "weights.safetensors")
