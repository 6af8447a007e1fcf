"""Asks whether anything that is locked has a known vulnerability: `python -m tests.advisories`.

Where the advisory service cannot be reached, nothing is known: one line says so, and the check goes
on. A finding is a failure, and so is any other reason why nothing was asked.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements-dev.lock"  # holds all of requirements.lock too
# One request for each of some 130 packages; an answer takes a tenth of a second.
TIMEOUT_S = 10
DEADLINE_S = 300
# How pip-audit ends where it could ask nobody: the last line is an error of one of these names.
UNREACHED = re.compile(r"(?:Connect\w*|ReadTimeout|ProxyError|SSLError|HTTPError|ServiceError)\b.*")

# What urllib3 says in the end of all that it tried.
REASON = re.compile(r"Failed to .*?(?=\W*$)")


def main(lock: Path, *options: str) -> int:
    """Print what is known of what is locked; 1 if something is found or nothing could be tried."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        str(lock),
        "--vulnerability-service=osv",
    ]
    command += ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner=off"]
    command += ["--timeout", str(TIMEOUT_S), *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _say(f"pip-audit: nothing is known: no answer within {DEADLINE_S} s", 0)
    if done.stdout.strip():
        return _judge(json.loads(done.stdout)["dependencies"])
    last = done.stderr.strip().rpartition("\n")[2]
    why = UNREACHED.search(last)
    if why is None:
        return _say(f"pip-audit failed: {done.stderr}", 1)
    reason = REASON.search(why[0]) or why
    return _say(f"pip-audit: nothing is known, no advisory service is reached: {reason[0]}", 0)


def _judge(dependencies: list[dict[str, Any]]) -> int:
    found = [one for one in dependencies if one.get("vulns")]
    for one in found:
        for advisory in one["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "none"
            print(f"{one['name']} {one['version']}: {advisory['id']}; fixed in: {fixed}")  # noqa: T201
    unknown = [one["name"] for one in dependencies if "skip_reason" in one]
    if unknown:
        _say(f"pip-audit: nothing is known of {', '.join(unknown)}", 0)
    return 1 if found or not dependencies else 0


def _say(line: str, status: int) -> int:
    print(line)  # noqa: T201 - this is a command
    return status


if __name__ == "__main__":
    sys.exit(main(LOCK))
