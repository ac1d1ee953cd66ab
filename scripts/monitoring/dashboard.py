#!/usr/bin/env python3
"""Checks the dashboard k8s/components/monitoring/dashboard.json, which is edited by hand or exported from Grafana.

    dashboard.py check RULES    writes every query as a recording rule to RULES, for `promtool check rules`
    dashboard.py metrics        prints the metrics that it shows
    dashboard.py format         writes the file anew in the form in which it is kept
"""

import json
import re
import sys
from pathlib import Path

import yaml

from rules import COMPONENT, metrics

FILE = COMPONENT / "dashboard.json"
# Grafana's grid has so many columns; older schemas than this are of before Grafana 11.
COLUMNS, SCHEMA_MIN, WIDTH = 24, 39, 120
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def rendered(value, indent=0, lead=0):
    """JSON with as many items in a line as fit."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or (indent and indent + lead + len(flat) < WIDTH):
        return flat
    inner = " " * (indent + 2)
    names = [json.dumps(name, ensure_ascii=False) + ": " for name in value] if isinstance(value, dict) else [""] * len(value)
    items = value.values() if isinstance(value, dict) else value
    lines = []
    for name, item in zip(names, items, strict=True):
        text = name + rendered(item, indent + 2, len(name))
        if lines and "\n" not in lines[-1] + text and len(inner) + len(lines[-1]) + len(text) + 3 < WIDTH:
            lines[-1] += f", {text}"
        else:
            lines.append(text)
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n{inner}" + f",\n{inner}".join(lines) + f"\n{' ' * indent}{right}"


def text_of(dashboard):
    return rendered(dashboard) + "\n"


def expressions(dashboard):
    """Every query, with Grafana's variables replaced by what they might stand for."""
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for variable in dashboard["templating"]["list"]:
        queries += re.findall(r"^label_values\((.+), *\w+\)$", variable.get("definition", ""))
    return [re.sub(r"\$\w+", ".+", query.replace("$__rate_interval", "5m")) for query in queries]


def panel_faults(panel):
    name = f"panel {panel.get('id')} ({panel.get('title', 'without a title')})"
    if not panel.get("title"):
        yield f"{name} has no title"
    if panel["type"] == "row":
        return
    if not panel.get("description"):
        yield f"{name} has no description"
    if panel.get("datasource") != DATASOURCE:
        yield f"{name} does not ask the datasource that was chosen"
    targets = panel.get("targets", [])
    if not targets:
        yield f"{name} asks nothing"
    if len({target["refId"] for target in targets}) != len(targets):
        yield f"{name} has two queries of one refId"
    for target in targets:
        if target.get("datasource", DATASOURCE) != DATASOURCE:
            yield f"{name} has a query to another datasource"
        if "$instance" not in target["expr"] and not target["expr"].startswith("count(ALERTS{"):
            yield f"{name} shows instances that were not chosen"
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if not defaults.get("unit"):
        yield f"{name} has no unit"


def overlaps(panels):
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        if at["x"] < 0 or at["x"] + at["w"] > COLUMNS or at["w"] < 1 or at["h"] < 1:
            yield f"panel {panel['id']} stands outside of the grid"
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                if other := taken.get((x, y)):
                    yield f"panels {other} and {panel['id']} overlap"
                    return
                taken[x, y] = panel["id"]


def faults(dashboard):
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    yield from (f"id {number} stands twice" for number in sorted({i for i in ids if ids.count(i) > 1}))
    titles = [panel["title"] for panel in panels if "title" in panel]
    yield from (f"title {title!r} stands twice" for title in sorted({t for t in titles if titles.count(t) > 1}))
    if dashboard["schemaVersion"] < SCHEMA_MIN:
        yield f"schemaVersion {dashboard['schemaVersion']} is old"
    variables = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
    if variables.get("datasource") != "datasource":
        yield "there is no variable for the datasource"
    for panel in panels:
        yield from panel_faults(panel)
    yield from overlaps(panels)


def main():
    text = FILE.read_text()
    dashboard = json.loads(text)
    match sys.argv[1:]:
        case ["format"]:
            FILE.write_text(text_of(dashboard))
        case ["metrics"]:
            print("\n".join(sorted(set().union(*(metrics(query) for query in expressions(dashboard))) - {"ALERTS", "up"})))
        case ["check", file]:
            found = list(faults(dashboard))
            if text != text_of(dashboard):
                found.append("it is not in the form in which it is kept: run scripts/monitoring/dashboard.py format")
            if found:
                sys.exit("\n".join(f"dashboard: {fault}" for fault in found))
            queries = [{"record": f"dashboard:query_{at}", "expr": query} for at, query in enumerate(expressions(dashboard))]
            Path(file).write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": queries}]}, width=1_000))
            shown = sum(panel["type"] != "row" for panel in dashboard["panels"])
            print(f"{shown} panels, {len(queries)} queries")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
