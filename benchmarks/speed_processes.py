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
import time
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = {"deepctr": ["deepctr-torch==0.3.0", "requests"], "fuxictr": ["fuxictr==2.3.10"]}  # requests: not declared
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and, the last, ARM
PATIENCE = 900  # seconds without an answer after which a side counts as dead


def environment(python: str, checkout: Path = HERE.parent) -> dict[str, str]:
    """Environment variables of a side: a checkout, this one, is on the path of this package's Python only."""
    variables = {**os.environ, "PYTHONWARNINGS": "ignore"}
    variables.pop("PYTHONPATH", None)
    if python == sys.executable:
        variables["PYTHONPATH"] = str(checkout)
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
    """The `speed_worker.py` of a checkout under some Python."""

    def __init__(self, job: dict[str, Any], python: str, checkout: Path = HERE.parent) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `end`)
        command = [python, str(checkout / "benchmarks" / "speed_worker.py"), json.dumps(job)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            bufsize=1,
            env=environment(python, checkout),
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
        self.fail()
        return None

    def ask(self) -> dict[str, Any] | None:
        """Let it warm up, the first time, and then run a round."""
        if self.error is None and self.process.stdin is not None:
            try:
                self.process.stdin.write("go\n")
            except BrokenPipeError:
                self.fail()
        return self.answer()

    def fail(self) -> None:
        """Keep what the process died of: the last line that names an error, else its last line."""
        code = self.stop()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        named = [line for line in lines if "Error" in line or "Exception" in line]
        self.error = (named or lines or ["no message"])[-1][:300] + f" (exit code {code})"

    def stop(self) -> int:
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            return self.process.wait(2)
        except subprocess.TimeoutExpired:  # deepctr-torch waits for its question to the package index
            self.process.kill()
            return self.process.wait()

    def end(self) -> None:
        """Stop the process and close its files."""
        self.stop()
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


def busy(seconds: float = 0.5) -> float | None:
    """Cores that are at work while this process sleeps, stolen ones included: what else disturbs the measurement."""

    def ticks() -> list[int]:
        fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return [sum(fields), fields[3] + fields[4]]  # all; idle and waiting for a disk

    try:
        (total, idle), _, (total_after, idle_after) = ticks(), time.sleep(seconds), ticks()
    except OSError:
        return None
    return (1 - (idle_after - idle) / max(total_after - total, 1)) * (os.cpu_count() or 1)
