"""Drives a running Portico with the unmodified Azure SDK for Python, azure-mgmt-apimanagement 4.0.0 or 5.0.0.

Usage: python journey.py MANAGEMENT_URL TOKEN SERVICE_NAME

Every operation of the kinds in KINDS is called; what comes back is compared. The first difference, and an
operation that was never called, ends the program with a traceback. The last line says how much was checked.
"""

import sys
from datetime import datetime, timedelta, timezone

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import HeadersPolicy
from azure.mgmt.apimanagement import ApiManagementClient
from azure.mgmt.apimanagement import models as m

management, token, name = sys.argv[1:4]
group, subscription = "demo-rg", "00000000-0000-0000-0000-000000000001"
checked = 0

# The SDK's groups of operations for the kinds of the journey.
KINDS = """
    api api_management_service api_operation api_operation_policy api_policy api_product api_release api_revision
    deleted_services email_template group operation tag_resource
    group_user named_value notification notification_recipient_email notification_recipient_user policy product product_api
    product_group product_policy product_subscriptions subscription tenant_access user user_confirmation_password user_group
    user_identities user_subscription
""".split()
# Operations of these groups that are about something else: backups, networks, custom domains, the old portal.
ELSEWHERE = {
    ("api_management_service", "begin_apply_network_configuration_updates"),
    ("api_management_service", "begin_backup"),
    ("api_management_service", "begin_migrate_to_stv2"),
    ("api_management_service", "begin_restore"),
    ("api_management_service", "get_domain_ownership_identifier"),
    ("api_management_service", "get_sso_token"),
}


class Nobody:
    """The SDK wants a credential; the header below is what authenticates."""

    def get_token(self, *scopes, **options):
        raise AssertionError("the authentication policy does not ask for a token")


# The SDK's own bearer policy refuses plain http, even on loopback; any policy may take its place.
sdk = ApiManagementClient(
    Nobody(),
    subscription,
    base_url=management,
    authentication_policy=HeadersPolicy(base_headers={"Authorization": f"Bearer {token}"}),
    polling_interval=1,
)
# Gateways of the installation: the older SDK has none.
if hasattr(sdk, "api_gateway"):
    KINDS += ["api_gateway", "api_gateway_config_connection", "api_management_gateway_skus"]
called = set()


class Recorded:
    """A group of the SDK's operations that notes which of them were called."""

    def __init__(self, kind):
        self.kind, self.operations = kind, getattr(sdk, kind)

    def __dir__(self):
        return dir(self.operations)

    def __getattr__(self, operation):
        called.add((self.kind, operation))
        return getattr(self.operations, operation)


class Client:
    """The SDK's client, with its groups recorded."""

    def __getattr__(self, kind):
        return Recorded(kind)


client = Client()


def check(actual, expected):
    global checked
    checked += 1
    assert actual == expected, f"expected {expected!r}, got {actual!r}"


def refused(status, call):
    try:
        call()
    except HttpResponseError as error:
        check(error.status_code, status)
        return error
    raise AssertionError(f"the call should have been refused with {status}")


def violations(call):
    """What a refused body did wrong: the fields, in order."""
    error = refused(400, call).error
    check(error.code, "ValidationError")
    return [detail.target for detail in error.details]


def absent(call):
    """Some checks of the SDK answer False for what is absent, some raise."""
    try:
        there = call()
    except ResourceNotFoundError:
        there = False
    check(there, False)


STALE = '"AAAAAAAAD00="'


def stale(call):
    check(refused(412, call).error.code, "PreconditionFailed")


def etag_of(operations, *place):
    return operations.get(group, name, *place, cls=lambda reply, body, headers: headers["ETag"])


def listed(items):
    """Some lists of the SDK are pages, some are a model with a value."""
    return list(getattr(items, "value", items))


def names(items):
    return [item.name for item in listed(items)]


# --- services -----------------------------------------------------------------------------------------------------------
services = client.api_management_service
refused(404, lambda: services.get(group, name))
check(services.check_name_availability({"name": name}).name_available, True)
check(services.check_name_availability({"name": "-no-"}).reason, "Invalid")
created = services.begin_create_or_update(
    group,
    name,
    m.ApiManagementServiceResource(
        location="West US",
        sku=m.ApiManagementServiceSkuProperties(name="Developer", capacity=1),
        publisher_email="admin@example.org",
        publisher_name="demoazureml",
    ),
).result()
check((created.name, created.provisioning_state, created.location), (name, "Succeeded", "West US"))
check(services.check_name_availability({"name": name}).reason, "AlreadyExists")
check(name in names(services.list()), True)
check(names(services.list_by_resource_group(group)), [name])
updated = services.begin_update(group, name, m.ApiManagementServiceUpdateParameters(publisher_name="Demo 2")).result()
check((updated.publisher_name, updated.publisher_email), ("Demo 2", "admin@example.org"))
service = services.get(group, name)
check(
    (service.type, service.sku.name, service.sku.capacity, service.gateway_url.startswith("http")),
    ("Microsoft.ApiManagement/service", "Developer", 1, True),
)
bad = violations(
    lambda: services.begin_create_or_update(
        group,
        name + "x",
        m.ApiManagementServiceResource(
            location="West US",
            sku=m.ApiManagementServiceSkuProperties(name="Developer", capacity=1),
            publisher_email="nobody",
            publisher_name="x",
        ),
    ).result(),
)
check(bad, ["publisherEmail"])

# --- gateways of the installation ---------------------------------------------------------------------------------------
if "api_gateway" in KINDS:
    gateways, connections = client.api_gateway, client.api_gateway_config_connection
    subnet = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
    wanted = m.ApiManagementGatewayResource(
        location="West US",
        sku=m.ApiManagementGatewaySkuProperties(name="Standard", capacity=1),
        backend=m.BackendConfiguration(subnet=m.BackendSubnetConfiguration(id=subnet)),
        virtual_network_type="External",
    )
    created = gateways.begin_create_or_update(group, "edge", wanted).result()
    check((created.name, created.provisioning_state, created.backend.subnet.id), ("edge", "Succeeded", subnet))
    # What was read can be sent back.
    check(gateways.begin_create_or_update(group, "edge", gateways.get(group, "edge")).result().created_at_utc, created.created_at_utc)
    more = m.ApiManagementGatewayUpdateParameters(sku=m.ApiManagementGatewaySkuPropertiesForPatch(name="Standard", capacity=2), tags={"a": "b"})
    changed = gateways.begin_update(group, "edge", more).result()
    check((changed.sku.capacity, changed.tags, changed.virtual_network_type), (2, {"a": "b"}, "External"))
    check((names(gateways.list()), names(gateways.list_by_resource_group(group))), (["edge"], ["edge"]))
    tiers = [tier.sku.name for tier in client.api_management_gateway_skus.list_available_skus(group, "edge")]
    check(tiers, ["Standard", "WorkspaceGatewayStandard", "WorkspaceGatewayPremium"])
    shop = m.ApiManagementGatewayConfigConnectionResource(source_id=service.id, hostnames=["shop.example.org"])
    made = connections.begin_create_or_update(group, "edge", "shop", shop).result()
    check((made.source_id, made.hostnames, made.provisioning_state), (service.id, ["shop.example.org"], "Succeeded"))
    check(connections.get(group, "edge", "shop").default_hostname in service.gateway_url, True)
    check(names(connections.list_by_gateway(group, "edge")), ["shop"])
    check(refused(412, lambda: connections.begin_delete(group, "edge", "shop", STALE).result()).error.code, "PreconditionFailed")
    connections.begin_delete(group, "edge", "shop", "*").result()
    connections.begin_delete(group, "edge", "shop", "*").result()
    refused(404, lambda: connections.get(group, "edge", "shop"))
    gateways.begin_delete(group, "edge").result()
    refused(404, lambda: gateways.get(group, "edge"))

# --- APIs ---------------------------------------------------------------------------------------------------------------
api = client.api.begin_create_or_update(
    group,
    name,
    "azureml-demo",
    m.ApiCreateOrUpdateParameter(
        display_name="AzureML Demo API",
        service_url="https://ussouthcentral.services.azureml.net",
        path="azureml-demo",
        protocols=["https"],
    ),
).result()
check((api.name, api.path, api.protocols), ("azureml-demo", "azureml-demo", ["https"]))
check(client.api.get(group, name, "azureml-demo").display_name, "AzureML Demo API")
check(client.api.get_entity_tag(group, name, "azureml-demo"), True)
etag = etag_of(client.api, "azureml-demo")
changed = client.api.update(group, name, "azureml-demo", etag, m.ApiUpdateContract(description="d"))
check((changed.description, changed.display_name), ("d", "AzureML Demo API"))
check(
    refused(412, lambda: client.api.update(group, name, "azureml-demo", etag, m.ApiUpdateContract(description="e"))).error.code,
    "PreconditionFailed",
)
check(client.api.update(group, name, "azureml-demo", "*", m.ApiUpdateContract(description="f")).description, "f")
check(names(client.api.list_by_service(group, name)), ["azureml-demo", "echo-api"])
check(names(client.api.list_by_service(group, name, filter="contains(properties/displayName,'Echo')")), ["echo-api"])
check(violations(lambda: client.api.begin_create_or_update(group, name, "bad", m.ApiCreateOrUpdateParameter(path="?")).result()), ["path"])
check(
    violations(
        lambda: client.api.begin_create_or_update(
            group, name, "bad", m.ApiCreateOrUpdateParameter(path="bad", display_name="", protocols=["https"])
        ).result()
    ),
    ["displayName"],
)
taken = m.ApiCreateOrUpdateParameter(path="azureml-demo", display_name="Twin", protocols=["https"])
check(violations(lambda: client.api.begin_create_or_update(group, name, "twin", taken).result()), ["path"])
refused(404, lambda: client.api.get_entity_tag(group, name, "nothing"))
stale(lambda: client.api.begin_create_or_update(group, name, "azureml-demo", taken, if_match=STALE).result())
check(violations(lambda: names(client.api.list_by_service(group, name, filter="colour eq 'blue'"))), ["$filter"])
check(violations(lambda: names(client.api.list_by_service(group, name, top=0))), ["$top"])
check(violations(lambda: names(client.api.list_by_service(group, name, skip=-1))), ["$skip"])
try:
    client.api.get(group, name, "nothing")
    raise AssertionError("the API should not exist")
except ResourceNotFoundError as error:
    check((error.error.code, error.error.message), ("ResourceNotFound", "Api not found."))

# --- operations ---------------------------------------------------------------------------------------------------------
base = "/workspaces/{workspace}/services/{service}"
OPERATIONS = [
    ("rrs-execute", "RRS Execute", "POST", base + "/execute?api-version={apiversion}&details={details}"),
    ("bes-submit", "BES Submit", "POST", base + "/jobs?api-version={apiversion}"),
    ("bes-start", "BES Start", "POST", base + "/jobs/{jobid}/start?api-version={apiversion}"),
    ("bes-status", "BES Status", "GET", base + "/jobs/{jobid}?api-version={apiversion}"),
    ("bes-delete", "BES Delete", "DELETE", base + "/jobs/{jobid}?api-version={apiversion}"),
]
for oid, title, method, template in OPERATIONS:
    wanted = [part.split("}")[0] for part in template.split("{")[1:]]
    operation = client.api_operation.create_or_update(
        group,
        name,
        "azureml-demo",
        oid,
        m.OperationContract(
            display_name=title,
            method=method,
            url_template=template,
            template_parameters=[m.ParameterContract(name=p, type="string", required=True) for p in wanted],
            responses=[m.ResponseContract(status_code=200, description="OK", representations=[], headers=[])],
        ),
    )
    check((operation.name, operation.url_template, operation.responses[0].status_code), (oid, template, 200))
pages = client.api_operation.list_by_api(group, name, "azureml-demo", top=2).by_page()
check([names(page) for page in pages], [["bes-delete", "bes-start"], ["bes-status", "bes-submit"], ["rrs-execute"]])
check(
    names(
        client.api_operation.list_by_api(
            group, name, "azureml-demo", filter="startswith(properties/displayName,'BES') and not (method eq 'POST')"
        )
    ),
    ["bes-delete", "bes-status"],
)
check(names(client.api_operation.list_by_api(group, name, "azureml-demo", filter="method eq 'GET'")), ["bes-status"])
check(names(client.api_operation.list_by_api(group, name, "azureml-demo", skip=3)), ["bes-submit", "rrs-execute"])
check(client.api_operation.get(group, name, "azureml-demo", "bes-start").display_name, "BES Start")
check(client.api_operation.get_entity_tag(group, name, "azureml-demo", "bes-start"), True)
check(
    client.api_operation.update(group, name, "azureml-demo", "bes-start", "*", m.OperationUpdateContract(description="Starts.")).description,
    "Starts.",
)
undeclared = m.OperationContract(display_name="x", method="GET", url_template="/{a}")
check(violations(lambda: client.api_operation.create_or_update(group, name, "azureml-demo", "bad", undeclared)), ["templateParameters"])
empty = m.OperationContract(display_name=None, method=None, url_template=None)
check(
    violations(lambda: client.api_operation.create_or_update(group, name, "azureml-demo", "bad", empty)),
    ["displayName", "method", "urlTemplate"],
)
stale(lambda: client.api_operation.update(group, name, "azureml-demo", "bes-start", STALE, m.OperationUpdateContract(description="x")))
stale(lambda: client.api_operation.delete(group, name, "azureml-demo", "bes-start", STALE))
refused(404, lambda: client.api_operation.get(group, name, "azureml-demo", "nothing"))

# --- products, groups, users --------------------------------------------------------------------------------------------
product = client.product.create_or_update(
    group, name, "gold", m.ProductContract(display_name="Gold", subscription_required=True, approval_required=True, state="published")
)
check((product.name, product.state, product.approval_required), ("gold", "published", True))
check(names(client.product.list_by_service(group, name)), ["gold", "starter", "unlimited"])
check(client.product.get(group, name, "gold").display_name, "Gold")
check(client.product.get_entity_tag(group, name, "gold"), True)
check(client.product.update(group, name, "gold", "*", m.ProductUpdateParameters(terms="Be kind.")).terms, "Be kind.")
check(violations(lambda: client.product.create_or_update(group, name, "bad", m.ProductContract(display_name="", state="shiny"))), ["displayName", "state"])
stale(lambda: client.product.update(group, name, "gold", STALE, m.ProductUpdateParameters(terms="x")))
stale(lambda: client.product.create_or_update(group, name, "gold", m.ProductContract(display_name="x"), if_match=STALE))
check(client.product_api.create_or_update(group, name, "starter", "azureml-demo").name, "azureml-demo")
check(refused(404, lambda: client.product_api.create_or_update(group, name, "starter", "nothing")).error.message, "Api not found.")
check(client.product_api.create_or_update(group, name, "gold", "azureml-demo").name, "azureml-demo")
check(client.product_api.check_entity_exists(group, name, "gold", "azureml-demo"), True)
absent(lambda: client.product_api.check_entity_exists(group, name, "gold", "echo-api"))
check(names(client.product_api.list_by_product(group, name, "gold")), ["azureml-demo"])
check(sorted(names(client.api_product.list_by_apis(group, name, "azureml-demo"))), ["gold", "starter"])

partners = client.group.create_or_update(group, name, "partners", m.GroupCreateParameters(display_name="Partners"))
check((partners.display_name, partners.built_in, partners.type_properties_type), ("Partners", False, "custom"))
check(names(client.group.list_by_service(group, name)), ["administrators", "developers", "guests", "partners"])
check(client.group.get(group, name, "guests").built_in, True)
check(client.group.get_entity_tag(group, name, "partners"), True)
check(client.group.update(group, name, "partners", "*", m.GroupUpdateParameters(description="p")).description, "p")
check(violations(lambda: client.group.create_or_update(group, name, "bad", m.GroupCreateParameters(display_name="x" * 301))), ["displayName"])
check(violations(lambda: client.group.delete(group, name, "guests", "*")), ["groupId"])
stale(lambda: client.group.delete(group, name, "partners", STALE))
check(client.product_group.create_or_update(group, name, "gold", "partners").name, "partners")
absent(lambda: client.product_group.check_entity_exists(group, name, "gold", "guests"))
check(client.product_group.check_entity_exists(group, name, "gold", "partners"), True)
check(names(client.product_group.list_by_product(group, name, "gold")), ["administrators", "partners"])

user = client.user.create_or_update(
    group,
    name,
    "ann",
    m.UserCreateParameters(
        email="ann@example.org", first_name="Ann", last_name="Bee", password="correct horse", confirmation="signup", state="active"
    ),
)
check((user.email, user.state, user.identities[0].id), ("ann@example.org", "active", "ann@example.org"))
check(names(client.user.list_by_service(group, name, filter="email eq 'ANN@example.org'")), ["ann"])
check(client.user.get(group, name, "ann").first_name, "Ann")
check(client.user.get_entity_tag(group, name, "ann"), True)
check(client.user.update(group, name, "ann", "*", m.UserUpdateParameters(note="n")).note, "n")
nameless = m.UserCreateParameters(email=None, first_name=None, last_name=None)
check(violations(lambda: client.user.create_or_update(group, name, "bad", nameless)), ["firstName", "lastName", "email"])
twin = m.UserCreateParameters(email="ann@example.org", first_name="Ann", last_name="Two")
check(violations(lambda: client.user.create_or_update(group, name, "twin", twin)), ["email"])
stale(lambda: client.user.update(group, name, "ann", STALE, m.UserUpdateParameters(note="x")))
check(refused(404, lambda: client.group_user.create(group, name, "partners", "nobody")).error.message, "User not found.")
check(client.group_user.create(group, name, "partners", "ann").name, "ann")
absent(lambda: client.group_user.check_entity_exists(group, name, "partners", "1"))
check(client.group_user.check_entity_exists(group, name, "partners", "ann"), True)
check(names(client.group_user.list(group, name, "partners")), ["ann"])
check(sorted(names(client.user_group.list(group, name, "ann"))), ["developers", "partners"])
check([i.provider for i in client.user_identities.list(group, name, "ann")], ["Basic"])
check("signin-sso?token=" in client.user.generate_sso_url(group, name, "ann").value, True)
expiry = datetime.now(timezone.utc) + timedelta(days=1)
shared = client.user.get_shared_access_token(group, name, "ann", m.UserTokenParameters(key_type="primary", expiry=expiry))
check(shared.value.split("&")[0], "ann")
client.user_confirmation_password.send(group, name, "ann")

# --- subscriptions ------------------------------------------------------------------------------------------------------
made = client.subscription.create_or_update(
    group,
    name,
    "ann-gold",
    m.SubscriptionCreateParameters(scope="/products/gold", display_name="Ann's gold", owner_id="/users/ann"),
)
check((made.state, made.scope.endswith("/products/gold"), made.owner_id.endswith("/users/ann")), ("submitted", True, True))
nowhere = m.SubscriptionCreateParameters(scope="/products/nothing", display_name="x")
check(violations(lambda: client.subscription.create_or_update(group, name, "bad", nowhere)), ["scope"])
stale(lambda: client.subscription.update(group, name, "ann-gold", STALE, m.SubscriptionUpdateParameters(state="active")))
check(client.subscription.update(group, name, "ann-gold", "*", m.SubscriptionUpdateParameters(state="active")).state, "active")
check(client.subscription.get(group, name, "ann-gold").display_name, "Ann's gold")
check(client.subscription.get_entity_tag(group, name, "ann-gold"), True)
keys = client.subscription.list_secrets(group, name, "ann-gold")
check((len(keys.primary_key), keys.primary_key != keys.secondary_key), (32, True))
client.subscription.regenerate_primary_key(group, name, "ann-gold")
again = client.subscription.list_secrets(group, name, "ann-gold")
check((again.primary_key != keys.primary_key, again.secondary_key == keys.secondary_key), (True, True))
client.subscription.regenerate_secondary_key(group, name, "ann-gold")
check(client.subscription.list_secrets(group, name, "ann-gold").secondary_key != keys.secondary_key, True)
check(names(client.subscription.list(group, name, filter="ownerId eq '/users/ann'")), ["ann-gold"])
check(names(client.subscription.list(group, name, filter="properties/scope eq '/products/gold' and state eq 'active'")), ["ann-gold"])
check(client.subscription.get(group, name, "ann-gold").primary_key, None)
check(names(client.product_subscriptions.list(group, name, "gold")), ["ann-gold"])
check(names(client.user_subscription.list(group, name, "ann")), ["ann-gold"])
check(client.user_subscription.get(group, name, "ann", "ann-gold").name, "ann-gold")

# --- policies, named values ---------------------------------------------------------------------------------------------
value = client.named_value.begin_create_or_update(
    group, name, "team", m.NamedValueCreateContract(display_name="team", value="blue", secret=True, tags=["t"]), if_match="*"
).result()
check((value.display_name, value.secret, value.value), ("team", True, None))
check(client.named_value.list_value(group, name, "team").value, "blue")
check(client.named_value.get_entity_tag(group, name, "team"), True)
check(client.named_value.get(group, name, "team").tags, ["t"])
check(names(client.named_value.list_by_service(group, name)), ["team"])
check(
    client.named_value.begin_update(group, name, "team", "*", m.NamedValueUpdateParameters(tags=["u"])).result().tags, ["u"]
)
check(client.named_value.list_value(group, name, "team").value, "blue")
stale(lambda: client.named_value.begin_update(group, name, "team", STALE, m.NamedValueUpdateParameters(value="red")).result())
changed = client.named_value.begin_update(group, name, "team", etag_of(client.named_value, "team"), m.NamedValueUpdateParameters(value="red"))
check((changed.result().secret, client.named_value.list_value(group, name, "team").value), (True, "red"))
blank = m.NamedValueCreateContract(display_name="a b", value="")
check(violations(lambda: client.named_value.begin_create_or_update(group, name, "bad", blank).result()), ["displayName", "value"])
# Only values that live in a key vault can be refreshed.
check(violations(lambda: client.named_value.begin_refresh_secret(group, name, "team").result()), ["namedValueId"])
XML = "<policies><inbound><base /><set-header name=\"X-Team\" exists-action=\"override\"><value>{{team}}</value></set-header></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"
contract = m.PolicyContract(value=XML, format="xml")
GLOBAL = m.PolicyContract(value="<policies><inbound /><backend><forward-request /></backend><outbound /></policies>", format="xml")
for operations, place, body in [
    (client.policy, (), GLOBAL),
    (client.product_policy, ("gold",), contract),
    (client.api_policy, ("azureml-demo",), contract),
    (client.api_operation_policy, ("azureml-demo", "rrs-execute"), contract),
]:
    operations.create_or_update(group, name, *place, "policy", body)
    shown = operations.get(group, name, *place, "policy", format="rawxml")
    check((shown.format, shown.name, "".join(shown.value.split())), ("rawxml", "policy", "".join(body.value.split())))
    check(operations.get_entity_tag(group, name, *place, "policy"), True)
    lister = next(getattr(operations, n) for n in dir(operations) if n.startswith("list_by"))
    check(names(lister(group, name, *place)), ["policy"])
    stale(lambda: operations.create_or_update(group, name, *place, "policy", body, if_match=STALE))
    stale(lambda: operations.delete(group, name, *place, "policy", STALE))
nonsense = m.PolicyContract(value="<policies><inbound><nonsense /></inbound></policies>", format="xml")
check(violations(lambda: client.api_policy.create_or_update(group, name, "azureml-demo", "policy", nonsense)), ["value"])
for operations, place in [
    (client.api_operation_policy, ("azureml-demo", "rrs-execute")),
    (client.api_policy, ("azureml-demo",)),
    (client.product_policy, ("gold",)),
    (client.policy, ()),
]:
    operations.delete(group, name, *place, "policy", "*")
    check(refused(404, lambda: operations.get(group, name, *place, "policy")).error.code, "ResourceNotFound")

# --- notifications, templates, tenant access ----------------------------------------------------------------------------
requests = "RequestPublisherNotificationMessage"
check(len(listed(client.notification.list_by_service(group, name))), 7)
check(client.notification.get(group, name, requests).title, "Subscription requests (requiring approval)")
check(client.notification.create_or_update(group, name, requests).name, requests)
check(client.notification_recipient_email.create_or_update(group, name, requests, "ops@example.org").email, "ops@example.org")
check(client.notification_recipient_email.check_entity_exists(group, name, requests, "ops@example.org"), True)
emails = client.notification_recipient_email.list_by_notification(group, name, requests)
check([r.email for r in listed(emails)], ["ops@example.org"])
client.notification_recipient_user.create_or_update(group, name, requests, "ann")
check(client.notification_recipient_user.check_entity_exists(group, name, requests, "ann"), True)
users = client.notification_recipient_user.list_by_notification(group, name, requests)
check(sorted(r.user_id.rsplit("/", 1)[1] for r in listed(users)), ["1", "ann"])
check(refused(404, lambda: client.notification_recipient_user.create_or_update(group, name, requests, "nobody")).error.message, "User not found.")
client.notification_recipient_email.delete(group, name, requests, "ops@example.org")
client.notification_recipient_user.delete(group, name, requests, "ann")
absent(lambda: client.notification_recipient_email.check_entity_exists(group, name, requests, "ops@example.org"))
absent(lambda: client.notification_recipient_user.check_entity_exists(group, name, requests, "ann"))
check(refused(404, lambda: client.notification.get(group, name, "nothing")).error.code, "ResourceNotFound")

check(len(listed(client.email_template.list_by_service(group, name))), 14)
template = client.email_template.get(group, name, "newDeveloperNotificationMessage")
check((template.name, template.is_default), ("NewDeveloperNotificationMessage", True))
check(client.email_template.get_entity_tag(group, name, "newDeveloperNotificationMessage"), True)
mine = client.email_template.create_or_update(
    group, name, "newDeveloperNotificationMessage", m.EmailTemplateUpdateParameters(subject="Hi $DevFirstName", body="<p>Hello</p>"), if_match="*"
)
check((mine.subject, mine.is_default), ("Hi $DevFirstName", False))
check(
    client.email_template.update(
        group, name, "newDeveloperNotificationMessage", "*", m.EmailTemplateUpdateParameters(subject="Hello $DevFirstName")
    ).subject,
    "Hello $DevFirstName",
)
empty = m.EmailTemplateUpdateParameters(subject="", body="")
check(
    violations(lambda: client.email_template.create_or_update(group, name, "newDeveloperNotificationMessage", empty, if_match="*")),
    ["subject", "body"],
)
stale(lambda: client.email_template.update(group, name, "newDeveloperNotificationMessage", STALE, empty))
client.email_template.delete(group, name, "newDeveloperNotificationMessage", "*")
check(client.email_template.get(group, name, "newDeveloperNotificationMessage").is_default, True)

access = client.tenant_access.get(group, name, "access")
check((access.enabled, access.principal_id), (False, "integration"))
check(client.tenant_access.get_entity_tag(group, name, "access"), True)
check(client.tenant_access.update(group, name, "access", "*", m.AccessInformationUpdateParameters(enabled=True)).enabled, True)
secrets = client.tenant_access.list_secrets(group, name, "access")
client.tenant_access.regenerate_primary_key(group, name, "access")
client.tenant_access.regenerate_secondary_key(group, name, "access")
check(client.tenant_access.list_secrets(group, name, "access").primary_key != secrets.primary_key, True)
stale(lambda: client.tenant_access.update(group, name, "access", STALE, m.AccessInformationUpdateParameters(enabled=False)))
own = m.AccessInformationCreateParameters(enabled=True, principal_id="integration", primary_key="first" * 8, secondary_key="second" * 8)
check(client.tenant_access.create(group, name, "access", "*", own).principal_id, "integration")
secrets = client.tenant_access.list_secrets(group, name, "access")
check((secrets.primary_key, secrets.secondary_key, secrets.enabled), ("first" * 8, "second" * 8, True))
check(sorted(names(client.tenant_access.list_by_service(group, name))), ["access", "gitAccess"])

# --- and away again -----------------------------------------------------------------------------------------------------
stale(lambda: client.product.delete(group, name, "gold", STALE))
check(violations(lambda: client.product.delete(group, name, "gold", "*")), ["deleteSubscriptions"])
client.group_user.delete(group, name, "partners", "ann")
absent(lambda: client.group_user.check_entity_exists(group, name, "partners", "ann"))
client.product_group.delete(group, name, "gold", "partners")
client.product_api.delete(group, name, "gold", "azureml-demo")
client.subscription.delete(group, name, "ann-gold", "*")
deleted = client.user.begin_delete if hasattr(client.user, "begin_delete") else client.user.delete
outcome = deleted(group, name, "ann", "*")
if hasattr(outcome, "result"):
    outcome.result()
refused(404, lambda: client.user.get(group, name, "ann"))
client.group.delete(group, name, "partners", "*")
client.product.delete(group, name, "gold", "*", delete_subscriptions=True)
client.api_operation.delete(group, name, "azureml-demo", "bes-delete", "*")

# --- revisions, releases, tags ------------------------------------------------------------------------------------------
api_id = client.api.get(group, name, "azureml-demo").id
sdk.tag.create_or_update(group, name, "ml", m.TagCreateUpdateParameters(display_name="Machine learning"))
sdk.tag.assign_to_api(group, name, "azureml-demo", "ml")
sdk.tag.assign_to_operation(group, name, "azureml-demo", "bes-status", "ml")
sdk.tag.assign_to_product(group, name, "starter", "ml")
copy = m.ApiCreateOrUpdateParameter(path="azureml-demo", source_api_id=api_id, api_revision_description="Louder")
revision = client.api.begin_create_or_update(group, name, "azureml-demo;rev=2", copy).result()
check((revision.name, revision.api_revision, bool(revision.is_current)), ("azureml-demo;rev=2", "2", False))
operations = names(client.api_operation.list_by_api(group, name, "azureml-demo"))
check(names(client.api_operation.list_by_api(group, name, "azureml-demo;rev=2")), operations)
revisions = listed(client.api_revision.list_by_service(group, name, "azureml-demo"))
check(
    [(one.api_id, one.is_current, one.private_url) for one in revisions],
    [
        ("/apis/azureml-demo;rev=1", True, "/azureml-demo;rev=1"),
        ("/apis/azureml-demo;rev=2", False, "/azureml-demo;rev=2"),
    ],
)
released = m.ApiReleaseContract(api_id="/apis/azureml-demo;rev=2", notes="Louder")
release = client.api_release.create_or_update(group, name, "azureml-demo", "loud", released)
check((release.name, release.notes, release.api_id), ("loud", "Louder", api_id + ";rev=2"))
check(client.api_release.get(group, name, "azureml-demo", "loud").created_date_time is not None, True)
check(client.api_release.get_entity_tag(group, name, "azureml-demo", "loud"), True)
etag = etag_of(client.api_release, "azureml-demo", "loud")
noted = client.api_release.update(group, name, "azureml-demo", "loud", etag, m.ApiReleaseContract(notes="Very loud"))
check(noted.notes, "Very loud")
stale(lambda: client.api_release.update(group, name, "azureml-demo", "loud", STALE, m.ApiReleaseContract(notes="x")))
check(names(client.api_release.list_by_service(group, name, "azureml-demo", filter="contains(notes,'loud')")), ["loud"])
check(client.api.get(group, name, "azureml-demo").api_revision, "2")
check(names(client.api.list_by_service(group, name, filter="isCurrent eq true")), ["azureml-demo", "echo-api"])


def tagged(items, kind):
    return [(item.tag.name, getattr(item, kind).name) for item in items if getattr(item, kind) is not None]


check(
    tagged(client.api.list_by_tags(group, name), "api"),
    [("Machine learning", "AzureML Demo API"), ("Machine learning", "AzureML Demo API")],
)
check(tagged(client.api.list_by_tags(group, name, filter="isCurrent eq true"), "api"), [("Machine learning", "AzureML Demo API")])
check(tagged(client.product.list_by_tags(group, name), "product"), [("Machine learning", "Starter")])
check(len(listed(client.product.list_by_tags(group, name, include_not_tagged_products=True))), 2)
check(tagged(client.operation.list_by_tags(group, name, "azureml-demo"), "operation"), [("Machine learning", "BES Status")])
resources = listed(client.tag_resource.list_by_service(group, name, filter="isCurrent eq true"))
check((tagged(resources, "api"), tagged(resources, "operation")), ([("Machine learning", "AzureML Demo API")], [("Machine learning", "BES Status")]))
client.api_release.delete(group, name, "azureml-demo", "loud", "*")
deleted = client.api.begin_delete if hasattr(client.api, "begin_delete") else client.api.delete
check(violations(lambda: getattr(deleted(group, name, "azureml-demo", "*"), "result", lambda: None)()), ["deleteRevisions"])
outcome = deleted(group, name, "azureml-demo", "*", delete_revisions=True)
if hasattr(outcome, "result"):
    outcome.result()
check(names(client.api.list_by_service(group, name)), ["echo-api"])
client.named_value.delete(group, name, "team", "*")
check(names(client.product.list_by_service(group, name)), ["starter", "unlimited"])
again = m.ApiManagementServiceResource(
    location="West US",
    sku=m.ApiManagementServiceSkuProperties(name="Developer", capacity=1),
    publisher_email="admin@example.org",
    publisher_name="demoazureml",
)
services.begin_delete(group, name).result()
refused(404, lambda: services.get(group, name))
check(
    refused(409, lambda: services.begin_create_or_update(group, name, again).result()).error.code,
    "ServiceAlreadyExistsInSoftDeletedState",
)
again.restore = True
check(services.begin_create_or_update(group, name, again).result().provisioning_state, "Succeeded")
check((names(client.api.list_by_service(group, name)), names(client.deleted_services.list_by_subscription())), (["echo-api"], []))
services.begin_delete(group, name).result()
check(name in names(client.deleted_services.list_by_subscription()), True)
check(client.deleted_services.get_by_name(name, "westus").location, "West US")
client.deleted_services.begin_purge(name, "westus").result()
refused(404, lambda: client.deleted_services.get_by_name(name, "westus"))
check(services.check_name_availability({"name": name}).name_available, True)

offered = {(kind, o) for kind in KINDS for o in dir(getattr(sdk, kind)) if not o.startswith("_") and callable(getattr(getattr(sdk, kind), o))}
check(sorted(offered - called), sorted(ELSEWHERE))
print(f"{len(offered & called)} operations called, {checked} answers checked")
