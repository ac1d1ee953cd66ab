"""What must hold of rendered manifests beyond their schemas. Needs no service."""

from urllib.parse import urlsplit

from rendering import NAMESPACE, pod_template, title

# The volumes that the restricted profile allows.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def problems(rendered, version):
    """Every rule that the manifests break; `version` is the one of the program."""
    told = namespaces(rendered) + references(rendered) + selectors(rendered)
    told += [problem for found in rendered.workloads() for problem in of_pod(found, pod_template(found)["spec"], version)]
    if not rendered.workloads():
        told.append("there is no workload")
    return told


def problems_of_pods(rendered, version):
    """The rules that single pods break."""
    told = namespaces(rendered)
    return told + [problem for found in rendered.workloads() for problem in of_pod(found, found["spec"], version)]


def of_pod(found, pod, version):
    return [f"{title(found)}: {problem}" for problem in restricted(pod) + ours(pod) + image(pod, version)]


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"], *pod.get("ephemeralContainers", [])]


def restricted(pod):
    """The rules of the restricted profile of https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    told = [f"restricted: {name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    own = pod.get("securityContext", {})
    for volume in pod.get("volumes", []):
        told += [f"restricted: volume of type {kind}" for kind in set(volume) - {"name"} - VOLUMES]
    for name in ("sysctls", "seLinuxOptions", "appArmorProfile", "windowsOptions"):
        if own.get(name):
            told.append(f"restricted: {name} is set")
    for container in containers(pod):
        context = container.get("securityContext", {})
        capabilities = context.get("capabilities", {})
        # The container's word goes over the pod's.
        user = context.get("runAsUser", own.get("runAsUser"))
        non_root = context.get("runAsNonRoot", own.get("runAsNonRoot"))
        seccomp = context.get("seccompProfile", own.get("seccompProfile", {})).get("type")
        probes = [container.get(name, {}) for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        hooks = list(container.get("lifecycle", {}).values())
        asked = [part.get(kind, {}) for part in probes + hooks for kind in ("httpGet", "tcpSocket")]
        rules = {
            "privileged": not context.get("privileged"),
            "allowPrivilegeEscalation is not false": context.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot is not true": non_root is True,
            "runAsUser is 0": user != 0,
            "seccompProfile is neither RuntimeDefault nor Localhost": seccomp in ("RuntimeDefault", "Localhost"),
            "capabilities do not drop ALL": "ALL" in capabilities.get("drop", []),
            "capabilities are added": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "procMount is set": context.get("procMount", "Default") == "Default",
            "host options are set": not any(
                name in context for name in ("seLinuxOptions", "appArmorProfile", "windowsOptions")
            ),
            "a hostPort is set": not any(port.get("hostPort") for port in container.get("ports", [])),
            "a probe or hook names a host": not any(part.get("host") for part in asked),
        }
        told += [f"restricted: {container['name']}: {rule}" for rule, holds in rules.items() if not holds]
    return told


def ours(pod):
    """What the image and the operator count on."""
    told = []
    if pod.get("automountServiceAccountToken") is not False:
        told.append("the pod mounts a token of its service account")
    if pod.get("enableServiceLinks") is not False:
        told.append("enableServiceLinks is not false: Services would come as variables that begin as settings do")
    for container in containers(pod):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            told.append(f"{container['name']}: readOnlyRootFilesystem is not true")
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
            told.append(f"{container['name']}: requests of cpu and memory and a limit of memory are wanted")
    return told


def image(pod, version):
    """The tag of rentcar's own image, from whatever registry it comes."""
    images = [container["image"].rpartition("/")[2].partition(":") for container in containers(pod)]
    tags = {tag for name, _, tag in images if name == "rentcar"} - {version}
    return [f"the image has the tag {', '.join(tags)}, but Cargo.toml says {version}"] if tags else []


def namespaces(rendered):
    told = []
    for found in rendered.objects:
        metadata = found["metadata"]
        if found["kind"] == "Namespace":
            if metadata.get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
                told.append(f"{title(found)}: does not enforce the restricted profile")
        elif metadata.get("namespace") != NAMESPACE:
            told.append(f"{title(found)}: is in the namespace {metadata.get('namespace')}")
    return told


def references(rendered):
    """Names that must be there: Services with their ports, ConfigMaps, service accounts."""
    told = []
    ports = {found["metadata"]["name"]: found["spec"]["ports"] for found in rendered.of_kind("Service")}

    def wants(who, host, number):
        if number not in {port["port"] for port in ports.get(host, [])}:
            told.append(f"{title(who)}: there is no Service {host} with the port {number}")

    for found in rendered.of_kind("HTTPRoute"):
        for rule in found["spec"]["rules"]:
            for backend in rule.get("backendRefs", []):
                wants(found, backend["name"], backend.get("port"))
    for found in rendered.of_kind("VirtualService"):
        for rule in found["spec"].get("http", []):
            for destination in (route["destination"] for route in rule.get("route", [])):
                wants(found, destination["host"], destination.get("port", {}).get("number"))
    for workload in rendered.workloads():
        for container in containers(pod_template(workload)["spec"]):
            for url in map(urlsplit, container.get("args", [])):
                if url.scheme == "http":
                    wants(workload, url.hostname, url.port)
    for found in rendered.of_kind("DestinationRule"):
        if found["spec"]["host"] not in ports:
            told.append(f"{title(found)}: there is no Service {found['spec']['host']}")
    there = {(found["kind"], found["metadata"]["name"]) for found in rendered.objects}
    for stateful in rendered.of_kind("StatefulSet"):
        for claim in stateful["spec"].get("volumeClaimTemplates", []):
            # Of a StatefulSet with one pod.
            there.add(("PersistentVolumeClaim", f"{claim['metadata']['name']}-{stateful['metadata']['name']}-0"))
    for workload in rendered.workloads():
        pod = pod_template(workload)["spec"]
        wanted = {("ServiceAccount", pod.get("serviceAccountName"))}
        if workload["kind"] == "StatefulSet":
            wanted.add(("Service", workload["spec"]["serviceName"]))
        wanted |= {
            ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
            for volume in pod.get("volumes", [])
            if "persistentVolumeClaim" in volume
        }
        for container in containers(pod):
            wanted |= {
                ("ConfigMap", source["configMapRef"]["name"])
                for source in container.get("envFrom", [])
                if "configMapRef" in source
            }
        told += [f"{title(workload)}: there is no {kind} {name}" for kind, name in wanted - there]
    return told


def selectors(rendered):
    """Whoever selects something finds it."""
    told = []
    pods = [pod_template(found) for found in rendered.workloads()]
    services = rendered.of_kind("Service")

    def select(who, labels, among, what):
        chosen = [one for one in among if labels and labels.items() <= one["metadata"].get("labels", {}).items()]
        if not chosen:
            told.append(f"{title(who)}: selects no {what}")
        return chosen

    for found in services:
        for pod in select(found, found["spec"].get("selector"), pods, "pod"):
            named = {port.get("name") for container in pod["spec"]["containers"] for port in container.get("ports", [])}
            for port in found["spec"]["ports"]:
                if isinstance(port.get("targetPort"), str) and port["targetPort"] not in named:
                    told.append(f"{title(found)}: no pod has the port {port['targetPort']}")
    for found in rendered.of_kind("PodDisruptionBudget"):
        select(found, found["spec"].get("selector", {}).get("matchLabels"), pods, "pod")
        # Whatever else keeps the last pod keeps its node from being drained.
        if found["spec"].get("maxUnavailable") != 1 or found["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            told.append(f"{title(found)}: may block a drain")
    for found in rendered.of_kind("NetworkPolicy"):
        # An empty one selects every pod.
        if found["spec"]["podSelector"]:
            select(found, found["spec"]["podSelector"].get("matchLabels"), pods, "pod")
    for found in rendered.of_kind("ServiceMonitor"):
        for service in select(found, found["spec"]["selector"].get("matchLabels"), services, "Service"):
            named = {port.get("name") for port in service["spec"]["ports"]}
            for endpoint in found["spec"]["endpoints"]:
                if endpoint.get("port") not in named:
                    told.append(f"{title(found)}: {title(service)} has no port {endpoint.get('port')}")
    return told
