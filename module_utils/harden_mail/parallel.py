"""Work that several processes share: each does a part, and this one gets what they find as they find it."""

import contextlib
import marshal
import os
import select
import signal
import traceback
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Tuple

from .errors import UserError

# So much is told at once: the sum of weights.
_BATCH = 1000

# Read from a process at once, bytes.
_CHUNK = 1 << 20

_LENGTH = 4

# What a part of some work yields: a weight, and a value that ``marshal`` can write.
_Work = Callable[[int], Iterator[Tuple[int, Any]]]


def together(parts: int, work: _Work) -> Iterator[Any]:
    """Yield what the parts of some work yield, in the order in which it comes.

    :param work: is called with each of ``range(parts)`` in a process of its own, and gives weights and what ``marshal``
        can write; of values that are None nothing is told. It should yield often: a process notices only then that
        this one is gone
    :raises UserError: as the work raised it
    :raises RuntimeError: the work failed otherwise; says how
    """
    helpers: Dict[int, _Helper] = {}
    try:
        for part in range(parts):
            helper = _Helper(part, work, helpers)
            helpers[helper.pipe] = helper
        while helpers:
            for pipe in select.select(list(helpers), [], [])[0]:
                values, is_done = helpers[pipe].listen()
                yield from values
                if is_done:
                    helpers.pop(pipe).end()
    finally:
        for helper in helpers.values():
            helper.end()


class _Helper:
    """A process that does a part.

    :ivar pipe: descriptor, from which what it tells can be read
    """

    def __init__(self, part: int, work: _Work, others: Iterable[int]) -> None:
        self.pipe, writer = os.pipe()
        self._heard = bytearray()
        self._process = os.fork()
        if self._process:
            os.close(writer)
            return
        try:
            for pipe in [self.pipe, *others]:
                os.close(pipe)
            with open(writer, "wb") as stream:
                _do(work, part, stream)
        finally:
            # Nothing that this process has in common with the other one is to be flushed, unlocked or removed.
            os._exit(0)

    def listen(self) -> Tuple[List[Any], bool]:
        """What it has said meanwhile: (values, whether that was all)."""
        chunk = os.read(self.pipe, _CHUNK)
        if not chunk:
            raise RuntimeError("a process that did a part of the work was killed")
        heard = self._heard
        heard += chunk
        found: List[Any] = []
        while len(heard) >= _LENGTH:
            end = _LENGTH + int.from_bytes(heard[:_LENGTH], "big")
            if len(heard) < end:
                break
            what, values = marshal.loads(heard[_LENGTH:end])
            del heard[:end]
            if what == "wrong":
                raise UserError(values)
            if what == "failed":
                raise RuntimeError(values)
            found += values
            if what == "done":
                return found, True
        return found, False

    def end(self) -> None:
        os.close(self.pipe)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


def _do(work: _Work, part: int, stream: BinaryIO) -> None:
    batch: List[Any] = []
    heavy = 0
    try:
        for weight, value in work(part):
            if value is not None:
                batch.append(value)
            heavy += weight
            if heavy >= _BATCH:
                _tell(stream, "values", batch)
                batch, heavy = [], 0
        _tell(stream, "done", batch)
    except BrokenPipeError:
        # Nobody listens any more.
        return
    except UserError as error:
        _tell(stream, "wrong", str(error))
    except Exception:
        _tell(stream, "failed", traceback.format_exc())


def _tell(stream: BinaryIO, what: str, values: Any) -> None:
    said = marshal.dumps((what, values))
    stream.write(len(said).to_bytes(_LENGTH, "big") + said)
    stream.flush()
