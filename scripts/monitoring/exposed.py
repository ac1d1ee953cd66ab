#!/usr/bin/env python3
"""Looks for every metric that an alert or the dashboard names in what a running service exposes.

    exposed.py FILE    FILE: what /metrics has answered

A misspelt metric is no error to Prometheus: its alert would be silent for ever. So are values of labels that are names
of our own, as components are.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import dashboard
from rules import BUILT_IN, alerts, metrics, spec

# Labels whose values are fixed names, all of which a fresh service shows.
FIXED = {"component", "kind", "context", "subscription"}
SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ")
LABEL = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def exposed(text):
    """Every name of a sample, with the values of its labels."""
    found = defaultdict(lambda: defaultdict(set))
    for name, labels in (match.groups() for line in text.splitlines() if (match := SAMPLE.match(line))):
        values = found[name]
        for label, _, value in LABEL.findall(labels or ""):
            values[label].add(value)
    return found


def asked():
    """Every expression, with where it stands."""
    yield from ((rule["alert"], rule["expr"]) for rule in alerts(spec()))
    yield from (("the dashboard", query) for query in dashboard.expressions(json.loads(dashboard.FILE.read_text())))


def faults(found):
    for where, expression in asked():
        for metric in metrics(expression) - BUILT_IN - found.keys():
            yield f"{where} asks for {metric}, which the service does not expose"
        for metric, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
            for label, _, pattern in LABEL.findall(selector):
                if label in FIXED and metric in found:
                    for value in set(pattern.split("|")) - found[metric][label]:
                        yield f"{where} asks for {metric} with {label} {value!r}, which the service does not expose"


def main():
    found = exposed(Path(sys.argv[1]).read_text())
    if lacking := sorted(set(faults(found))):
        sys.exit("\n".join(lacking))
    named = set().union(*(metrics(expression) for _, expression in asked())) - BUILT_IN
    print(f"{len(named)} metrics are named, and exposed")


if __name__ == "__main__":
    main()
