"""Processes with a log each, ended whatever happens."""

import random
import signal
import socket
import subprocess
import time
from pathlib import Path


def free_port() -> int:
    """Of those that the system gives nobody who asks for any: what is free now is free until it is used."""
    while True:
        with socket.socket() as s:
            port = random.randrange(20_000, 32_000)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(what: str, holds, timeout: float = 60, pause: float = 0.2):
    """Asks until the answer is true, and returns it. Errors of the network count as no."""
    deadline = time.monotonic() + timeout
    last = None
    while time.monotonic() < deadline:
        try:
            if answer := holds():
                return answer
        except (OSError, RuntimeError) as error:
            last = error
        time.sleep(pause)
    raise TimeoutError(f"{what}: it never came to that in {timeout:.0f} s" + (f" ({last})" if last else ""))


class Process:
    """A program that can be stopped, killed and started again with the same words."""

    def __init__(self, name: str, command: list, folder: Path, env: dict | None = None):
        self.name, self.command, self.env = name, list(map(str, command)), env
        self.log = folder / f"{name}.log"
        self.popen = None

    def start(self):
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.env)
        return self

    def alive(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def check(self):
        if not self.alive():
            code = None if self.popen is None else self.popen.returncode
            raise AssertionError(f"{self.name} ended by itself ({code}); its last words:\n{self.tail()}")

    def stop(self, patience: float = 30):
        """SIGINT, as an operator does. That it does not end in time is an error."""
        if not self.alive():
            return
        self.popen.send_signal(signal.SIGINT)
        try:
            self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop in {patience:.0f} s") from None

    def kill(self):
        """SIGKILL."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
