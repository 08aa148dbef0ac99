"""The manifests of deploy/kubernetes/, and the lines of docs/kubernetes.md that change without agents."""

import base64
import copy
import json
import re
import time

import kubernetes_validate
import pytest
import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from demo_site.environment import TABLE
from demo_site.identity import NAME
from tests.support.binaries import PROJECT, consul_binary
from tests.support.consul import ConsulServer
from tests.support.dockerfile import USER
from tests.support.processes import ServerProcess, clean_environment
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until
from tests.test_docs import FENCE

VERSION = "1.37"  # of Kubernetes: the newest whose schemas kubernetes-validate has
FOLDER = PROJECT / "deploy" / "kubernetes"
PAGE = (PROJECT / "docs" / "kubernetes.md").read_text()
GRACEFUL, KEEP_ALIVE = 30, 2  # seconds, of gunicorn and of connections


def documents(name):
    return list(yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()))


def merged(value, patch):
    """As Kubernetes merges a patch: maps by their keys, lists of named things by name."""
    if isinstance(value, dict) and isinstance(patch, dict):
        return value | {key: merged(value.get(key), patch[key]) for key in patch}
    if isinstance(value, list) and isinstance(patch, list) and all("name" in each for each in patch):
        known = {each["name"]: each for each in value}
        known |= {each["name"]: _one(known.get(each["name"]), each) for each in patch}
        return list(known.values())
    return patch


def _one(value, patch):
    """One element of a list: what replaces `valueFrom` by `value`, and the like, is that alone."""
    return patch if value is None or "value" in patch else merged(value, patch)


SITE = {each["kind"]: each for each in documents("site")}
PATCHES = [yaml.safe_load(block) for language, block in FENCE.findall(PAGE) if language == "yaml"]
AGENTLESS = copy.deepcopy(SITE)
for patch in PATCHES:
    AGENTLESS[patch["kind"]] = merged(AGENTLESS[patch["kind"]], patch)
ALL = {
    **{f"site {kind}": each for kind, each in SITE.items()},
    **{f"migrate {each['kind']}": each for each in documents("migrate")},
    **{f"without agents {patch['kind']}": AGENTLESS[patch["kind"]] for patch in PATCHES},
}
PODS = {name: each["spec"]["template"]["spec"] for name, each in ALL.items() if each["kind"] in ("Deployment", "Job")}
CONTAINERS = [
    pytest.param(pod, container, id=f"{name} {container['name']}")
    for name, pod in PODS.items()
    for container in (*pod.get("initContainers", []), *pod["containers"])
]


@pytest.mark.parametrize("manifest", ALL.values(), ids=ALL)
def test_it_is_what_kubernetes_allows(manifest):
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_wrong_manifest_is_found():
    wrong = merged(SITE["Deployment"], {"spec": {"minReadySecond": 5}})
    with pytest.raises(kubernetes_validate.ValidationError, match="minReadySecond"):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_the_parts_are_there_and_no_secret_is():
    kinds = {each["kind"] for each in ALL.values()}
    assert kinds == {
        *("ServiceAccount", "ConfigMap", "Deployment", "Service", "PodDisruptionBudget"),
        *("HorizontalPodAutoscaler", "NetworkPolicy", "Job"),
    }


@pytest.mark.parametrize(("pod", "container"), CONTAINERS)
def test_a_container_has_no_rights_and_writes_only_to_its_volumes(pod, container):
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(USER)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["enableServiceLinks"] is False
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert (own["allowPrivilegeEscalation"], own["capabilities"]) == (False, {"drop": ["ALL"]})
    assert {"cpu", "memory"} == set(container["resources"]["requests"])
    assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("site", [SITE, AGENTLESS], ids=["agents", "without agents"])
def test_variables_exist_and_secrets_are_files_below_a_mount(site):
    (container,) = site["Deployment"]["spec"]["template"]["spec"]["containers"]
    known = {variable.name for variable in TABLE if not variable.secret} | {"WEB_CONCURRENCY", "HOST_IP"}
    values = site["ConfigMap"]["data"] | {each["name"]: each.get("value", "") for each in container["env"]}
    assert set(values) <= known
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    files = [value for name, value in values.items() if name.endswith(("_FILE", "_CACERT", "_DIR"))]
    assert len(files) >= 4
    assert all(any(f"{file}/".startswith(f"{mount}/") for mount in mounts) for file in files)
    assert not any("subPath" in mount for mount in container["volumeMounts"])


def test_the_grace_period_is_longer_than_the_drain_and_the_last_requests():
    drain = float(SITE["ConfigMap"]["data"]["SERVICE_DRAIN_SECONDS"])
    conf = (PROJECT / "gunicorn.conf.py").read_text()
    assert f"graceful_timeout = {GRACEFUL}\n" in conf
    pod = SITE["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > drain + KEEP_ALIVE + GRACEFUL
    assert (
        f"TimeoutStopSec={pod['terminationGracePeriodSeconds']}s"
        in (PROJECT / f"deploy/systemd/{NAME}-site.service").read_text()
    )


def test_what_selects_the_pods_selects_them_and_not_the_job():
    labels = SITE["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert SITE["Service"]["spec"]["selector"] == labels
    for kind, member in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert SITE[kind]["spec"][member]["matchLabels"] == labels
    job = ALL["migrate Job"]["spec"]["template"]["metadata"]["labels"]
    assert not labels.items() <= job.items()


def test_the_probes_are_the_sites():
    (container,) = SITE["Deployment"]["spec"]["template"]["spec"]["containers"]
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_without_agents_nothing_registers():
    assert AGENTLESS["ConfigMap"]["data"]["CONSUL_REGISTER"] == "false"
    assert re.search(r"never register through the servers", PAGE, re.IGNORECASE)


# The sidecar's script, against a Consul that knows who signed the pod's identity.


def signed(key, **claims):
    """A JSON web token."""

    def part(value):
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    now = int(time.time())
    text = b".".join([part({"alg": "RS256"}), part({"nbf": now - 60, "exp": now + 3600, **claims})])
    return b".".join([text, part(key.sign(text, padding.PKCS1v15(), hashes.SHA256()))]).decode()


@pytest.fixture
def identity_file(tmp_path):
    """The pod's identity, and a Consul whose auth method knows its issuer."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "identity").write_text(GUARD.register("identity", signed(key, iss="cluster", sub=NAME)))
    with ConsulServer(acl=True) as consul:
        config = {"JWTValidationPubKeys": [pem.decode()], "BoundIssuer": "cluster"}
        method = {"Name": NAME, "Type": "jwt", "Config": config}
        assert consul.api("PUT", "/v1/acl/auth-method", json=method).ok
        rule = {"AuthMethod": NAME, "BindType": "service", "BindName": NAME}
        assert consul.api("PUT", "/v1/acl/binding-rule", json=rule).ok
        yield tmp_path / "identity", consul


@pytest.mark.slow
def test_the_sidecar_renews_the_token_and_gives_it_back(identity_file, tmp_path):
    identity, consul = identity_file
    (sidecar,) = AGENTLESS["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    (script,) = sidecar["args"]
    script = script.replace("/run/secrets/identity/token", str(identity)).replace("/run/consul", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "consul").symlink_to(consul_binary())
    file = tmp_path / "token"

    def token():
        return GUARD.register("token of a sidecar", file.read_text())

    def is_valid(secret):
        return consul.api("GET", "/v1/acl/token/self", headers={"X-Consul-Token": secret}).ok

    environment = {**clean_environment(tmp_path), "CONSUL_HTTP_ADDR": consul.url, "RENEW_SECONDS": "1"}
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    with ServerProcess("sidecar") as running:
        running.launch([*sidecar["command"], script], environment=environment)
        running.wait_ready(file.exists)
        first = token()
        assert is_valid(first)
        wait_until(lambda: token() != first, message="another token")
        assert is_valid(token())
        wait_until(lambda: not is_valid(first), message="the first one to be given back")
        last = token()
        assert running.stop() == 0, GUARD.check(running.log(), "the sidecar's log")
        assert not is_valid(last)
        GUARD.check(running.log(), "the sidecar's log")
