"""Holds what deploys Pawl against its schemas and against our own rules; prints what breaks one."""

import sys
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
wrong = []


def rule(holds, what):
    if not holds:
        wrong.append(what)


def pod(name, spec):
    security = spec.get("securityContext", {})
    rule(security.get("runAsNonRoot") and security.get("runAsUser", 0) > 0, f"{name} may run as root")
    rule(security.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{name} has no seccomp profile")
    rule(spec.get("automountServiceAccountToken") is False, f"{name} gets a token of the cluster's")
    for box in spec["containers"] + spec.get("initContainers", []):
        inside, of = box.get("securityContext", {}), f"{name}/{box['name']}"
        rule(inside.get("allowPrivilegeEscalation") is False, f"{of} may gain privileges")
        rule(inside.get("readOnlyRootFilesystem") is True, f"{of} may write to its root")
        rule(inside.get("capabilities") == {"drop": ["ALL"]}, f"{of} keeps capabilities")
        rule(box.get("resources", {}).get("limits", {}).get("memory"), f"{of} has no limit")
        rule(box["image"] in ("pawl", "pawl-sync"), f"{of} is another image than ours")


def kubernetes():
    folder, policies, files = ROOT / "deploy/kubernetes", {}, set()
    for file in sorted(folder.glob("*.yaml")):
        if file.name == "kustomization.yaml":
            listed = set(yaml.safe_load(file.read_text())["resources"])
            continue
        files.add(file.name)
        for thing in yaml.safe_load_all(file.read_text()):
            name = f"{file.name} {thing['kind']}/{thing['metadata']['name']}"
            try:
                kubernetes_validate.validate(thing, "1.31", strict=True)
            except kubernetes_validate.ValidationError as error:
                wrong.append(f"{name}: {error.message}")
            spec = thing.get("spec", {})
            if thing["kind"] == "CronJob":
                spec = spec["jobTemplate"]["spec"]
            if "template" in spec:
                pod(name, spec["template"]["spec"])
            if thing["kind"] == "NetworkPolicy":
                policies[thing["metadata"]["name"]] = (file.name, spec)
    rule(listed == files - {"checks.yaml"}, f"kustomization.yaml lists {sorted(listed)}")
    rule(policies["nobody"][1] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, "somebody may speak")
    private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"}
    for name, (file, spec) in policies.items():
        for way in spec.get("egress", []):
            for to in way["to"]:
                block = to.get("ipBlock", {})
                rule(name in ("worker", "vault-checks") or not block, f"{name} leads to the internet")
                rule(file == "checks.yaml" or name != "vault-checks", "the vault calls out unasked")
                if block.get("cidr") == "0.0.0.0/0":
                    rule(private <= set(block["except"]), f"{name} leads to private addresses")
                if name == "worker":
                    rule("namespaceSelector" not in to, "the worker reaches another namespace, as the database's")
                    rule(all(port["port"] in (443, 7295) for port in way["ports"]), "the worker has other ports")


def compose():
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = whole["services"]
    for name in ("init", "vault", "worker"):
        service = services[name]
        rule(service["read_only"] and service["cap_drop"] == ["ALL"], f"compose {name} is not hardened")
        rule(service["security_opt"] == ["no-new-privileges:true"], f"compose {name} may gain privileges")
    for name, service in services.items():
        rule("build" in service or "@sha256:" in service["image"], f"compose {name}: its image has no digest")
        rule(not service.get("privileged") and "ports" not in service, f"compose {name} is open")
        for secret in service.get("secrets", []):
            rule(secret in whole["secrets"], f"compose {name}: no secret {secret}")
    mounts = {name: [v.split(":")[0] for v in service.get("volumes", [])] for name, service in services.items()}
    rule(services["postgres"]["network_mode"] == "none", "the database is on a network")
    rule(not {"socket", "rows", "keys"} & set(mounts["worker"]), "the worker reaches the database or a key")
    rule("keys" not in mounts["postgres"], "the database reaches the key")
    rule("keys:/keys:ro" in services["vault"]["volumes"], "the vault may change its key")
    rule(whole["networks"]["inside"]["internal"] and services["vault"]["networks"] == ["inside"], "the vault is on the internet")
    rule("migrate_url" not in services["vault"]["secrets"], "the vault may change its tables")


def dockerfile():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    targets, user, known = {}, {}, "FROM RUN COPY ENV LABEL WORKDIR USER EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD"
    for line in lines:
        words = line.split() or ["#"]
        rule(line[:1] in ("#", " ", "") or words[0] in known.split(), f"Dockerfile: no instruction {words[0]}")
        if line.startswith("FROM "):
            at = words[3]
            targets[at] = words[1]
        elif line.startswith("USER "):
            user[at] = words[1]
        rule("pawl-demo" not in line or at == "build", "the demo is in an image")
    rule(list(targets) == ["build", "vault", "worker"], f"targets {list(targets)}")
    for at, base in targets.items():
        digest = base.partition("@sha256:")[2]
        rule(len(digest) == 64 and set(digest) <= set("0123456789abcdef"), f"{at} has no digest")
        rule(at == "build" or user.get(at) == "65532:65532", f"{at} does not run as its own user")


kubernetes()
compose()
dockerfile()
print("\n".join(wrong))
sys.exit(bool(wrong))
