"""Tries to write into every directory and every file below a running container's root, as a user: what was possible is
printed, one path a line. What the kernel and the engine lay over it (/proc, /sys, /dev) is left out.

writable.py PID UID
"""

import os
import sys

root, uid = f"/proc/{sys.argv[1]}/root", int(sys.argv[2])
if uid:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
seen = 0
for folder, folders, files in os.walk(root + "/", onerror=lambda error: sys.exit(str(error))):
    seen += 1
    shown = "/" + folder.removeprefix(root).strip("/")
    if shown == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
    if shown == "/data":
        folders.clear()
    probe = os.path.join(folder, "written-by-a-check")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.unlink(probe)
        print(shown)
    except OSError:
        pass
    for name in files if shown != "/data" else ():
        try:
            os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NOFOLLOW))
            print(os.path.join(shown, name))
        except OSError:
            pass
if seen < 5:
    sys.exit(f"only {seen} directories were seen")
