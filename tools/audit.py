"""Look for known faults of the versions in `constraints.txt`: needs pip-audit and the network.

    python tools/audit.py

Exit codes: 0 none is known, 1 some are, 2 nothing could be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def audit() -> tuple[int, str]:
    """The exit code, and what to say."""
    options = ["--disable-pip", "--no-deps", "--format", "json", "-r", str(ROOT / "constraints.txt")]
    done = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True, check=False)
    if "No module named pip_audit" in done.stderr:
        return 2, "pip-audit is missing: install it into this environment with pip install pip-audit"
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return 2, f"nothing was audited, the database of faults cannot be reached: {last}"
    return verdict(found)


def verdict(found: list[dict[str, object]]) -> tuple[int, str]:
    """The exit code and the words for what pip-audit found of each package."""
    known = [each for each in found if "vulns" in each]
    if not known:
        return 2, "nothing was audited: the database of faults knows none of the packages, or cannot be reached"
    bad = [f"{each['name']} {each['version']}: {fault['id']}" for each in known for fault in each["vulns"]]  # type: ignore[attr-defined]
    left = len(found) - len(known)
    said = f"{len(known)} packages audited" + (f", {left} not known to the database" if left else "")
    return (1, "\n".join([said, *bad])) if bad else (0, f"{said}: no known faults")


if __name__ == "__main__":
    code, words = audit()
    print(words)
    sys.exit(code)
