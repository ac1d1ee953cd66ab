"""Checks what stands in k8s: renders every overlay, and every component on the standalone one, and compares with schemas, with
rules and with the program. Then looks whether what is wrong on purpose (fixtures) is found.
"""

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path

import binary
import rendering
import rules
import schemas
import yaml

FIXTURES = Path(__file__).resolve().parent / "fixtures"


class Check:
    """One run, with one service that runs for each set of variables."""

    def __init__(self, program, renderer):
        self.program, self.renderer = program, renderer
        self.version = tomllib.loads((rendering.ROOT / "Cargo.toml").read_text())["package"]["version"]
        self.answered = 0

    def static(self, rendered):
        told = [problem for found in rendered.objects for problem in schemas.problems(found)]
        # What has no known shape cannot be judged further.
        return told or rules.problems(rendered, self.version) + binary.problems(rendered, self.program)

    def all(self, rendered):
        """Every problem of what is rendered, those that only show while the service runs too."""
        told = self.static(rendered)
        for _, container in binary.settings_containers(rendered) if not told else ():
            with binary.running(self.program, binary.environment(rendered, container, secrets=False)) as (url, key):
                told += binary.problems_of_probes(rendered, url)
                told += binary.problems_of_scrapes(rendered, url, key)
                told += binary.problems_of_backups(rendered, key)
                told += binary.problems_of_routes(rendered, url)
            self.answered += 1
        return told

    def targets(self):
        """Everything that somebody may apply."""
        for overlay in rendering.overlays():
            yield overlay.name, lambda overlay=overlay: self.renderer.overlay(overlay)
        components = rendering.components()
        together = [component for component in components if rendering.stands_alone(component)]
        for name, chosen in [
            *((f"standalone with {one.name}", [one]) for one in components),
            ("standalone with all", together),
        ]:
            yield name, lambda name=name, chosen=chosen: self.renderer.with_components(name, chosen)
        yield "the overlay in k8s/README.md", self.renderer.sample

    def plain(self):
        """What is wrong with each file that is applied as it stands."""
        for rendered in rendering.plain():
            told = [problem for found in rendered.objects for problem in schemas.problems(found)]
            yield rendered, told or rules.problems_of_pods(rendered, self.version)

    def fixtures(self):
        """What is wrong on purpose: what must be said of it, and what is said."""
        for case in yaml.safe_load((FIXTURES / "objects.yaml").read_text()):
            yield case["expect"], schemas.problems(case["object"])
        for case in yaml.safe_load((FIXTURES / "overlays.yaml").read_text()):
            chosen = [rendering.component(name) for name in case.get("components", [])]
            patches = [rendering.patch(target, operations) for target, operations in case.get("change", {}).items()]
            yield (
                case["expect"],
                self.all(self.renderer.with_components("fixture", chosen, case.get("add", ()), patches)),
            )


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kubectl", required=True)
    arguments.add_argument("--program", required=True)
    chosen = arguments.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        check = Check(chosen.program, rendering.Renderer(chosen.kubectl, Path(scratch)))
        for name, render in check.targets():
            try:
                rendered = render()
                told = check.all(rendered)
            except rendering.RenderError as error:
                rendered, told = None, [f"kubectl: {error}"]
            failures += len(told)
            print(f"{name}: {'ok, ' + str(len(rendered.objects)) + ' objects' if not told else 'WRONG'}")
            for problem in told:
                print(f"  {problem}")
        for rendered, told in check.plain():
            failures += len(told)
            print(f"{rendered.name}: {'ok' if not told else 'WRONG'}")
            for problem in told:
                print(f"  {problem}")
        seen = 0
        for expected, told in check.fixtures():
            seen += 1
            # One and no more: whatever else is said shows that something is refused that is right.
            if len(told) != 1 or expected not in told[0]:
                failures += 1
                print(f"fixtures: must be refused with '{expected}' alone, but: {told or 'nothing'}")
    print(f"Kubernetes {schemas.VERSION}; services started: {check.answered}; wrong on purpose: {seen}")
    sys.exit(f"{failures} problems" if failures else 0)


if __name__ == "__main__":
    main()
