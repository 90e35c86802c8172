"""Server-sent events, read: bytes in, the data of each event out. Pure.

Lines end with LF, CR LF or CR, cut anywhere by the network; comments, empty data and fields other than `data` are
passed over; several data lines of one event are joined by a newline; `data:` may do without its space.
"""

LINE_CAP = 256 * 1024


class LineTooLong(ValueError):
    """A line, or one event's data, is longer than the cap."""


class EventReader:
    """Reads one stream of events, whatever way its bytes are cut."""

    def __init__(self, cap: int = LINE_CAP) -> None:
        self._cap = cap
        # The pieces of the line under way, and their length; joined only once its end has come, so that a line
        # dripping in byte by byte costs no more than its length.
        self._line: list[bytes] = []
        self._length = 0
        # The last chunk ended with CR: an LF that opens the next one belongs to it.
        self._after_cr = False
        self._first = True
        # The data lines of the event under way, and their length.
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take bytes; return the data of the events completed by them, in order.

        Raises:
            LineTooLong: nothing more can be read from this stream.
        """
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _lines(chunk)
        events: list[bytes] = []
        for line in lines:
            if self._line:
                self._line.append(line)
                line = b"".join(self._line)
                self._line.clear()
            self._length = 0
            self._take(line, events)
        if rest:
            self._line.append(rest)
            self._length += len(rest)
            if self._length > self._cap:
                raise LineTooLong(f"a line of the event stream is longer than {self._cap} bytes")
        return events

    def close(self) -> list[bytes]:
        """The stream has ended; return the data of an event that its last blank line did not close."""
        events: list[bytes] = []
        if self._line:
            self._take(b"".join(self._line), events)
        self._take(b"", events)
        self._line.clear()
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
                self._size = 0
        elif line.startswith(b"data:"):
            data = line[6:] if line[5:6] == b" " else line[5:]
            if data:
                self._data.append(data)
                self._size += len(data)
                if self._size > self._cap:
                    raise LineTooLong(f"an event's data is longer than {self._cap} bytes")


def _lines(chunk: bytes) -> list[bytes]:
    """Cut at line ends; the last item is the line under way, empty when the chunk ends with a line's end."""
    lines = chunk.splitlines()  # for bytes: LF, CR LF and CR only
    if chunk[-1] in b"\r\n":
        lines.append(b"")
    return lines
