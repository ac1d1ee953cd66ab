"""Renders what stands in k8s with kubectl. Knows where things lie there, and judges nothing."""

import os
import subprocess
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
        return self.of_kind("StatefulSet", "Deployment", "DaemonSet", "Job")


def title(found):
    return f"{found.get('kind')} {found.get('metadata', {}).get('name')}"


class Renderer:
    """Renders overlays, and components on top of the standalone overlay."""

    def __init__(self, kubectl, scratch):
        self.kubectl, self.scratch = kubectl, scratch

    def overlay(self, directory):
        return self._render(directory.name, directory)

    def with_components(self, name, components):
        """As somebody would apply it: an overlay of their own over the standalone one."""
        directory = self.scratch / name.replace("/", "-")
        directory.mkdir()
        # kustomize takes no absolute path.
        relative = [os.path.relpath(path, directory.resolve()) for path in (STANDALONE, *components)]
        overlay = {"namespace": NAMESPACE, "resources": relative[:1], "components": relative[1:]}
        (directory / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return self._render(name, directory)

    def _render(self, name, directory):
        run = subprocess.run([self.kubectl, "kustomize", str(directory)], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise RenderError(run.stderr.strip())
        return Rendered(name, tuple(found for found in yaml.safe_load_all(run.stdout) if found))


def overlays():
    return sorted(path.parent for path in K8S.glob("overlays/*/kustomization.yaml"))


def components():
    return sorted(path.parent for path in K8S.glob("components/*/kustomization.yaml"))


def stands_alone(component):
    """Whether a component has none inside, so that all that stand alone can be used together."""
    return "components" not in yaml.safe_load((component / "kustomization.yaml").read_text())


def expectation(path):
    """What must be said of a file that is wrong on purpose: the rest of its first line."""
    marker, _, expected = path.read_text().partition("\n")[0].partition("expect: ")
    if marker != "# " or not expected:
        raise ValueError(f"{path} must begin with '# expect: TEXT'")
    return expected
