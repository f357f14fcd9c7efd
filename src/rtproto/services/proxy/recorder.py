"""A recording holds up nobody: what the disk does not keep up with is dropped, and counted.

::

    with Recorder("captures", elide_audio=True) as recorder:
        async with Proxy(upstream, [recorder, ...]):
            ...

Each session has a file, ``20260131T120000Z-<session id>.jsonl.gz``, that ``rtproto inspect`` reads and
``capture.load`` gives back. Where it stands in the row of policies says what it sees: *first*, the client's
side (what clients send before any policy, and what they get after all of them); *last*, the service's side.
Events that policies inject are in both. Binary messages are in none.
"""

import errno
import logging
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import gmtime, monotonic, strftime, time
from typing import IO, Any, NamedTuple, Self

from rtproto.capture import Direction, Sink, Writer
from rtproto.frame import Frame
from rtproto.services.proxy.counts import Counts
from rtproto.services.proxy.opening import Surface
from rtproto.services.proxy.policy import ALL, Outcome, Policy, Session

__all__ = ["Recorder", "open_private"]

_LOGGER = logging.getLogger("rtproto.proxy")

_FRAME_BYTES = 256  # about what a frame takes in the queue beside its data


def open_private(path: Path) -> IO[bytes]:
    """A new file that only its owner may read.

    Raises:
        FileExistsError: there is such a file; it is left as it is.
        OSError: the file cannot be made.
    """
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


class Recorder(Policy):
    """Writes every session to a file of its own; a thread of its own does it.

    A frame that comes while the queue to that thread is full is dropped. If a file cannot be written (the
    disk is full, there are too many files), that is logged, it is closed, and the rest of its session is
    dropped; the next session tries anew. ``session.counts.recorded`` has how many frames were ``written``
    and flushed, and how many ``dropped``; in the end they are all that came.

    Files are flushed once they have waited for ``flush_seconds``: so much is lost at most if the process is
    killed, beside what is in the queue. Close it, or use it as a context manager: the thread is a daemon, so
    a process does not wait for it in the end.
    """

    client_types = ALL
    server_types = ALL

    def __init__(  # noqa: PLR0913 - each option is one thing
        self,
        directory: str | os.PathLike[str],
        *,
        elide_audio: bool = False,
        compress: bool = True,
        max_queue_bytes: int = 64 * 2**20,
        flush_seconds: float = 1.0,
        opener: Callable[[Path], Sink] = open_private,
    ) -> None:
        """Record to a directory.

        Args:
            directory: Where files go; it must be there.
            elide_audio: Whether audio is replaced by as much silence.
            compress: Whether files are gzipped, at about 64 kB of memory for each session.
            max_queue_bytes: How much may wait for the disk, all sessions together; a frame counts for its
                bytes and 256 more.
            flush_seconds: How long what was written may wait to be flushed.
            opener: Makes a file, in the recorder's thread; others than :func:`open_private` may encrypt it.

        Raises:
            OSError: there is no such directory, or no file can be made in it.
        """
        self.written: int = 0
        """Frames that are in files, and flushed."""
        self.dropped: int = 0
        """Frames that are in no file, or in one that failed before it was flushed."""
        self.queued_bytes: int = 0
        """What waits for the disk now."""
        self._directory = _checked(directory)
        self._is_eliding = elide_audio
        self._is_compressing = compress
        self._max_queue_bytes = max_queue_bytes
        self._flush_seconds = flush_seconds
        self._open_file = opener
        self._queue: SimpleQueue[_Job | _Tape | None] = SimpleQueue()  # a tape: it ends; None: all ends
        self._lock = Lock()  # counts have two who write them; it is never held over I/O
        self._thread: Thread | None = None
        self._is_closed = False
        self._running: set[_Tape] = set()  # this and the next are the thread's own
        self._flush_at = inf

    # In the event loop: none of it waits

    def on_client_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        """Record what the client sent."""
        self._take(session, "client", bytes(frame))
        return frame

    def on_server_frame(self, session: Session, frame: Frame[Any]) -> Outcome:
        """Record what the service sent."""
        self._take(session, "server", bytes(frame))
        return frame

    def on_malformed(self, session: Session, direction: Direction, data: bytes) -> bytes | None:
        """Record text that is no event."""
        self._take(session, direction, data)
        return data

    def on_injected(self, session: Session, direction: Direction, data: bytes) -> None:
        """Record what a policy sent."""
        self._take(session, direction, data)

    def on_closed(self, session: Session) -> None:
        """End its file."""
        tape: _Tape | None = session.state.get(self)
        if tape:
            self._queue.put(tape)

    def _take(self, session: Session, direction: Direction, data: bytes) -> None:
        tape: _Tape = session.state.get(self) or self._begin(session)
        job = _Job(tape, direction, data, time())
        with self._lock:
            is_full = self.queued_bytes + job.size > self._max_queue_bytes
            if is_full or tape.is_broken or session.is_over or self._is_closed:
                self._drop(tape)
                return
            self.queued_bytes += job.size
            self._queue.put(job)

    def _begin(self, session: Session) -> "_Tape":
        name = f"{strftime('%Y%m%dT%H%M%SZ', gmtime())}-{session.id}.jsonl"
        path = self._directory / (f"{name}.gz" if self._is_compressing else name)
        tape = session.state[self] = _Tape(session.id, session.surface, session.counts, path)
        try:
            self._start()
        except RuntimeError as error:  # no more threads
            self._break(tape, error)
        return tape

    def _start(self) -> None:
        """Start the thread; not when this is made, because a process may fork after that."""
        with self._lock:
            if not self._thread and not self._is_closed:
                thread = Thread(target=self._work, name="rtproto recorder", daemon=True)
                thread.start()
                self._thread = thread

    def _drop(self, tape: "_Tape", frames: int = 1) -> None:
        """Count them; the lock is the caller's."""
        self.dropped += frames
        tape.counts.recorded["dropped"] += frames

    # In the end

    def close(self, timeout: float = 10.0) -> bool:
        """Write what waits, and close all files; what comes later is dropped. Once more does nothing.

        It blocks: in an event loop that still serves, use ``asyncio.to_thread``. What a disk has not taken
        within ``timeout`` seconds is dropped, and then it returns ``False``.
        """
        with self._lock:
            self._is_closed = True
            thread = self._thread
        if not thread:
            return True
        self._queue.put(None)
        thread.join(timeout)
        if thread.is_alive():
            self._give_up()
        return not thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _give_up(self) -> None:
        """Take from the thread what it has not come to."""
        with suppress(Empty):
            while True:
                job = self._queue.get_nowait()
                if isinstance(job, _Job):
                    with self._lock:
                        self.queued_bytes -= job.size
                        self._drop(job.tape)
        self._queue.put(None)

    # In the thread

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if isinstance(job, _Tape):
                self._end(job)
            else:
                self._write(job)
        for tape in [*self._running]:
            self._end(tape)

    def _next(self) -> "_Job | _Tape | None":
        """What is to be done next; until it comes, files are flushed when it is time."""
        while True:
            left = self._flush_at - monotonic()
            if left <= 0:
                self._flush()
                continue
            try:
                return self._queue.get(timeout=None if left == inf else left)
            except Empty:
                continue

    def _write(self, job: "_Job") -> None:
        tape = job.tape
        if not tape.is_broken:
            try:
                writer = tape.writer or self._open(tape)
                writer.write(job.direction, job.data, job.timestamp, tape.surface)
            except Exception as error:  # noqa: BLE001 - an opener of the user's may raise anything
                self._break(tape, error)
        with self._lock:
            self.queued_bytes -= job.size
            if tape.is_broken:
                self._drop(tape)
                return
        tape.unflushed += 1
        self._flush_at = min(self._flush_at, monotonic() + self._flush_seconds)

    def _open(self, tape: "_Tape") -> Writer:
        file = self._open_file(tape.path)
        sink = _Gzipped(file) if self._is_compressing else file
        tape.writer = Writer(sink, elide_audio=self._is_eliding)
        self._running.add(tape)
        return tape.writer

    def _flush(self) -> None:
        self._flush_at = inf
        for tape in [*self._running]:
            if tape.unflushed and tape.writer:
                self._secure(tape, tape.writer.flush)

    def _end(self, tape: "_Tape") -> None:
        if tape.writer:
            self._secure(tape, tape.writer.close)
        tape.writer = None
        self._running.discard(tape)

    def _secure(self, tape: "_Tape", how: Callable[[], None]) -> None:
        """Flush or close a file: only then what it took is known to be written."""
        try:
            how()
        except Exception as error:  # noqa: BLE001 - as above
            self._break(tape, error)
            return
        with self._lock:
            self.written += tape.unflushed
            tape.counts.recorded["written"] += tape.unflushed
        tape.unflushed = 0

    def _break(self, tape: "_Tape", error: Exception) -> None:
        """A file failed: that is told of once, and its session recorded no more."""
        tape.is_broken = True
        with suppress(Exception):
            if tape.writer:
                tape.writer.close()
        tape.writer = None
        self._running.discard(tape)
        with self._lock:
            self._drop(tape, tape.unflushed)
        tape.unflushed = 0
        fields = {
            "session": tape.session,
            "policy": type(self).__name__,
            "error": type(error).__name__,
            "errno": errno.errorcode.get(getattr(error, "errno", None) or 0),
        }
        _LOGGER.error("recording failed", extra={"fields": fields})


class _Tape:
    """A session's file, to be or not."""

    __slots__ = ("counts", "is_broken", "path", "session", "surface", "unflushed", "writer")

    def __init__(self, session: str, surface: Surface, counts: Counts, path: Path) -> None:
        self.session = session
        self.surface: Surface = surface
        self.counts = counts
        self.path = path
        self.writer: Writer | None = None  # this and the next are the thread's own
        self.unflushed = 0
        self.is_broken = False  # set by the thread, looked at by all


class _Job(NamedTuple):
    """A frame that is to be written."""

    tape: _Tape
    direction: Direction
    data: bytes
    timestamp: float

    @property
    def size(self) -> int:
        return len(self.data) + _FRAME_BYTES


class _Gzipped:
    """A file that is compressed, in a quarter of the memory that the ``gzip`` module takes."""

    def __init__(self, file: Sink) -> None:
        self._file = file
        self._deflate = zlib.compressobj(wbits=16 + 13, memLevel=6)

    def write(self, line: bytes, /) -> None:
        self._file.write(self._deflate.compress(line))

    def flush(self) -> None:
        self._file.write(self._deflate.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()

    def close(self) -> None:
        try:
            self._file.write(self._deflate.flush())
        finally:
            self._file.close()


def _checked(directory: str | os.PathLike[str]) -> Path:
    path = Path(directory).absolute()
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "the directory to record to is not there", str(path))
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "what to record to is no directory", str(path))
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "no file can be made in the directory to record to", str(path))
    return path
