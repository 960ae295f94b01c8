"""Processes, environments and the machine, for `speed.py`."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import selectors
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = {"deepctr": ["deepctr-torch==0.3.0", "requests"], "fuxictr": ["fuxictr==2.3.10"]}  # requests: not declared
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and, the last, ARM
PATIENCE = 900  # seconds without an answer after which a side counts as dead


def environment(python: str) -> dict[str, str]:
    """Environment variables of a side: this checkout is on the path of this package's Python only."""
    variables = {**os.environ, "PYTHONWARNINGS": "ignore"}
    variables.pop("PYTHONPATH", None)
    if python == sys.executable:
        variables["PYTHONPATH"] = str(HERE.parent)
    return variables


def make_environment(peer: str, folder: Path) -> str:
    """The Python of an environment with a peer and the torch that this process has; made once."""
    home = folder / peer
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = home / "installed"
    if not done.exists():
        print(f"installing {PEERS[peer][0]} into {home}", flush=True)
        venv.create(home, with_pip=True)
        torch = f"torch=={version('torch').partition('+')[0]}"
        subprocess.run([python, "-m", "pip", "install", "--quiet", torch, *PEERS[peer]], check=True)
        done.touch()
    return str(python)


class Worker:
    """A `speed_worker.py` under some Python."""

    def __init__(self, job: dict[str, Any], python: str) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `end`)
        command = [python, str(HERE / "speed_worker.py"), json.dumps(job)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
            env=environment(python),
        )
        self.error: str | None = None

    def answer(self) -> dict[str, Any] | None:
        """The next answer, or None if the process is dead: `error` says of what."""
        if self.error is not None or self.process.stdout is None:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(PATIENCE) else ""
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self.end()
        self.error = self.error or "ended without an answer"
        return None

    def ask(self) -> dict[str, Any] | None:
        """Let it warm up, the first time, and then run a round."""
        if self.error is None and self.process.stdin is not None:
            try:
                self.process.stdin.write("go\n")
            except BrokenPipeError:
                self.end()
        return self.answer()

    def end(self) -> None:
        """Stop the process, and keep the last line of what it wrote if it had failed."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code and self.error is None:
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines() or [f"ended with code {code}"]
            self.error = lines[-1][:300]
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.errors.close()


def processor() -> tuple[str, set[str]]:
    """Name and flags of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    found = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return found.get("model name", platform.machine()), set((found.get("flags") or found.get("Features", "")).split())


def machine(threads: int) -> dict[str, Any]:
    """What the numbers depend on."""
    name, flags = processor()
    vectors = [f for f in ("avx2", "avx512f", *sorted(BF16_FLAGS)) if f in flags]
    return {
        "processor": name,
        "vectors": vectors,
        "bf16": bool(BF16_FLAGS & flags),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
    }


def load() -> float:
    """Processes that want to run, over the last minute: what else disturbs the measurement."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
