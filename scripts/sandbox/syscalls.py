"""Fails when a trace of strace has system calls that a unit's SystemCallFilter does not let through.

syscalls.py UNIT TRACE...
"""

import pathlib
import re
import subprocess
import sys


def calls_of(name):
    """The system calls of a set, with those of the sets in it."""
    if not name.startswith("@"):
        return {name}
    ask = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    lines = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.splitlines()[1:]
    named = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(calls_of, named))


def allowed_by(unit):
    """As systemd.exec(5) has it: the first line is the list of what may be called, the others add to it or take away.
    The set @default is never refused."""
    allowed = calls_of("@default")
    filters = re.findall(r"^SystemCallFilter=(.+)$", unit, re.MULTILINE)
    if not filters or filters[0].startswith("~"):
        sys.exit("the unit does not say which system calls are let through")
    for line in filters:
        named = set().union(*map(calls_of, line.removeprefix("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed | calls_of("@default")


def main():
    allowed = allowed_by(pathlib.Path(sys.argv[1]).read_text())
    traces = "\n".join(pathlib.Path(trace).read_text(errors="replace") for trace in sys.argv[2:])
    called = set(re.findall(r"^\d+ +([a-z]\w+)\(", traces, re.MULTILINE))
    if len(called) < 30 or "fdatasync" not in called:
        sys.exit(f"this is no trace of the service: {sorted(called)}")
    if called - allowed:
        sys.exit(f"the service calls {sorted(called - allowed)}, which the unit does not let through")
    print(f"the service makes {len(called)} of the {len(allowed)} system calls that the unit lets through")


if __name__ == "__main__":
    main()
