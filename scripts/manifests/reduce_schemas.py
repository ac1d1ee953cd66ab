"""Makes the closed JSON schemas in k8s/schemas from the type declarations of npm's @kubernetes-models packages.

Run by hand to take newer versions; k8s/schemas/README.md says how. Reads `npm pack`ed and unpacked packages, fetches nothing.
Descriptions, status and alternatives among objects are left out: what is checked is that fields exist, have the type that
they must have, and that none is missing. Every object is closed, so that a field of another name is an error.
"""

import json
import re
import sys
from pathlib import Path

# The kinds to take: package, module of the declaration, apiVersion, kind, and paths that nobody here needs.
KINDS = [
    ("istio", "networking.istio.io/v1/VirtualService", "networking.istio.io/v1", "VirtualService", []),
    (
        "istio",
        "networking.istio.io/v1/DestinationRule",
        "networking.istio.io/v1",
        "DestinationRule",
        # The old name of consecutive5xxErrors, which Istio still accepts and nobody should write.
        [
            "spec.trafficPolicy.outlierDetection.consecutiveErrors",
            "spec.trafficPolicy.portLevelSettings",
            "spec.subsets.trafficPolicy",
        ],
    ),
    ("gateway-api", "gateway.networking.k8s.io/v1/Gateway", "gateway.networking.k8s.io/v1", "Gateway", []),
    ("gateway-api", "gateway.networking.k8s.io/v1/HTTPRoute", "gateway.networking.k8s.io/v1", "HTTPRoute", []),
    (
        "prometheus-operator",
        "monitoring.coreos.com/v1/ServiceMonitor",
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        [],
    ),
    (
        "prometheus-operator",
        "monitoring.coreos.com/v1/PrometheusRule",
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        [],
    ),
]

STRING = {"type": "string"}


def closed(properties, required=()):
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": sorted(required)} if required else schema


KEY_OF = closed({"key": STRING, "name": STRING, "optional": {"type": "boolean"}}, ["key"])
# Types of other packages. Metadata is checked against the schema that Kubernetes has for it.
FOREIGN = {
    "ObjectMeta": {"type": "object"},
    "IntOrString": {"type": ["integer", "string"]},
    "Quantity": {"type": ["number", "string"]},
    "SecretKeySelector": KEY_OF,
    "ConfigMapKeySelector": KEY_OF,
    "LabelSelector": closed(
        {
            "matchLabels": {"type": "object", "additionalProperties": STRING},
            "matchExpressions": {
                "type": "array",
                "items": closed(
                    {
                        "key": STRING,
                        "operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {"type": "array", "items": STRING},
                    },
                    ["key", "operator"],
                ),
            },
        }
    ),
}
# Istio writes durations as texts and says so in prose only.
ISTIO_DURATION = {"type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(h|m|s|ms))+$"}
ISTIO_DURATIONS = {
    "backoff", "baseEjectionTime", "connectTimeout", "fixedDelay", "idleTimeout", "interval", "maxAge",
    "maxConnectionDuration", "perTryTimeout", "time", "timeout", "ttl",
}  # fmt: skip

TOKENS = re.compile(
    r'\s+|/\*.*?\*/|//[^\n]*|("(?:[^"\\]|\\.)*")|([A-Za-z_$][\w$.]*|-?\d+(?:\.\d+)?|[{}()\[\]<>|&;:?,=])', re.S
)


def tokens(text):
    found, at = [], 0
    while at < len(text):
        match = TOKENS.match(text, at)
        if match is None:
            raise ValueError(f"not understood: {text[at : at + 60]!r}")
        found += [token for token in match.groups() if token]
        at = match.end()
    return found


class Declarations:
    """The types of one package, read as they are asked for."""

    def __init__(self, package):
        self.package = package
        self.known = {}

    def type_of(self, path):
        """The schema of the interface or type that the module of this path is about."""
        if path not in self.known:
            # A type may contain itself; nothing here needs the inner one.
            self.known[path] = {}
            self.known[path] = Module(self, path).schema()
        return self.known[path]

    def pattern_of(self, name):
        """The pattern of a named text, which the declarations do not have but the validators."""
        files = list((self.package / "_schemas").glob(f"*V1{name}.js"))
        patterns = (
            re.findall(r'let pattern0=RegExp\(("(?:[^"\\]|\\.)*"),', files[0].read_text()) if len(files) == 1 else []
        )
        return {"pattern": json.loads(patterns[0])} if patterns else {}


class Module:
    """One declaration file."""

    def __init__(self, declarations, path):
        self.declarations, self.path = declarations, path
        self.name = path.name
        text = path.with_name(path.name + ".d.ts").read_text()
        self.imports = {
            name.split(" as ")[-1].strip(): target
            for names, target in re.findall(r'import(?: type)? \{([^}]*)\} from "([^"]*)"', text)
            for name in names.split(",")
        }
        head = re.search(rf"^export (?:interface I{self.name}\b([^{{]*)|type I{self.name} =)", text, re.M)
        if head is None:
            raise ValueError(f"{path} declares no I{self.name}")
        self.bases = re.findall(r"[\w$]+", head[1].replace("extends", "")) if head[1] is not None else None
        self.tokens, self.at = tokens(text[head.end() :].split("\nexport ")[0]), 0

    def schema(self):
        schema = self.union()
        if self.bases is None:
            return {**schema, **self.declarations.pattern_of(self.name)} if schema == STRING else schema
        for base in self.bases:
            if base != "TypeMeta":
                schema = merged(schema, self.named(base))
        return schema

    def take(self, expected=None):
        token = self.tokens[self.at]
        if expected is not None and token != expected:
            raise ValueError(f"{self.path}: {token} where {expected} was expected")
        self.at += 1
        return token

    def next_is(self, token):
        return self.at < len(self.tokens) and self.tokens[self.at] == token

    def union(self):
        if self.next_is("|"):
            self.take()
        options = [self.intersection()]
        while self.next_is("|"):
            self.take()
            options.append(self.intersection())
        if len(options) == 1:
            return options[0]
        if all("enum" in option for option in options):
            return {"enum": [value for option in options for value in option["enum"]]}
        if all("properties" in option for option in options):
            first, *rest = options
            for option in rest:
                required = set(first.get("required", [])) & set(option.get("required", []))
                first = closed({**first["properties"], **option["properties"]}, required)
            return first
        return {"anyOf": options}

    def intersection(self):
        # The others repeat the first, and say which fields exclude each other.
        first = self.primary()
        while self.next_is("&"):
            self.take()
            self.primary()
        return first

    def primary(self):
        token = self.take()
        if token == "{":
            return self.members()
        if token == "(":
            inner = self.union()
            self.take(")")
            return inner
        if token.startswith('"'):
            return {"enum": [json.loads(token)]}
        if token in ("true", "false", "null") or re.fullmatch(r"-?[\d.]+", token):
            return {"enum": [json.loads(token)]}
        arguments = []
        if self.next_is("<"):
            self.take()
            arguments.append(self.union())
            while self.next_is(","):
                self.take()
                arguments.append(self.union())
            self.take(">")
        if token == "Array":
            return {"type": "array", "items": arguments[0]}
        if token == "Exclude":
            return arguments[0]
        return self.named(token)

    def named(self, name):
        if name in ("string", "number", "boolean"):
            return {"type": name}
        if name in ("any", "unknown", "object"):
            return {}
        target = self.imports[name]
        if target.startswith("./"):
            return self.declarations.type_of(self.path.parent / target.removeprefix("./").removesuffix(".js"))
        foreign = target.rsplit("/", 1)[-1]
        return FOREIGN.get(foreign, {"unresolved": foreign})

    def members(self):
        properties, required, others = {}, [], None
        while not self.next_is("}"):
            if self.next_is("["):
                while self.take() != "]":
                    pass
                self.take(":")
                others = self.union()
            else:
                name = json.loads(self.take())
                if self.next_is("?"):
                    self.take()
                else:
                    required.append(name)
                self.take(":")
                properties[name] = self.union()
            self.take(";")
        self.take("}")
        if others is not None:
            return {"type": "object", "additionalProperties": others}
        return closed(properties, required)


def merged(schema, base):
    required = {*schema.get("required", []), *base.get("required", [])}
    return closed({**base["properties"], **schema["properties"]}, required)


def without(schema, path):
    """Takes a field away; arrays on the way are passed through."""
    first, _, rest = path.partition(".")
    while "items" in schema:
        schema = schema["items"]
    if rest:
        without(schema["properties"][first], rest)
    else:
        del schema["properties"][first]


def with_durations(schema):
    for name, inner in schema.get("properties", {}).items():
        if name in ISTIO_DURATIONS and inner == STRING:
            schema["properties"][name] = ISTIO_DURATION
        else:
            with_durations(inner)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            with_durations(schema[key])


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: reduce_schemas.py DIRECTORY-OF-UNPACKED-PACKAGES k8s/schemas")
    packages, output = Path(sys.argv[1]), Path(sys.argv[2])
    for package, module, api_version, kind, unwanted in KINDS:
        directory = packages / package / "package"
        about = json.loads((directory / "package.json").read_text())
        # A copy, since types are shared among the kinds that use them.
        schema = json.loads(json.dumps(Declarations(directory).type_of(directory / module)))
        schema["properties"] |= {
            "apiVersion": {"enum": [api_version]},
            "kind": {"enum": [kind]},
            "metadata": {"type": "object"},
        }
        schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
        for path in ["status", *unwanted]:
            without(schema, path)
        if package == "istio":
            with_durations(schema)
        if "unresolved" in json.dumps(schema):
            sys.exit(f"{kind} has types of other packages that FOREIGN does not name")
        schema = {"$comment": f"reduced from npm {about['name']} {about['version']} ({about['license']})", **schema}
        name = f"{kind.lower()}-{api_version.replace('/', '-')}.json"
        (output / name).write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n")
        print(f"{name}: {len(json.dumps(schema))} characters")


if __name__ == "__main__":
    main()
