"""Makes a bundle for runc of an image in an OCI layout: its layers unpacked, and its own user, environment, entry point
and working directory, under what Kubernetes' "restricted" profile asks for: a read-only root, no capabilities, no new
privileges, the default seccomp profile of the container engines, and only the mounts that a pod has.

bundle.py [--mount FROM:TO[:ro]]... [--env NAME=VALUE]... LAYOUT BUNDLE NETNS [ARGUMENT...]
"""

import argparse
import json
import pathlib
import platform
import subprocess
import sys

# Comes with Debian's golang-github-containers-common, on which buildah depends.
SECCOMP = pathlib.Path("/usr/share/containers/seccomp.json")


def blob(layout, descriptor):
    algorithm, digest = descriptor["digest"].split(":")
    return layout / "blobs" / algorithm / digest


def image(layout):
    """The image's manifest and configuration."""
    [entry] = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(layout, entry).read_text())
    return manifest, json.loads(blob(layout, manifest["config"]).read_text())


def unpack(layout, manifest, rootfs):
    rootfs.mkdir(parents=True)
    for layer in manifest["layers"]:
        archive = blob(layout, layer)
        names = subprocess.run(["tar", "--list", "--file", archive], check=True, capture_output=True, text=True).stdout
        if ".wh." in names:
            sys.exit("a layer removes files of another one: not handled here")
        extract = ["tar", "--extract", "--numeric-owner", "--same-owner", "--preserve-permissions"]
        subprocess.run([*extract, "--file", archive, "--directory", rootfs], check=True)


def seccomp():
    """The engines' profile for a container without capabilities, in the form that runc takes."""
    profile = json.loads(SECCOMP.read_text())
    machine = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}
    short, architecture = machine[platform.machine()]
    [known] = [entry for entry in profile["archMap"] if entry["architecture"] == architecture]

    def applies(rule):
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if includes.get("caps") or short not in includes.get("arches", [short]):
            return False
        return short not in excludes.get("arches", [])

    kept = ("names", "action", "args", "errnoRet")
    rules = [{name: rule[name] for name in kept if rule.get(name) is not None} for rule in filter(applies, profile["syscalls"])]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": [architecture, *known["subArchitectures"]],
        "syscalls": rules,
    }


def mounts(asked):
    def mount(target, kind, *options):
        return {"destination": target, "type": kind, "source": kind, "options": list(options)}

    own = [
        mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
    ]
    for wanted in asked:
        source, target, *options = wanted.split(":")
        own.append({"destination": target, "type": "bind", "source": source, "options": ["rbind", *(options or ["rw"])]})
    return own


def config(image_config, netns, asked, variables, arguments):
    it = image_config["config"]
    uid, _, gid = it.get("User", "").partition(":")
    if not uid.isdigit() or not gid.isdigit() or int(uid) == 0:
        sys.exit(f"the image's user is {it.get('User')!r}: Kubernetes' runAsNonRoot needs a number above 0")
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": int(uid), "gid": int(gid)},
            "args": [*it.get("Entrypoint", []), *(arguments or it.get("Cmd") or [])],
            "env": [*it.get("Env", []), *variables],
            "cwd": it.get("WorkingDir") or "/",
            "capabilities": {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "rentcar",
        "mounts": mounts(asked),
        "annotations": it.get("Labels", {}),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
            + [{"type": "network", "path": netns}],
            "seccomp": seccomp(),
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                            "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("layout", type=pathlib.Path)
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("netns")
    parser.add_argument("--mount", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    manifest, image_config = image(asked.layout)
    unpack(asked.layout, manifest, asked.bundle / "rootfs")
    made = config(image_config, asked.netns, asked.mount, asked.env, asked.arguments)
    (asked.bundle / "config.json").write_text(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
