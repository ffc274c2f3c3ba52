#!/usr/bin/env python3
"""Replays the examples of the contract against a running Portico and validates each reply by the contract's own schema.

    scripts/replay.sh [--only TEXT] [--least NUMBER] [--verbose]

A folder of the contract holds swagger files and, beside them or in other folders, the examples that their operations name.
Nothing of it is part of this repository: PORTICO_CONTRACT names the folder (default: ../shared/contract). Without one the
replay says so and ends well.

For each example, what its path and its body refer to is created first: parents, the item itself where the operation needs
one, products, users and loggers that the body names. A reply passes when its status is one of the operation's and its body
keeps the schema of that status. An operation that Portico does not have counts as missing, not as failed.
"""

import argparse
import json
import os
import pathlib
import re
import sys
import time
import urllib.parse
import warnings

from demo import Processes, http, start_portico, temporary_folder

warnings.filterwarnings("ignore", category=DeprecationWarning)
import jsonschema  # noqa: E402

METHODS = ("get", "put", "patch", "post", "delete", "head")
PROVIDER = "/providers/Microsoft.ApiManagement"
POLICY = "<policies><inbound><base /></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"
RESOLVER_POLICY = "<http-data-source><http-request><set-method>GET</set-method><set-url>https://example.org/</set-url></http-request></http-data-source>"
# The example of Portico's own document: a certificate without a key.
CERTIFICATE = json.loads((pathlib.Path(__file__).resolve().parent.parent / "openapi/management.json").read_text("utf-8"))[
    "paths"]["/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ApiManagement/service/{serviceName}/certificates/{certificateId}"][
    "get"]["responses"]["200"]["content"]["application/json"]["example"]["properties"]["data"]
# The least that makes one of each kind; the key is the type below the service.
LEAST = {
    "workspaces": {"displayName": "{name}"},
    "apis": {"displayName": "{name}", "path": "path-of-{slug}", "protocols": ["https"], "serviceUrl": "https://example.org/{slug}"},
    "apis/operations": {"displayName": "{name}", "method": "GET", "urlTemplate": "/{slug}", "templateParameters": []},
    "apis/issues": {"title": "{name}", "description": "{name}", "userId": "/users/1"},
    "apis/issues/comments": {"text": "{name}", "userId": "/users/1"},
    "apis/issues/attachments": {"title": "{name}", "contentFormat": "image/jpeg", "content": "IEJhc2U2NA=="},
    "apis/releases": {"apiId": "/apis/{parent}", "notes": "{name}"},
    "apis/schemas": {"contentType": "application/vnd.oai.openapi.components+json", "document": {"components": {"schemas": {}}}},
    "apis/diagnostics": {"loggerId": "/loggers/azuremonitor"},
    "apis/resolvers": {"displayName": "{name}", "path": "Query/{slug}"},
    "apis/resolvers/policies": {"format": "xml", "value": RESOLVER_POLICY},
    "apis/wikis": {"documents": []},
    "apis/tagDescriptions": {"description": "{name}"},
    "apis/policies": {"format": "xml", "value": POLICY},
    "apis/operations/policies": {"format": "xml", "value": POLICY},
    "products": {"displayName": "{name}", "state": "published"},
    "products/policies": {"format": "xml", "value": POLICY},
    "products/wikis": {"documents": []},
    "products/apiLinks": {"apiId": "/apis/echo-api"},
    "products/groupLinks": {"groupId": "/groups/developers"},
    "policies": {"format": "xml", "value": POLICY},
    "users": {"firstName": "Ann", "lastName": "Novak", "email": "{slug}@example.org"},
    "groups": {"displayName": "{name}"},
    "subscriptions": {"scope": "/apis", "displayName": "{name}"},
    "tags": {"displayName": "{name}"},
    "tags/apiLinks": {"apiId": "/apis/echo-api"},
    "tags/productLinks": {"productId": "/products/starter"},
    "tags/operationLinks": {"operationId": "/apis/echo-api/operations/retrieve-resource"},
    "apiVersionSets": {"displayName": "{name}", "versioningScheme": "Segment"},
    "authorizationServers": {
        "displayName": "{name}", "clientRegistrationEndpoint": "https://example.org/apps", "authorizationEndpoint": "https://example.org/auth",
        "grantTypes": ["implicit"], "clientId": "1", "clientSecret": "2"},
    "openidConnectProviders": {"displayName": "{name}", "metadataEndpoint": "https://example.org/meta", "clientId": "1", "clientSecret": "2"},
    "identityProviders": {"clientId": "1", "clientSecret": "2"},
    "backends": {"url": "https://example.org/", "protocol": "http"},
    "caches": {"connectionString": "{{cache}}", "useFromLocation": "default"},
    "certificates": {"data": CERTIFICATE},
    "privateEndpointConnections": {"privateLinkServiceConnectionState": {"status": "Pending"}},
    "contentTypes": {"name": "{name}"},
    "contentTypes/contentItems": {"en_us": {"title": "{name}"}},
    "diagnostics": {"loggerId": "/loggers/azuremonitor"},
    "loggers": {"loggerType": "applicationInsights", "credentials": {"instrumentationKey": "1"}},
    "namedValues": {"displayName": "{slug}", "value": "1", "secret": False},
    "policyFragments": {"format": "xml", "value": "<fragment></fragment>"},
    "policyRestrictions": {"scope": "/", "requireBase": "true"},
    "portalRevisions": {"description": "{name}"},
    "schemas": {"schemaType": "json", "document": {"type": "object"}},
    "documentations": {"title": "{name}", "content": "text"},
    "gateways": {"locationData": {"name": "here"}},
    "gateways/hostnameConfigurations": {"hostname": "gateway.example.org", "certificateId": "/certificates/one"},
    "gateways/certificateAuthorities": {"isTrusted": True},
    "authorizationProviders": {"displayName": "{name}", "identityProvider": "aad"},
    "authorizationProviders/authorizations": {"authorizationType": "OAuth2", "oauth2grantType": "ClientCredentials"},
    "authorizationProviders/authorizations/accessPolicies": {"tenantId": "1", "objectId": "2"},
}
# What Portico refuses on purpose, with a sentence that says why.
REFUSED = {
    "ApiManagementBackupWithAccessKey": "there is no Azure storage; the state is the database",
    "ApiManagementBackupWithUserAssignedManagedIdentity": "there is no Azure storage; the state is the database",
    "ApiManagementRefreshCertificate": "the certificate is in no key vault",
    "ApiManagementRefreshWorkspaceCertificate": "the certificate is in no key vault",
    "ApiManagementTenantConfigurationDeploy": "the configuration is not kept in git",
    "ApiManagementTenantConfigurationSave": "the configuration is not kept in git",
    "ApiManagementTenantConfigurationValidate": "the configuration is not kept in git",
    "ApiManagementCreateMultiRegionServiceWithCustomHostname": "the certificates of the example are placeholders",
    "ApiManagementUpdateQuotaCounterKeyByQuotaPeriod": "no call was counted by this key",
    "ApiManagementGetOperationStatus": "the operation of the example is of another installation",
    "ApiManagementGetOperationResult": "the operation of the example is of another installation",
    "ApiManagementCreateODataApi": "OData documents cannot be imported",
    "ApiManagementCreateGrpcApi": "gRPC documents cannot be imported",
}
# Links: their PUT has no body, or one that says nothing.
LINKS = {
    "apis/tags", "apis/operations/tags", "products/tags", "products/apis", "products/groups", "groups/users", "gateways/apis",
    "notifications/recipientUsers", "notifications/recipientEmails",
}
# Kinds that the content of a workspace refers to although they stand in the service alone.
SHARED = {"users", "authorizationServers", "openidConnectProviders"}
# What stands before a link's target.
TARGETS = {"tags": "tags", "apis": "apis", "groups": "groups", "users": "users", "recipientUsers": "users"}


class Contract:
    """The swagger files of a folder and the examples that they name."""

    def __init__(self, folder):
        self.files, self.examples, self.operations = {}, {}, []
        for path in sorted(folder.rglob("*.json")):
            if path.parent.name == "examples":
                self.examples.setdefault(path.name, path)
        for path in sorted(folder.rglob("*.json")):
            if path.parent.name == "examples":
                continue
            content = json.loads(path.read_text("utf-8-sig"))
            if not isinstance(content, dict) or "swagger" not in content:
                continue
            self.files[path] = content
        for path, content in self.files.items():
            for template, item in content.get("paths", {}).items():
                for method in METHODS:
                    if method in item:
                        self.operations.append((path, content["info"]["version"], template, method, item[method]))

    def resolve(self, file, reference):
        """What a reference means, and in which file."""
        name, _, pointer = reference.partition("#")
        if name:
            wanted = (file.parent / name).resolve()
            if wanted not in self.files:
                # Common types lie elsewhere in a copy of the contract.
                tail = "/".join(pathlib.Path(name).parts[-2:])
                known = [known for known in self.files if str(known).endswith(tail) or known.name == pathlib.Path(name).name]
                known = [k for k in known if k.parent == file.parent] or known
                if not known:
                    return file, {}
                wanted = known[0]
            file = wanted
        value = self.files[file]
        for part in pointer.strip("/").split("/"):
            value = value.get(part, {})
        return file, value

    def schema(self, file, schema, depth=0):
        """A JSON schema without references; what a swagger cannot say of replies is left open."""
        if depth > 12 or not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            return self.schema(*self.resolve(file, schema["$ref"]), depth + 1)
        out = {}
        for word in ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "required"):
            if word in schema:
                out[word] = schema[word]
        if schema.get("x-ms-enum", {}).get("modelAsString"):
            # An open list: new values are no break of the contract.
            out.pop("enum", None)
        for word in ("items", "additionalProperties"):
            if isinstance(schema.get(word), dict):
                out[word] = self.schema(file, schema[word], depth + 1)
        if "allOf" in schema:
            out["allOf"] = [self.schema(file, part, depth + 1) for part in schema["allOf"]]
        if "properties" in schema:
            secret = {name for name, part in schema["properties"].items() if isinstance(part, dict) and part.get("x-ms-secret")}
            out["properties"] = {name: self.schema(file, part, depth + 1) for name, part in schema["properties"].items()}
            if "required" in out:
                out["required"] = [name for name in out["required"] if name not in secret]
        # Unset values are null on the wire (contract).
        if isinstance(out.get("type"), str):
            out["type"] = [out["type"], "null"]
            if "enum" in out:
                out["enum"] = [*out["enum"], None]
        return out

    def cases(self):
        """Operation and example, each once."""
        seen = set()
        for file, version, template, method, operation in self.operations:
            for reference in operation.get("x-ms-examples", {}).values():
                name = pathlib.Path(reference["$ref"]).name
                found = self.examples.get(name)
                place = (method, re.sub(r"\{[^}]*\}", "{}", template).lower(), name)
                if found and place not in seen:
                    seen.add(place)
                    yield file, version, template, method, operation, found


class Replay:
    def __init__(self, url, token, contract):
        self.url, self.contract = url.rstrip("/"), contract
        self.headers = {"Authorization": "Bearer " + token}
        self.made = set()

    def send(self, method, path, version, body=None, query=None, headers=None):
        query = {"api-version": version, **(query or {})}
        url = self.url + urllib.parse.quote(path, safe="/;=$@") + "?" + urllib.parse.urlencode(query)
        return http(method.upper(), url, {**self.headers, **(headers or {})}, body, timeout=60)

    def service(self, root, name, version):
        """The service of an example, activated; names are unique, so one elsewhere is removed."""
        path = f"{root}/service/{name}"
        reply = self.send("get", path, version)
        if reply.status == 200:
            state = reply.json()["properties"].get("provisioningState")
        else:
            body = {"location": "West US", "sku": {"name": "Developer", "capacity": 1},
                    "properties": {"publisherEmail": "admin@example.org", "publisherName": "replay"}}
            made = self.send("put", path, version, body)
            if made.status == 409:
                self.free(name, version)
                made = self.send("put", path, version, body)
            if made.status not in (200, 201):
                raise RuntimeError(f"service {path}: {made}")
            state = "Created"
        for _ in range(600):
            if state in ("Succeeded", None):
                if reply.status != 200:
                    # The examples' Echo API is not the one that comes with a service.
                    self.send("delete", f"{path}/apis/echo-api", version, query={"deleteRevisions": "true"}, headers={"If-Match": "*"})
                return
            state = self.send("get", path, version).json()["properties"].get("provisioningState")
            time.sleep(0.05)
        raise RuntimeError(f"{path} was not activated")

    def gateway(self, path, below, method, version):
        """The gateway of the installation that an example is about, and the connection; what the example creates is removed."""
        if method == "put" and not below:
            self.send("delete", path, version)
            return
        if self.send("head", path, version).status != 200:
            body = {"location": "West US", "sku": {"name": "Standard", "capacity": 1}, "properties": {}}
            self.send("put", path, version, body)
        if method in ("get", "delete") and below.count("/") == 2:
            self.send("put", path + below, version, {"properties": {}})

    def free(self, name, version):
        for root in list(self.made):
            self.send("delete", f"{root}/service/{name}", version)
            subscription = root.split("/")[2]
            for location in ("westus", "eastus", "centralus"):
                self.send("delete", f"/subscriptions/{subscription}{PROVIDER}/locations/{location}/deletedservices/{name}", version)

    def body(self, kind, name, parent, version):
        """The least body of a kind."""
        properties = LEAST[kind]
        slug = re.sub(r"[^A-Za-z0-9-]", "-", name)
        text = json.dumps(properties)
        text = text.replace("{name}", name.replace('"', "")).replace("{slug}", slug).replace("{parent}", parent)
        return {"properties": json.loads(text)}

    def create(self, service, pairs, version, owner=None):
        """Creates what stands at the end of these pairs, and what it needs."""
        if pairs and pairs[0][0] in SHARED:
            service = service.split("/workspaces/")[0]
        for depth in range(1, len(pairs) + 1):
            kind = "/".join(segment for segment, _ in pairs[:depth])
            path = service + "".join(f"/{s}/{n}" for s, n in pairs[:depth])
            segment, name = pairs[depth - 1]
            if kind in LINKS:
                target = TARGETS.get(segment)
                if target:
                    self.create(service, [(target, name)], version)
                self.send("put", path, version, {})
                continue
            if kind == "users/subscriptions":
                self.create(service, [("subscriptions", name)], version, pairs[0][1])
            if kind not in LEAST or LEAST[kind] is None:
                continue
            if self.send("head", path, version).status in (200, 204):
                continue
            parent = pairs[depth - 2][1] if depth > 1 else ""
            body = self.body(kind, name, parent, version)
            if kind == "users":
                body["properties"]["email"] = f"{re.sub('[^a-z0-9]', '-', name.lower())}@example.org"
            if kind == "subscriptions" and owner:
                body["properties"]["ownerId"] = f"/users/{owner}"
            if kind == "apis" and ";rev=" in name:
                plain, _, revision = name.partition(";rev=")
                self.create(service, [("apis", plain)], version)
                if revision == "1":
                    continue
                body["properties"] |= {"sourceApiId": f"/apis/{plain}", "apiRevision": revision, "path": self.path_of(service, plain, version)}
            self.referred(service, body, version)
            if kind == "apis/tagDescriptions":
                self.create(service, [*pairs[:depth - 1], ("tags", name)], version)
            self.send("put", path, version, body, headers={"If-Match": "*"})

    def path_of(self, service, api, version):
        return self.send("get", f"{service}/apis/{api}", version).json()["properties"]["path"]

    def referred(self, service, value, version):
        """Creates what texts of a body refer to."""
        if isinstance(value, dict):
            for name, part in value.items():
                if name in ("authorizationServerId", "openidProviderId") and isinstance(part, str):
                    segment = "authorizationServers" if name == "authorizationServerId" else "openidConnectProviders"
                    self.create(service, [(segment, part.rsplit("/", 1)[-1])], version)
                if name == "documentationId" and isinstance(part, str):
                    self.create(service, [("documentations", part.rsplit("/", 1)[-1])], version)
                self.referred(service, part, version)
        elif isinstance(value, list):
            for part in value:
                self.referred(service, part, version)
        elif isinstance(value, str):
            for name in re.findall(r"\{\{([A-Za-z0-9._-]+)\}\}", value):
                named = {"properties": {"displayName": name, "value": "1"}}
                self.send("put", f"{service}/namedValues/{name}", version, named)
            below = re.sub(r"^(/?subscriptions/.*?/service/[^/]+)?(/workspaces/[^/]+)?/", "/", value)
            parts = below.strip("/").split("/")
            if len(parts) % 2 == 0 and len(parts) <= 4 and parts[0] in LEAST and "\n" not in value and "<" not in value:
                self.create(service, list(zip(parts[::2], parts[1::2])), version)

    def run(self, file, version, template, method, operation, example):
        given = json.loads(example.read_text("utf-8-sig"))
        parameters = given["parameters"]
        version = str(parameters.get("api-version", version))
        path, query, headers, body = template.split("?")[0], {}, {}, None
        if "?" in template:
            query.update(urllib.parse.parse_qsl(template.split("?")[1]))
        declared = {}
        for parameter in [*operation.get("parameters", []), *self.contract.files[file]["paths"][template].get("parameters", [])]:
            if "$ref" in parameter:
                _, parameter = self.contract.resolve(file, parameter["$ref"])
            declared[parameter.get("name")] = parameter.get("in")
        for name, place in declared.items():
            if name not in parameters or name == "api-version":
                continue
            value = parameters[name]
            if place == "path":
                path = path.replace("{%s}" % name, str(value))
            elif place == "query":
                query[name] = str(value).lower() if isinstance(value, bool) else str(value)
            elif place == "header":
                headers[name] = str(value)
            elif place == "body":
                body = value
        path = re.sub(r"\{(\w+)\}", lambda m: str(parameters.get(m[1], m[1])), path)
        gateway = re.match(r"(?i)(/subscriptions/[^/]+/resourceGroups/[^/]+" + PROVIDER + r"/gateways/[^/]+)(.*)", path)
        if gateway:
            self.gateway(gateway[1], gateway[2], method, version)
        pieces = re.match(r"(?i)(/subscriptions/[^/]+/resourceGroups/[^/]+" + PROVIDER + r")/service/([^/]+)(.*)", path)
        if pieces:
            root, name, rest = pieces.groups()
            self.made.add(root)
            creates = method == "put" and not rest
            if creates and isinstance(body, dict) and body.get("properties", {}).get("restore"):
                self.service(root, name, version)
                self.send("delete", f"{root}/service/{name}", version)
            elif not creates:
                self.service(root, name, version)
            elif self.send("get", path, version).status != 200:
                self.free(name, version)
            service = f"{root}/service/{name}"
            inside = re.match(r"/workspaces/([^/]+)(/.+)", rest)
            link = re.fullmatch(r"/workspaceLinks/([^/]+)", rest)
            if inside or link:
                workspace = (inside or link)[1]
                self.create(service, [("workspaces", workspace)], version)
            if inside:
                service, rest = f"{service}/workspaces/{workspace}", inside[2]
            segments = [s for s in rest.split("/") if s]
            pairs = list(zip(segments[::2], segments[1::2]))
            if len(segments) % 2 == 0 and method == "put":
                # The item is the example's own; a link's target is not.
                kind = "/".join(s for s, _ in pairs)
                if kind in LINKS and pairs:
                    target = TARGETS.get(pairs[-1][0])
                    if target:
                        self.create(service, [(target, pairs[-1][1])], version)
                self.create(service, pairs[:-1], version)
            else:
                self.create(service, pairs, version)
            self.referred(service, body, version)
        if method in ("put", "patch", "delete") and "If-Match" in declared:
            headers["If-Match"] = "*"
        # The examples' future is the past by now.
        if isinstance(body, dict):
            for holder in (body, body.get("properties")):
                # Stars stand for a file.
                if isinstance(holder, dict) and str(holder.get("data", "")).startswith("***"):
                    holder["data"] = CERTIFICATE
                if isinstance(holder, dict) and "expiry" in holder:
                    holder["expiry"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7 * 86400))
        reply = self.send(method, path, version, body, query, headers)
        try:
            return self.judge(file, operation, given, reply)
        finally:
            if pieces and pairs and method == "put" and len(segments) % 2 == 0 and pairs[-1][0] in ("apis", "namedValues", "users"):
                # Paths, display names and addresses are unique.
                self.send("delete", path, version, headers={"If-Match": "*"}, query={"deleteRevisions": "true", "deleteSubscriptions": "true"})

    def judge(self, file, operation, given, reply):
        allowed = {int(s) for s in operation["responses"] if s.isdigit()}
        text = reply.body.decode("utf-8", "replace") if isinstance(reply.body, bytes) else str(reply.body or "")
        code = ""
        if reply.status >= 400 and text:
            try:
                code = json.loads(text)["error"]["code"]
            except (ValueError, KeyError, TypeError):
                code = text[:80]
        if code in ("InvalidResourceType", "MethodNotAllowed") and reply.status in (404, 405):
            return "missing", f"{reply.status} {code}"
        if "is not known" in text and "names the host" in text:
            return "offline", "the example's document lies in the internet"
        if reply.status not in allowed:
            return "FAIL", f"status {reply.status}, wanted {sorted(allowed)}: {text[:400]}"
        response = operation["responses"].get(str(reply.status), {})
        if "$ref" in response:
            file, response = self.contract.resolve(file, response["$ref"])
        if "schema" in response and text:
            schema = self.contract.schema(file, response["schema"])
            problems = sorted(jsonschema.Draft4Validator(schema).iter_errors(json.loads(text)), key=lambda e: list(map(str, e.path)))
            if problems:
                first = problems[0]
                return "FAIL", f"schema: {'/'.join(map(str, first.path))}: {first.message[:300]}"
        elif "schema" in response and reply.status == 200:
            return "FAIL", "a body was expected"
        return "pass", str(reply.status)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portico", type=pathlib.Path, required=True, help="the program")
    parser.add_argument("--contract", type=pathlib.Path, required=True, help="the folder of the contract")
    parser.add_argument("--only", default="", help="only examples whose name or path holds this text")
    parser.add_argument("--least", type=int, help="fail only when fewer examples pass")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    contract = Contract(options.contract.resolve())
    if not contract.examples:
        print(f"{options.contract} holds no examples")
        return 1
    folder, count, failures = temporary_folder(), {}, []
    processes = Processes(folder, options.verbose)
    try:
        url, token = start_portico(processes, options.portico, folder, PORTICO_GATEWAY_DOMAIN="gateway.localhost")
        replay = Replay(url, token, contract)
        for case in contract.cases():
            file, version, template, method, operation, example = case
            if options.only.lower() not in f"{template} {example.stem}".lower():
                continue
            try:
                verdict, why = replay.run(*case)
            except Exception as error:  # noqa: BLE001 - the table tells of every example
                verdict, why = "FAIL", f"{type(error).__name__}: {error}"
            if verdict == "FAIL" and example.stem in REFUSED:
                verdict, why = "refused", REFUSED[example.stem]
            count[verdict] = count.get(verdict, 0) + 1
            if verdict == "FAIL":
                failures.append(example.stem)
            print(f"{verdict:8}{operation['operationId']:52}{example.stem:60}{why}", flush=True)
    finally:
        processes.stop()
    total = sum(count.values())
    print(f"\n{count.get('pass', 0)} of {total} examples pass, {count.get('FAIL', 0)} fail, {count.get('missing', 0)} are of operations that are missing, "
          f"{count.get('refused', 0)} are refused on purpose, {count.get('offline', 0)} need the internet")
    if options.least is not None:
        return 1 if count.get("pass", 0) < options.least else 0
    return 1 if failures else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    sys.exit(main())
