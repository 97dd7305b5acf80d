"""What an RDB, the snapshot of a Redis or Valkey, holds: its keys counted while it streams by. Values are skipped, not read.

The format is that of ``rdb.h`` and ``rdb.c`` of Redis 2.6 to 8 and Valkey 7.2 to 9. Keys that expire are not counted: a restore
may come after their time.
"""

from collections.abc import Generator

Reading = Generator[None, bytes, None]
Number = Generator[None, bytes, int]

KINDS = {
    "string": (0,),
    "list": (1, 10, 14, 18),
    "set": (2, 11, 20),
    "zset": (3, 5, 12, 17),
    "hash": (4, 9, 13, 16, 22, 24, 25),
    "stream": (15, 19, 21),
}
OTHER = "other"
"""Of a module."""
_KIND_OF = {code: kind for kind, codes in KINDS.items() for code in codes} | {7: OTHER}
_ONE_STRING = frozenset({0, 9, 10, 11, 12, 13, 16, 17, 20})
_END, _DATABASE, _SECONDS, _MILLISECONDS, _RESIZE, _AUX, _FREQUENCY, _IDLE = 255, 254, 253, 252, 251, 250, 249, 248
_MODULE_AUX, _FUNCTION, _SLOT = 247, 245, 244


class _Unknown(Exception):
    """Something newer than this reader."""


class Snapshot:
    """Fed with an RDB in chunks. ``counts`` is keys by database and type, such as ``db0/hash``."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.keys = 0
        """With those that expire."""
        self.whole = False
        """The end has come, and nothing after it."""
        self.known = True
        """False once something came that is not understood: what follows is not counted."""
        self.is_rdb = True
        self._tail = b""
        self._buffer = b""
        self._at = 0
        self._valkey = False
        self._parsing = self._parsed()
        next(self._parsing)

    def feed(self, chunk: bytes) -> None:
        """The next bytes of it."""
        self._tail = (self._tail + chunk)[-9:]
        if self.whole and chunk:
            self.whole = self.is_rdb = False
        if not self.known or not self.is_rdb:
            return
        try:
            self._parsing.send(chunk)
        except _Unknown:
            self.known = False
            self.counts.clear()
        except StopIteration:
            pass

    def ends_well(self) -> bool:
        """Whether the end mark is where it has to be, as far as what came is understood."""
        return self.is_rdb and (self.whole if self.known else len(self._tail) == 9 and self._tail[0] == _END)

    def _parsed(self) -> Reading:
        self._buffer = yield
        magic = yield from self._take(9)
        self._valkey = magic.startswith(b"VALKEY")
        if not (self._valkey or magic.startswith(b"REDIS")):
            self.is_rdb = False
            return
        database, expires = 0, False
        while (code := (yield from self._byte())) != _END:
            if code == _DATABASE:
                database = yield from self._length()
            elif code in (_SECONDS, _MILLISECONDS):
                yield from self._skip(4 if code == _SECONDS else 8)
                expires = True
            elif code > 240:
                yield from self._remark(code)
            else:
                yield from self._string()
                yield from self._value(code)
                self.keys += 1
                if not expires:
                    key = f"db{database}/{_KIND_OF[code]}"
                    self.counts[key] = self.counts.get(key, 0) + 1
                expires = False
        yield from self._skip(8)
        self.whole = self._at == len(self._buffer)
        self.is_rdb = self.whole

    def _remark(self, code: int) -> Reading:
        """What is about keys, or about the server."""
        strings = {_AUX: 2, _FUNCTION: 1}.get(code, 0)
        numbers = {_RESIZE: 2, _IDLE: 1, _SLOT: 3, _MODULE_AUX: 3}.get(code, 0)
        if code == _FREQUENCY:
            yield from self._skip(1)
        elif not strings and not numbers:
            raise _Unknown
        for _ in range(numbers):
            yield from self._length()
        for _ in range(strings):
            yield from self._string()
        if code == _MODULE_AUX:
            yield from self._of_module()

    def _value(self, code: int) -> Reading:  # noqa: PLR0912  (one branch for each encoding)
        if code in _ONE_STRING:
            yield from self._string()
        elif code in (1, 2, 14):
            yield from self._items(strings=1)
        elif code == 4:
            yield from self._items(strings=2)
        elif code == 5:
            yield from self._items(strings=1, fixed=8)
        elif code == 3:
            for _ in range((yield from self._length())):
                yield from self._string()
                digits = yield from self._byte()
                yield from self._skip(digits if digits < 253 else 0)
        elif code == 18:
            yield from self._items(numbers=1, strings=1)
        elif code in (15, 19, 21):
            yield from self._stream(code)
        elif code == 7:
            yield from self._length()
            yield from self._of_module()
        elif code == 22 and self._valkey:
            yield from self._items(strings=2, fixed=8)
        elif code == 24:
            yield from self._skip(8)
            yield from self._items(numbers=1, strings=2)
        elif code == 25:
            yield from self._skip(8)
            yield from self._string()
        else:
            raise _Unknown

    def _stream(self, code: int) -> Reading:
        yield from self._items(strings=2)
        for _ in range(3 if code == 15 else 8):
            yield from self._length()
        for _ in range((yield from self._length())):
            yield from self._string()
            for _ in range(2 if code == 15 else 3):
                yield from self._length()
            for _ in range((yield from self._length())):
                yield from self._skip(24)
                yield from self._length()
            for _ in range((yield from self._length())):
                yield from self._string()
                yield from self._skip(16 if code == 21 else 8)
                yield from self._skip(16 * (yield from self._length()))

    def _of_module(self) -> Reading:
        while kind := (yield from self._length()):
            if kind in (1, 2):
                yield from self._length()
            elif kind in (3, 4):
                yield from self._skip(4 if kind == 3 else 8)
            elif kind == 5:
                yield from self._string()
            else:
                raise _Unknown

    def _items(self, *, numbers: int = 0, strings: int = 0, fixed: int = 0) -> Reading:
        for _ in range((yield from self._length())):
            for _ in range(numbers):
                yield from self._length()
            for _ in range(strings):
                yield from self._string()
            if fixed:
                yield from self._skip(fixed)

    def _string(self) -> Reading:
        first = yield from self._byte()
        if first < 0xC0:
            yield from self._skip((yield from self._sized(first)))
        elif first < 0xC3:
            yield from self._skip(1 << (first - 0xC0))
        elif first == 0xC3:
            packed = yield from self._length()
            yield from self._length()
            yield from self._skip(packed)
        else:
            raise _Unknown

    def _length(self) -> Number:
        return (yield from self._sized((yield from self._byte())))

    def _sized(self, first: int) -> Number:
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | (yield from self._byte())
        if first in (0x80, 0x81):
            return int.from_bytes((yield from self._take(4 if first == 0x80 else 8)))
        raise _Unknown

    def _byte(self) -> Number:
        while self._at >= len(self._buffer):
            self._buffer, self._at = (yield), 0
        self._at += 1
        return self._buffer[self._at - 1]

    def _skip(self, count: int) -> Reading:
        while count > len(self._buffer) - self._at:
            count -= len(self._buffer) - self._at
            self._buffer, self._at = (yield), 0
        self._at += count

    def _take(self, count: int) -> Generator[None, bytes, bytes]:
        """Few bytes only."""
        while count > len(self._buffer) - self._at:
            rest = self._buffer[self._at :]
            self._buffer, self._at = rest + (yield), 0
        self._at += count
        return self._buffer[self._at - count : self._at]
