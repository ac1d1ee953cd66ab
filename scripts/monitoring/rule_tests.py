#!/usr/bin/env python3
"""Composes the tests of the alerts for `promtool test rules` from tests/quiet.yaml and tests/faults.yaml.

    rule_tests.py RULES       RULES: the rule file beside which tests-*.yaml are written

Every fault is put over a quiet day at one of two instances, and at each time that it names exactly its alerts fire.
Fails when an alert fires in no fault, or when a metric that it asks for does not stand in the quiet day, on which its
silence would then say nothing.
"""

import fnmatch
import re
import sys
from pathlib import Path

import yaml

from rules import COMPONENT, alerts, metrics, milliseconds

# The interval of the ServiceMonitor, and the usual one of rules.
STEP_MS, EVALUATION = 15_000, "30s"
# Faults that last longer than this are evaluated less often: promtool takes seconds for each day otherwise.
LONG, EVALUATION_OF_LONG = "12h", "5m"
# For how long it is quiet before a fault begins, and after it unless it says otherwise.
QUIET, LASTS, HEALED = "20m", "22m", "16m"
FILES = ["quiet.yaml", "faults.yaml"]
INSTANCES = ["rentcar-0:8080", "rentcar-1:8080"]


def steps(duration):
    return milliseconds(duration) // STEP_MS


def labelled(series, instance):
    """The series as Prometheus keeps it, with the labels of its target."""
    name, _, labels = series.rstrip("}").partition("{")
    target = f'job="rentcar",namespace="rentcar",instance="{instance}"'
    return f"{name}{{{labels},{target}}}" if labels else f"{name}{{{target}}}"


def grows(value):
    return re.fullmatch(r"[+-][\d.]+", value)


def notation(spans):
    """Values over spans of (value, steps) in promtool's notation; what grows or shrinks goes on from where it was."""
    parts, last = [], 0.0
    for value, count in spans:
        if count == 0:
            continue
        if value == "gone":
            # Marked as stale, since Prometheus would look back five minutes otherwise.
            parts.append(f"stale _x{count - 1}" if count > 1 else "stale")
        elif grows(value):
            rate = float(value)
            parts.append(f"{last + rate}{rate:+}x{count - 1}")
            last += rate * count
        else:
            last = float(value)
            parts.append(f"{last}x{count - 1}")
    return " ".join(parts)


def fault_of(series, fault):
    """What the fault makes of a series; None if nothing. What is written out counts more than a pattern."""
    if series in fault:
        return fault[series]
    return next((value for name, value in fault.items() if "*" in name and fnmatch.fnmatchcase(series, name)), None)


def during(value, lasts):
    """The spans of a fault's value; `0 for 30s, 1` is one that changes."""
    if change := re.fullmatch(r"(\S+) for (\S+), (\S+)", value):
        first = steps(change[2])
        return [(change[1], first), (change[3], lasts - first)]
    return [(value, lasts)]


def healed(fault):
    """After how long no alert fires any more; None if that is not looked at."""
    after = fault.get("healed", HEALED)
    return None if after == "never" else after


def input_series(quiet, fault):
    """All series of both instances while it is quiet, the fault, and quiet again."""
    before, lasts, after = steps(QUIET), steps(fault.get("lasts", LASTS)), steps(healed(fault) or "0s")
    quiet, changed = quiet | fault.get("quiet", {}), fault.get("series", {})
    new = {series: "gone" for series in changed if "*" not in series and series not in quiet}
    for at, instance in enumerate(INSTANCES):
        for series, value in (quiet | new).items():
            is_hit = at == 0 or fault.get("everywhere", False)
            meanwhile = fault_of(series, changed) if is_hit else None
            if value == "gone" and not is_hit:
                continue
            # The first sample stands at 0 s, so the last quiet one at the very moment when the fault begins.
            spans = [(value, before + 1), *during(value if meanwhile is None else meanwhile, lasts), (value, after)]
            yield {"series": labelled(series, instance), "values": notation(spans)}


def expectation(at_ms, names):
    """Exactly these alerts fire then, and none at the instance that is well."""
    at = f"{at_ms // 1000}s"
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in names]
    yield {"expr": 'group by (alertname) (ALERTS{alertstate="firing"})', "eval_time": at, "exp_samples": samples}
    well = f'ALERTS{{alertstate="firing",instance="{INSTANCES[1]}"}}'
    yield {"expr": well, "eval_time": at, "exp_samples": []}


def test_of(quiet, fault):
    begins = milliseconds(QUIET)
    ends = begins + milliseconds(fault.get("lasts", LASTS))
    times = {begins: []} | {begins + milliseconds(at): names for at, names in fault["fires"].items()}
    if late := [at for at in times if at > ends]:
        sys.exit(f"{fault['fault']}: {late[0] // 1000} s is after its end")
    if healed(fault):
        times[ends + milliseconds(healed(fault))] = []
    expected = [case for at, names in times.items() for case in expectation(at, names)]
    return {
        "name": fault["fault"],
        "interval": f"{STEP_MS // 1000}s",
        "input_series": list(input_series(quiet, fault)),
        "promql_expr_test": expected,
    }


def quiet_test(quiet):
    """Three hours without anything, looked at every five minutes."""
    fires = {f"{minutes}m": [] for minutes in range(5, 181, 5)}
    return test_of(quiet, {"fault": "a quiet day", "lasts": "3h", "fires": fires})


def untested(rules, quiet, faults):
    """Why the tests do not say enough, one sentence each."""
    named = {name for fault in faults for names in fault["fires"].values() for name in names}
    shown = {series.partition("{")[0] for series in quiet}
    known = {rule["alert"] for rule in alerts(rules)}
    for rule in alerts(rules):
        if rule["alert"] not in named:
            yield f"{rule['alert']} fires in no fault of tests/faults.yaml"
        for metric in sorted(metrics(rule["expr"]) - shown - {"ALERTS"}):
            yield f"{rule['alert']} asks for {metric}, which tests/quiet.yaml does not have: its silence says nothing"
    for name in sorted(named - known):
        yield f"tests/faults.yaml expects {name}, which is no alert"


def main():
    rules_file = Path(sys.argv[1])
    rules = yaml.safe_load(rules_file.read_text())
    # As text, since YAML takes +1 for a number.
    quiet, faults = (yaml.load((COMPONENT / "tests" / name).read_text(), yaml.BaseLoader) for name in FILES)
    if lacking := list(untested(rules, quiet, faults)):
        sys.exit("\n".join(lacking))
    days = [fault for fault in faults if milliseconds(fault.get("lasts", LASTS)) > milliseconds(LONG)]
    hours = [fault for fault in faults if fault not in days]
    for name, interval, tests in [
        ("hours", EVALUATION, [quiet_test(quiet), *(test_of(quiet, fault) for fault in hours)]),
        ("days", EVALUATION_OF_LONG, [test_of(quiet, fault) for fault in days]),
    ]:
        written = {
            "rule_files": [rules_file.name],
            "evaluation_interval": interval,
            # RentcarErrorRate and others ask whether another alert fires.
            "group_eval_order": [group["name"] for group in rules["groups"]],
            "tests": tests,
        }
        (rules_file.parent / f"tests-{name}.yaml").write_text(yaml.safe_dump(written, sort_keys=False, width=1_000))
    silent = sum(1 for fault in faults if not any(fault["fires"].values()))
    print(f"{len(alerts(rules))} alerts, {len(faults)} faults, {silent} of which are too short or too small for an alert")


if __name__ == "__main__":
    main()
