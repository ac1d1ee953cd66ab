"""Compares objects with the schemas of their kinds: those of Kubernetes itself, and those in k8s/schemas for the others. A kind
that nobody has a schema for is a problem, not a warning.
"""

import json

import jsonschema
import kubernetes_validate
from rendering import K8S, title

VERSION = kubernetes_validate.latest_version()
VENDORED = K8S / "schemas"


def problems(found):
    """What is wrong with one object."""
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict) or not found.get("kind"):
        return [f"no Kubernetes object: {str(found)[:80]}"]
    kind, api_version = found["kind"], found.get("apiVersion", "")
    vendored = VENDORED / f"{kind.lower()}-{api_version.replace('/', '-')}.json"
    if vendored.exists():
        validator = jsonschema.Draft202012Validator(json.loads(vendored.read_text()))
        told = [_told(error) for error in validator.iter_errors(found)]
        # Metadata is the same for every kind.
        told += _built_in({"apiVersion": "v1", "kind": "ConfigMap", "metadata": found["metadata"]})
    else:
        told = _built_in(found)
    return [f"{title(found)}: {problem}" for problem in told]


def _built_in(found):
    try:
        kubernetes_validate.validate(found, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [_told(error)]
    except kubernetes_validate.SchemaNotFoundError:
        kind, api_version = found["kind"], found["apiVersion"]
        return [f"there is no schema for {kind} {api_version}: vendor one in k8s/schemas, or correct the kind"]
    return []


def _told(error):
    return f"{'.'.join(map(str, error.path)) or 'object'}: {error.message[:300]}"
