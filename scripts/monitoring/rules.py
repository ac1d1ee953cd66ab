#!/usr/bin/env python3
"""The alerting rules of k8s/components/monitoring/rules.yaml: as a rule file, and with a clock that runs faster.

    rules.py check                  every alert says how urgent it is, what it means, and where to read what to do
    rules.py extract FILE           writes the manifest's spec, as promtool and Prometheus read it
    rules.py shorten FILE FACTOR    the same, with every window, `for` and number of hours divided by FACTOR
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = ROOT / "k8s/components/monitoring"
RUNBOOK = "docs/operations.md"
# Known to every Prometheus without anybody exposing them.
BUILT_IN = {"up", "ALERTS"}

WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset", "inf", "nan"}
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
# In an expression durations stand in brackets or after `offset`; anything else could be a number beside a word.
WINDOW = re.compile(rf"(?<=\[){DURATION}|(?<=:){DURATION}(?=\])|(?<=offset ){DURATION}")
# Hours as a number, where PromQL takes no duration.
HOURS = re.compile(r"\b(\d+) \* 3600\b")


def spec():
    return yaml.safe_load((COMPONENT / "rules.yaml").read_text())["spec"]


def alerts(spec_of_rules):
    return [rule for group in spec_of_rules["groups"] for rule in group["rules"]]


def metrics(expression):
    """The names of the metrics that a PromQL expression asks for."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(rf"\boffset\s+{DURATION}", " ", bare)
    names = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", bare)
    return {name for name in names if name.lower() not in WORDS}


def faults(rules):
    names = [rule["alert"] for rule in rules]
    yield from (f"{name} stands twice" for name in sorted({name for name in names if names.count(name) > 1}))
    runbook = ROOT / RUNBOOK
    anchors = set(re.findall(r"^#+ (\S+)$", runbook.read_text(), re.MULTILINE)) if runbook.exists() else set(names)
    for rule in rules:
        name, told = rule["alert"], rule.get("annotations", {})
        if rule.get("labels", {}).get("severity") not in ("page", "ticket"):
            yield f"{name} is neither a page nor a ticket"
        yield from (f"{name} has no {text}" for text in ("summary", "description") if not told.get(text))
        if told.get("runbook_url") != f"{RUNBOOK}#{name.lower()}":
            yield f"{name} does not lead to {RUNBOOK}#{name.lower()}"
        if name not in anchors:
            yield f"{RUNBOOK} has no section {name}"


def milliseconds(duration):
    return sum(int(count) * UNITS_MS[unit] for count, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def shorten(duration, factor):
    return f"{max(1, round(milliseconds(duration) / factor))}ms"


def shortened(rules, factor):
    for rule in alerts(rules):
        expression = WINDOW.sub(lambda window: shorten(window[0], factor), rule["expr"])
        rule["expr"] = HOURS.sub(lambda hours: f"{int(hours[1]) * 3600 / factor:g}", expression)
        for key in ("for", "keep_firing_for"):
            if key in rule:
                rule[key] = shorten(rule[key], factor)
    return rules


def main():
    match sys.argv[1:]:
        case ["check"]:
            sys.exit("\n".join(faults(alerts(spec()))) or None)
        case ["extract", file]:
            rules = spec()
        case ["shorten", file, factor]:
            rules = shortened(spec(), float(factor))
        case _:
            sys.exit(__doc__)
    Path(file).write_text(yaml.safe_dump(rules, sort_keys=False, width=1_000))


if __name__ == "__main__":
    main()
