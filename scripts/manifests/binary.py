"""What must hold between manifests and the program: that it takes the settings, and that what they say of it is true."""

import contextlib
import json
import re
import subprocess
import tempfile
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

from rendering import pod_template, title

# What Secrets would say under a name and a key, so that the names of these settings are tried too.
SECRETS = {
    ("rentcar-payment", "providerUrl"): "https://payment-provider.payments:8443",
    ("rentcar-master-key", "keys"): "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}
# A shutdown waits this many times for as long as server.shutdown_drain_ms says, at most: for requests, changes and actors.
DRAINS = 3
# Settings that name what a Secret has.
TOKEN_KEYS, API_KEYS = "RENTCAR__ACCESS__TOKEN_KEYS", "RENTCAR__ACCESS__API_KEYS"
ERASURE_LIST = "RENTCAR__PRIVACY__ERASURE_LIST"
# Paths for operators, which no gateway leads to.
OPERATORS = ("/actuator", "/metrics", "/v1/admin")


def settings_containers(rendered):
    """The containers of rentcar, with their workloads."""
    for workload in rendered.workloads():
        for container in pod_template(workload)["spec"]["containers"]:
            if container["name"] == "rentcar":
                yield workload, container


def environment(rendered, container, secrets):
    """The variables that the container gets, with what Secrets say or without."""
    maps = {found["metadata"]["name"]: found.get("data", {}) for found in rendered.of_kind("ConfigMap")}
    variables = {}
    for source in container.get("envFrom", []):
        variables |= maps.get(source.get("configMapRef", {}).get("name"), {})
    for variable in container.get("env", []):
        if "value" in variable:
            variables[variable["name"]] = variable["value"]
        elif secrets or not variable["valueFrom"]["secretKeyRef"].get("optional"):
            # A pod does not start without a Secret that is not optional.
            secret = variable["valueFrom"]["secretKeyRef"]
            variables[variable["name"]] = SECRETS[secret["name"], secret["key"]]
    return variables


def config(binary, variables):
    """The settings in force, or what the program says against them."""
    run = subprocess.run([binary, "config"], env=variables, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return None, run.stderr.strip()
    return tomllib.loads(run.stdout), None


def problems(rendered, binary):
    """What the program says against the manifests, and what they say of it that is not so."""
    told = []
    for workload, container in settings_containers(rendered):
        answers = [config(binary, environment(rendered, container, secrets)) for secrets in (True, False)]
        refusals = {refusal for _, refusal in answers if refusal}
        told += [f"{title(workload)}: rentcar config: {refusal}" for refusal in sorted(refusals)]
        if not refusals:
            settings = answers[0][0]
            told += [f"{title(workload)}: {problem}" for problem in agreement(workload, container, settings)]
            told += mesh(rendered, settings)
    return told


def agreement(workload, container, settings):
    pod = pod_template(workload)["spec"]
    listened = int(settings["server"]["listen"].rpartition(":")[2])
    if not settings["server"]["listen"].startswith(("0.0.0.0:", "[::]:")):
        yield f"listens on {settings['server']['listen']}, where no probe can reach it"
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(name)
        asked = port_of(container, probe["httpGet"]["port"]) if probe else listened
        if asked != listened:
            yield f"{name} asks at port {asked}, but server.listen has {listened}"
    mounts = {
        mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", []) if not mount.get("readOnly")
    }
    claimed = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    if mounts.get(settings["store"]["data"]) not in claimed:
        yield f"store.data is {settings['store']['data']}, where no volume of a claim is mounted"
    secrets = {volume["name"] for volume in pod.get("volumes", []) if "secret" in volume}
    kept = {
        mount["mountPath"]
        for mount in container.get("volumeMounts", [])
        if mount.get("readOnly") and mount["name"] in secrets
    }
    for name, path in (("token_keys", Path), ("api_keys", lambda path: Path(path).parent)):
        named = settings["access"][name]
        if named and str(path(named)) not in kept:
            yield f"access.{name} is {named}, where no Secret is mounted"
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    drain = settings["server"]["shutdown_drain_ms"] / 1000
    grace = pod.get("terminationGracePeriodSeconds", 30)
    if grace <= sleep + DRAINS * drain:
        taken = f"preStop takes {sleep} s and a shutdown up to {DRAINS} times {drain:g} s"
        yield f"terminationGracePeriodSeconds is {grace}, but {taken}"
    memory = mebibytes(container["resources"]["limits"]["memory"])
    if settings["store"]["cache_mib"] > memory / 2:
        cache = settings["store"]["cache_mib"]
        yield f"store.cache_mib is {cache}, more than half of the {memory} MiB that the pod may have"


def mesh(rendered, settings):
    for found in rendered.of_kind("DestinationRule"):
        http = found["spec"].get("trafficPolicy", {}).get("connectionPool", {}).get("http", {})
        # An hour unless said.
        idle, header = seconds(http.get("idleTimeout", "1h")), settings["server"]["header_timeout_ms"] / 1000
        if idle >= header:
            kept = f"keeps idle connections for {idle:g} s, but the service closes them after {header:g} s"
            yield f"{title(found)}: {kept}"


def port_of(container, port):
    named = {found["name"]: found["containerPort"] for found in container.get("ports", [])}
    return named.get(port, port)


def seconds(duration):
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", duration))


def mebibytes(quantity):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def with_keys(binary, variables, scratch):
    """The variables with keys and files of this machine in place of those of volumes, and an API key for monitoring."""
    variables, key = dict(variables), None
    if TOKEN_KEYS in variables:
        keys = Path(scratch, "token-keys")
        keys.mkdir()
        (keys / "main.secret").write_text("a secret of thirty-two bytes at least")
        variables[TOKEN_KEYS] = str(keys)
    if ERASURE_LIST in variables:
        variables[ERASURE_LIST] = f"{scratch}/erasures"
    if API_KEYS in variables:
        variables[API_KEYS] = f"{scratch}/api-keys"
        made = [binary, "key", "new", "--file", variables[API_KEYS], "--scope", "metrics", "prometheus"]
        key = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
    return variables, key


@contextlib.contextmanager
def running(binary, variables):
    """A service with the container's variables, on a free port and an empty directory of this machine instead; where it
    is, and an API key for monitoring if it wants one."""
    with tempfile.TemporaryDirectory() as scratch:
        variables, key = with_keys(binary, variables, scratch)
        log = Path(scratch, "log").open("w+")
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--data", f"{scratch}/data"]
        service = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            ready = re.search(r"http://[\d.]+:\d+", service.stdout.readline())
            if ready is None:
                log.seek(0)
                raise RuntimeError(f"the service did not become ready:\n{log.read()[-2000:]}")
            yield ready[0], key
            service.terminate()
            if service.wait(timeout=60) != 0:
                raise RuntimeError(f"the service exited with {service.returncode}")
        finally:
            service.kill()
            service.wait()
            service.stdout.close()
            log.close()


def answer(url, key=None):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def problems_of_probes(rendered, url):
    """Probes that a service which is well does not pass."""
    for workload, container in settings_containers(rendered):
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            if name in container:
                path = container[name]["httpGet"]["path"]
                status, _ = answer(url + path)
                if status != 200:
                    yield f"{title(workload)}: {name} asks {path}, which is {status} when the service is well"


def problems_of_scrapes(rendered, url, key):
    """Paths that Prometheus asks and that have no metrics for it."""
    for found in rendered.of_kind("ServiceMonitor"):
        for endpoint in found["spec"]["endpoints"]:
            path = endpoint.get("path", "/metrics")
            status, body = answer(url + path, key if "authorization" in endpoint else None)
            if status != 200 or b"\nrentcar_" not in body:
                yield f"{title(found)}: there are no metrics at {path}"


def problems_of_backups(rendered, key):
    """Backups without credentials of a service that wants them."""
    for found in rendered.of_kind("CronJob"):
        for container in found["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]:
            arguments = container.get("args", [])
            if key and arguments[:1] == ["backup"] and "--token-file" not in arguments:
                yield f"{title(found)}: the service wants credentials, but there is no --token-file"


def problems_of_routes(rendered, url):
    """Paths that the service has and the gateway does not lead to, or should not."""
    rules = [rule for found in rendered.of_kind("HTTPRoute") for rule in found["spec"]["rules"]]
    matches = [match["path"] for rule in rules for match in rule.get("matches", [])]
    if not matches:
        return
    paths = json.loads(answer(url + "/openapi.json")[1])["paths"]
    for path in paths:
        led = any(
            path == match["value"] or (match["type"] == "PathPrefix" and path.startswith(match["value"] + "/"))
            for match in matches
        )
        for_operators = path.startswith(OPERATORS)
        if led == for_operators:
            yield (
                f"HTTPRoute: leads to {path}, which is for operators" if led else f"HTTPRoute: does not lead to {path}"
            )
