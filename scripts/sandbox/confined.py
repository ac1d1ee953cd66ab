"""Fails unless a process is without capabilities and privileges to come, under a seccomp filter, and runs as this user.

confined.py PID UID
"""

import pathlib
import sys

pid, uid = sys.argv[1:]
lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
none = "0" * 16
wanted = {"Uid": uid, "Gid": uid, "NoNewPrivs": "1", "Seccomp": "2"}
wanted |= {name: none for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
wrong = {name: status[name] for name, value in wanted.items() if set(status[name]) != {value}}
# A group beside its own would be one more thing that it may do.
if set(status["Groups"]) - {uid}:
    wrong["Groups"] = status["Groups"]
sys.exit(f"the process {pid} has {wrong}" if wrong else 0)
