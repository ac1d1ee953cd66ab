#!/usr/bin/env python3
"""Renders the overlay that docs/operations.md shows under "Alerts", and sees that it gives every alert the address in it.

    runbooks.py KUBECTL
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from rules import ROOT, RUNBOOK, alerts


def shown():
    section = (ROOT / RUNBOOK).read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    return re.search(r"```yaml\n# my-overlay/kustomization.yaml\n(.*?)```", section, re.S)[1]


def rendered(kubectl, kustomization):
    """The rules as they would be applied."""
    with tempfile.TemporaryDirectory() as scratch:
        overlay = Path(scratch, "my-overlay")
        overlay.mkdir()
        Path(scratch, "k8s").symlink_to(ROOT / "k8s")
        (overlay / "kustomization.yaml").write_text(kustomization)
        run = subprocess.run([kubectl, "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(run.stderr.strip())
    return next(found for found in yaml.safe_load_all(run.stdout) if found["kind"] == "PrometheusRule")["spec"]


def main():
    kustomization = shown()
    address = re.search(r"value: (https://\S+)", kustomization)[1]
    rules = alerts(rendered(sys.argv[1], kustomization))
    wrong = [rule for rule in rules if rule["annotations"]["runbook_url"] != f"{address}#{rule['alert'].lower()}"]
    if wrong or not rules:
        sys.exit("\n".join(f"{rule['alert']} leads to {rule['annotations']['runbook_url']}" for rule in wrong) or "no alerts")
    print(f"{len(rules)} alerts lead to {address}")


if __name__ == "__main__":
    main()
