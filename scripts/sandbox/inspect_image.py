"""Tells what an image in an OCI layout consists of, and fails when it has what it should not have, or lacks a label.

inspect_image.py LAYOUT VERSION REVISION
"""

import pathlib
import re
import subprocess
import sys

from bundle import blob, image

# What may be started: the program, and the shared libraries, which carry the same bit.
EXECUTABLE = re.compile(r"rentcar|lib(64)?/.*\.so(\.\d+)*")


def main():
    layout, version, revision = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    manifest, config = image(layout)
    size, packed, files, found = 0, 0, 0, []
    owners = {}
    for layer in manifest["layers"]:
        packed += layer["size"]
        list_files = ["tar", "--list", "--verbose", "--numeric-owner", "--file", blob(layout, layer)]
        for line in subprocess.run(list_files, check=True, capture_output=True, text=True).stdout.splitlines():
            mode, owner, bytes_, _, _, name = line.split(maxsplit=5)
            name = name.removeprefix("./").rstrip("/")
            owners[name] = (mode[0], owner)
            if mode[0] not in "-d":
                found.append(f"{name} is neither a file nor a directory ({mode})")
            if "s" in mode or "t" in mode or mode[8] == "w" or mode[5] == "w":
                found.append(f"{name} has the mode {mode}")
            if mode[0] == "-":
                size, files = size + int(bytes_), files + 1
                if "x" in mode and not EXECUTABLE.fullmatch(name):
                    found.append(f"{name} can be started")
    for name, (_, owner) in owners.items():
        wanted = "65532/65532" if name == "data" else "0/0"
        # The layer of the volumes names / too.
        if owner != wanted and name not in ("", "."):
            found.append(f"{name} belongs to {owner} and not to {wanted}")
    if owners.get("data", ("", ""))[0] != "d":
        found.append("there is no directory /data")

    it, prefix = config["config"], "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in it.get("Labels", {}).items()}
    wanted = {"title": "rentcar", "licenses": "MIT OR Apache-2.0", "version": version, "revision": revision}
    found += [f"the label {name} is {labels.get(name)!r}" for name, value in wanted.items() if labels.get(name) != value]
    found += [f"there is no label {name}" for name in ("description", "source") if not labels.get(name)]
    for name, value in {"User": "65532:65532", "Entrypoint": ["/rentcar"], "StopSignal": "SIGTERM",
                        "Volumes": {"/data": {}}, "ExposedPorts": {"8080/tcp": {}}}.items():
        if it.get(name) != value:
            found.append(f"{name} is {it.get(name)!r} and not {value!r}")

    print(f"the image has {files} files of {size / 1e6:.1f} MB, {packed / 1e6:.1f} MB to fetch; labels {labels}")
    for name in sorted(name for name, (kind, _) in owners.items() if kind == "-"):
        print(f"  /{name}")
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
