"""Opens files by their ending, and what is packed in them, with bounds on what comes out."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final, TypeAlias

from tradewright.services.bar_import.csv_source import read_csv
from tradewright.services.bar_import.parquet_source import read_parquet
from tradewright.services.bar_import.source import Source, reason
from tradewright.services.bar_import.table import Table

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

UNPACKED_BYTES_MAX: Final = 4 * 2**30
"""How much one packed file or member may hold."""
MEMBERS_MAX: Final = 10_000
_UNPACKING_ERRORS: Final = (
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a method of compression that Python lacks
    UnicodeDecodeError,  # the name of a member
)
_BUFFER_BYTES: Final = 256 * 1024

Packed: TypeAlias = IO[bytes] | io.RawIOBase | io.BufferedIOBase
Watch: TypeAlias = Callable[[int], None]
"""Is told how many more bytes were read from the files; may raise to stop the reading."""


def read_tables(paths: Sequence[Path], watch: Watch) -> Iterator[Table]:
    """Every table of every file, in the order given; ``BarFileError`` names file and line."""
    rows = 0
    for path in paths:
        for table in _tables(path, watch, rows):
            rows += len(table.lines)
            yield table


def _tables(path: Path, watch: Watch, rows_before: int) -> Iterator[Table]:
    name = path.name.lower()
    source = Source(path, counts="row" if name.endswith(".parquet") else "line")
    with _refusing(source), path.open("rb", buffering=0) as raw:
        file = io.BufferedReader(_Watched(raw, source, watch, None), _BUFFER_BYTES)
        if name.endswith(".parquet"):
            yield read_parquet(file, source, rows_before)
        elif name.endswith(".zip"):
            yield from _members(file, source, rows_before)
        elif name.endswith(".csv.gz"):
            yield read_csv(_bounded(gzip.GzipFile(fileobj=file), source), source, rows_before)
        elif name.endswith(".csv"):
            yield read_csv(file, source, rows_before)
        else:
            raise source.error("only .csv, .csv.gz, .zip (of .csv) and .parquet can be imported.")


def _members(file: BinaryIO, archive: Source, rows_before: int) -> Iterator[Table]:
    with zipfile.ZipFile(file) as packed:
        entries = [entry for entry in packed.infolist() if _is_csv(entry)]
        if not entries:
            raise archive.error("there is no .csv file in the archive.")
        if len(entries) > MEMBERS_MAX:
            raise archive.error(f"there are more than {MEMBERS_MAX:,} files in the archive.")
        rows = rows_before
        for entry in entries:
            # The only file of an archive needs no name of its own in what we say.
            source = Source(archive.path, entry.filename if len(entries) > 1 else None)
            if entry.flag_bits & 1:
                raise source.error("this is encrypted.")
            with _refusing(source), packed.open(entry) as member:
                table = read_csv(_bounded(member, source), source, rows)
            rows += len(table.lines)
            yield table


def _is_csv(entry: zipfile.ZipInfo) -> bool:
    path = entry.filename
    return path.lower().endswith(".csv") and not path.startswith("__MACOSX/") and not entry.is_dir()


@contextmanager
def _refusing(source: Source) -> Iterator[None]:
    """Say which file it was that can't be opened or unpacked."""
    try:
        yield
    except FileNotFoundError as error:
        raise source.error("there is no such file.") from error
    except _UNPACKING_ERRORS as error:
        raise source.error(f"this can't be unpacked ({reason(error)}).") from error
    except OSError as error:
        raise source.error(f"this can't be read ({error.strerror or reason(error)}).") from error


def _bounded(packed: Packed, source: Source) -> BinaryIO:
    return io.BufferedReader(_Watched(packed, source, _unwatched, UNPACKED_BYTES_MAX), _BUFFER_BYTES)


def _unwatched(_count: int) -> None:
    """What is read from the file beneath is counted already."""


class _Watched(io.RawIOBase):
    """Passes reads on, tells how much was read, and ends at a bound."""

    def __init__(self, inner: Packed, source: Source, watch: Watch, bytes_max: int | None) -> None:
        self._inner = inner
        self._source = source
        self._watch = watch
        self._left = bytes_max

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._left is None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = self._inner.read(len(view)) or b""
        view[: len(data)] = data
        self._watch(len(data))
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise self._source.error(f"this unpacks to more than {UNPACKED_BYTES_MAX / 2**30:g} GiB.")
        return len(data)
