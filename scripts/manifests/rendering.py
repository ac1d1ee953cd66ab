"""Renders what stands in k8s with kubectl. Knows where things lie there, and judges nothing."""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
STANDALONE = K8S / "overlays" / "standalone"
NAMESPACE = "rentcar"


class RenderError(Exception):
    """What kubectl says of something that it cannot render."""


@dataclass(frozen=True)
class Rendered:
    """What would be applied, under a name for messages."""

    name: str
    objects: tuple

    def of_kind(self, *kinds):
        return [found for found in self.objects if found["kind"] in kinds]

    def workloads(self):
        return self.of_kind("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob", "Pod")


def pod_template(workload):
    if workload["kind"] == "Pod":
        return workload
    spec = workload["spec"]
    return (spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec)["template"]


def title(found):
    return f"{found.get('kind')} {found.get('metadata', {}).get('name')}"


class Renderer:
    """Renders overlays, and components on top of the standalone overlay."""

    def __init__(self, kubectl, scratch):
        self.kubectl, self.scratch = kubectl, scratch

    def overlay(self, directory):
        return self._render(directory.name, directory)

    def with_components(self, name, components, objects=(), patches=()):
        """As somebody would apply it: an overlay of their own over the standalone one, with objects and patches in it."""
        directory = Path(tempfile.mkdtemp(dir=self.scratch))
        # kustomize takes no absolute path.
        relative = [os.path.relpath(path, directory.resolve()) for path in (STANDALONE, *components)]
        (directory / "objects.yaml").write_text(yaml.safe_dump_all(objects))
        overlay = {
            "namespace": NAMESPACE,
            "resources": relative[:1] + ["objects.yaml"] * bool(objects),
            "components": relative[1:],
            "patches": list(patches),
        }
        (directory / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return self._render(name, directory)

    def sample(self):
        """The overlay that k8s/README.md shows."""
        directory = self.scratch / "readme" / "my-overlay"
        directory.mkdir(parents=True)
        (directory.parent / "k8s").symlink_to(K8S)
        shown = re.search(r"```yaml\n# my-overlay/kustomization.yaml\n(.*?)```", (K8S / "README.md").read_text(), re.S)
        (directory / "kustomization.yaml").write_text(shown[1])
        return self._render("the overlay in k8s/README.md", directory)

    def _render(self, name, directory):
        run = subprocess.run([self.kubectl, "kustomize", str(directory)], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RenderError(run.stderr.strip())
        return Rendered(name, tuple(found for found in yaml.safe_load_all(run.stdout) if found))


def patch(target, operations):
    """A patch of the object of this kind and name; `container` in its paths is the first container of its pod."""
    kind, name = target.split()
    at = {key: "/spec/template/spec/containers/0" for key in ("path", "from")}
    operations = [
        {
            key: value.replace("container", at[key], 1) if key in at and value.startswith("container") else value
            for key, value in one.items()
        }
        for one in operations
    ]
    return {"target": {"kind": kind, "name": f"^{name}$"}, "patch": yaml.safe_dump(operations)}


def plain():
    """What is applied as it stands, by its own name."""
    for path in sorted(K8S.glob("*.yaml")):
        yield Rendered(f"k8s/{path.name}", tuple(yaml.safe_load_all(path.read_text())))


def overlays():
    return _folders("overlays")


def components():
    return _folders("components")


def _folders(name):
    """All of them: kubectl tells of one that cannot be rendered."""
    return sorted(path for path in (K8S / name).iterdir() if path.is_dir())


def component(name):
    return K8S / "components" / name


def stands_alone(component):
    """Whether a component has none inside, so that all that stand alone can be used together."""
    kustomization = component / "kustomization.yaml"
    return kustomization.exists() and "components" not in yaml.safe_load(kustomization.read_text())
