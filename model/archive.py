"""Reads the tensors of a PyTorch file; nothing that the file contains is ever run.

State dicts and TorchScript files are zip archives: ``data.pkl`` describes the tensors, and each
storage is a record of its own. Files from before PyTorch 1.6 are pickles followed by the storages.
Of the pickles, only containers and descriptions of tensors are read, and a tensor takes memory only
when it is loaded.
"""

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

#: Bytes of the description of a checkpoint; that of a ResNet-101 has a tenth of a megabyte.
_MAX_PICKLE_BYTES = 8 * 2**20
#: Levels of containers within containers.
_MAX_NESTING = 64
#: The first object in a file from before PyTorch 1.6.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

_DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "QInt8Storage": torch.qint8,
    "QUInt8Storage": torch.quint8,
    "QInt32Storage": torch.qint32,
}


class ArchiveError(Exception):
    """The file is damaged, or holds something that is not read; the message says which, if known.

    Attributes:
        is_foreign: The file is whole, but holds objects other than tensors and containers.
    """

    def __init__(self, reason: str, *, is_foreign: bool = False):
        super().__init__(reason)
        self.is_foreign = is_foreign


@dataclass(frozen=True)
class _Storage:
    """Where the numbers of tensors are: a record's name, their type and how many there are."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        shape: Its shape.
        dtype: Its type.
        storage: Where its numbers are.
    """

    shape: torch.Size
    dtype: torch.dtype
    storage: _Storage
    _offset: int
    _strides: tuple[int, ...]
    _read: Callable[[str], bytes]

    @property
    def is_quantized(self) -> bool:
        """It holds quantised numbers, which cannot be loaded."""
        return self.dtype in (torch.qint8, torch.quint8, torch.qint32)

    def load(self) -> Tensor:
        """The tensor, on the CPU.

        Raises:
            ArchiveError: The file does not hold all of it.
        """
        data = self._read(self.storage.key)
        if self.is_quantized or len(data) != self.storage.count * self.dtype.itemsize:
            raise ArchiveError("a tensor is cut short")
        if not self.shape.numel():
            return torch.empty(self.shape, dtype=self.dtype)
        steps = zip(self.shape, self._strides, strict=True)
        if self._offset + sum((n - 1) * stride for n, stride in steps) >= self.storage.count:
            raise ArchiveError("a tensor reaches beyond its storage")
        flat = torch.frombuffer(bytearray(data), dtype=self.dtype)
        return flat.as_strided(self.shape, self._strides, self._offset)


class _Attributes:
    """Stands for an object of a TorchScript class, of which only the attributes are read."""


class _Unpickler(pickle._Unpickler):  # in Python: the one in C can be made to reserve gigabytes
    #: Without what reserves as many bytes as a pickle says, and what reads from elsewhere.
    dispatch = {  # noqa: RUF012
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if code not in (pickle.BYTEARRAY8[0], pickle.NEXT_BUFFER[0], pickle.READONLY_BUFFER[0])
    }

    def __init__(self, file: BinaryIO, read: Callable[[str], bytes]):
        super().__init__(file, encoding="utf-8")
        self._read_storage = read
        self._module = type("Module", (_Attributes,), {})  # its own: a pickle can change a class
        self._known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *more: tensor,
            ("torch._utils", "_rebuild_qtensor"): self._tensor,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, tag: value,
        }
        for scheme in ("per_tensor_affine", "per_channel_affine"):
            self._known["torch", scheme] = scheme
        for item in ("int", "tensor", "double", "bool"):
            self._known["torch.jit._pickle", f"build_{item}list"] = lambda items: items

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._known:
            return self._known[module, name]
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module.split(".")[0] == "__torch__":
            return self._module
        raise ArchiveError(f"{module}.{name}", is_foreign=True)

    def persistent_load(self, description: Any) -> _Storage:
        match description:
            case ("storage", torch.dtype() as dtype, str(key), _, int(count), *_) if count >= 0:
                return _Storage(key, dtype, count)
        raise ArchiveError("a storage of an unknown kind")

    def _tensor(
        self, storage: Any, offset: Any, shape: Any, strides: Any, *more: Any
    ) -> StoredTensor:
        numbers = (offset, *shape, *strides)
        whole = all(type(number) is int and number >= 0 for number in numbers)
        if not isinstance(storage, _Storage) or not whole or len(shape) != len(strides):
            raise ArchiveError("a tensor of an unknown kind")
        return StoredTensor(
            torch.Size(shape), storage.dtype, storage, offset, tuple(strides), self._read_storage
        )


@contextmanager
def open_archive(path: Path) -> Iterator[Any]:
    """Open a PyTorch file: containers with a :class:`StoredTensor` for each tensor.

    The tensors of a TorchScript file come as a dict, by the names of its state dict. Tensors can be
    loaded while the file is open.

    Raises:
        ArchiveError: The file is damaged, or holds something else.
        OSError, zipfile.BadZipFile: The file cannot be read.
    """
    with open(path, "rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                yield _read_zip(archive)
        else:
            file.seek(0)
            yield _read_legacy(file)


def _read_zip(archive: zipfile.ZipFile) -> Any:
    records = {info.filename: info for info in archive.infolist()}
    described = [name for name in records if name.endswith("/data.pkl")]
    if len(described) != 1:
        raise ArchiveError("there is no data.pkl", is_foreign=True)
    root = described[0].removesuffix("data.pkl")
    if records[described[0]].file_size > _MAX_PICKLE_BYTES:
        raise ArchiveError("its data.pkl is larger than that of any checkpoint", is_foreign=True)
    order = records.get(f"{root}byteorder")
    if order is not None and order.file_size < 16 and archive.read(order) != b"little":
        raise ArchiveError("its numbers are big-endian", is_foreign=True)

    def read(key: str) -> bytes:
        info = records.get(f"{root}data/{key}")
        if info is None:
            raise ArchiveError("a storage is missing")
        if info.compress_type != zipfile.ZIP_STORED:  # could be a thousand times its size
            raise ArchiveError("its storages are compressed", is_foreign=True)
        return archive.read(info)

    content = _unpickle(BytesIO(archive.read(described[0])), read)
    if isinstance(content, _Attributes):
        return dict(_named_tensors(content, "", 0))
    return content


def _read_legacy(file: BinaryIO) -> Any:
    """A file from before PyTorch 1.6: five pickles, and the storages one after another."""
    places: dict[str, tuple[int, int]] = {}

    def read(key: str) -> bytes:
        if key not in places:
            raise ArchiveError("a storage is missing")
        start, size = places[key]
        file.seek(start)
        return file.read(size)

    head = BytesIO(file.read(_MAX_PICKLE_BYTES))
    if _unpickle(head, read) != _LEGACY_MAGIC:
        raise ArchiveError("it is not a checkpoint of PyTorch", is_foreign=True)
    _unpickle(head, read)  # the version of the format
    _unpickle(head, read)  # facts about the machine
    content = _unpickle(head, read)
    keys = _unpickle(head, read)
    sizes = {tensor.storage.key: tensor.dtype.itemsize for tensor in _tensors_in(content, 0)}
    place, end = head.tell(), file.seek(0, 2)
    for key in keys if isinstance(keys, list) else []:
        file.seek(place)
        count = file.read(8)
        size = struct.unpack("<q", count)[0] * sizes.get(key, 0) if len(count) == 8 else -1
        if not 0 <= size <= end - place:
            raise ArchiveError("a storage is cut short")
        places[key] = place + 8, size
        place += 8 + size
    return content


def _unpickle(file: BinaryIO, read: Callable[[str], bytes]) -> Any:
    try:
        return _Unpickler(file, read).load()
    except ArchiveError:
        raise
    except Exception as error:  # whatever a damaged pickle makes of the unpickler
        raise ArchiveError("damaged") from error


def _named_tensors(value: Any, prefix: str, nesting: int) -> Iterator[tuple[str, StoredTensor]]:
    """The tensors of a TorchScript module and of its submodules, by the names of a state dict."""
    if nesting > _MAX_NESTING:
        raise ArchiveError("modules within modules without an end")
    for name, part in vars(value).items():
        if isinstance(part, StoredTensor):
            yield prefix + name, part
        elif isinstance(part, _Attributes):
            yield from _named_tensors(part, f"{prefix}{name}.", nesting + 1)


def _tensors_in(value: Any, nesting: int) -> Iterator[StoredTensor]:
    if nesting > _MAX_NESTING:
        raise ArchiveError("containers within containers without an end")
    if isinstance(value, StoredTensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors_in(part, nesting + 1)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors_in(part, nesting + 1)
