"""Drives a running Portico with the unmodified Azure SDK for Python, azure-mgmt-apimanagement 4.0.0 or 5.0.0.

Usage: python journey.py MANAGEMENT_URL TOKEN SERVICE_NAME

Every operation of the kinds of the first journey is called; what comes back is compared. The first
difference ends the program with a traceback. The last line says how many calls were checked.
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


class Nobody:
    """The SDK wants a credential; the header below is what authenticates."""

    def get_token(self, *scopes, **options):
        raise AssertionError("the authentication policy does not ask for a token")


# The SDK's own bearer policy refuses plain http, even on loopback; any policy may take its place.
client = ApiManagementClient(
    Nobody(),
    subscription,
    base_url=management,
    authentication_policy=HeadersPolicy(base_headers={"Authorization": f"Bearer {token}"}),
    polling_interval=1,
)


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
bad = refused(
    400,
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
check((bad.error.code, [d.target for d in bad.error.details]), ("ValidationError", ["publisherEmail"]))

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
etag = client.api.get(group, name, "azureml-demo", cls=lambda reply, body, headers: headers["ETag"])
changed = client.api.update(group, name, "azureml-demo", etag, m.ApiUpdateContract(description="d"))
check((changed.description, changed.display_name), ("d", "AzureML Demo API"))
check(
    refused(412, lambda: client.api.update(group, name, "azureml-demo", etag, m.ApiUpdateContract(description="e"))).error.code,
    "PreconditionFailed",
)
check(client.api.update(group, name, "azureml-demo", "*", m.ApiUpdateContract(description="f")).description, "f")
check(names(client.api.list_by_service(group, name)), ["azureml-demo", "echo-api"])
check(names(client.api.list_by_service(group, name, filter="contains(properties/displayName,'Echo')")), ["echo-api"])
missing = refused(400, lambda: client.api.begin_create_or_update(group, name, "bad", m.ApiCreateOrUpdateParameter(path="?")).result())
check([d.target for d in missing.error.details], ["path"])
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
check(names(client.api_operation.list_by_api(group, name, "azureml-demo", top=2)), sorted(o[0] for o in OPERATIONS))
check(names(client.api_operation.list_by_api(group, name, "azureml-demo", filter="method eq 'GET'")), ["bes-status"])
check(names(client.api_operation.list_by_api(group, name, "azureml-demo", skip=3)), ["bes-submit", "rrs-execute"])
check(client.api_operation.get(group, name, "azureml-demo", "bes-start").display_name, "BES Start")
check(client.api_operation.get_entity_tag(group, name, "azureml-demo", "bes-start"), True)
check(
    client.api_operation.update(group, name, "azureml-demo", "bes-start", "*", m.OperationUpdateContract(description="Starts.")).description,
    "Starts.",
)
undeclared = refused(
    400,
    lambda: client.api_operation.create_or_update(
        group, name, "azureml-demo", "bad", m.OperationContract(display_name="x", method="GET", url_template="/{a}")
    ),
)
check([d.target for d in undeclared.error.details], ["templateParameters"])

# --- products, groups, users --------------------------------------------------------------------------------------------
product = client.product.create_or_update(
    group, name, "gold", m.ProductContract(display_name="Gold", subscription_required=True, approval_required=True, state="published")
)
check((product.name, product.state, product.approval_required), ("gold", "published", True))
check(names(client.product.list_by_service(group, name)), ["gold", "starter", "unlimited"])
check(client.product.get(group, name, "gold").display_name, "Gold")
check(client.product.get_entity_tag(group, name, "gold"), True)
check(client.product.update(group, name, "gold", "*", m.ProductUpdateParameters(terms="Be kind.")).terms, "Be kind.")
check(client.product_api.create_or_update(group, name, "starter", "azureml-demo").name, "azureml-demo")
check(client.product_api.create_or_update(group, name, "gold", "azureml-demo").name, "azureml-demo")
check(client.product_api.check_entity_exists(group, name, "gold", "azureml-demo"), True)
refused(404, lambda: client.product_api.check_entity_exists(group, name, "gold", "echo-api"))
check(names(client.product_api.list_by_product(group, name, "gold")), ["azureml-demo"])
check(sorted(names(client.api_product.list_by_apis(group, name, "azureml-demo"))), ["gold", "starter"])

partners = client.group.create_or_update(group, name, "partners", m.GroupCreateParameters(display_name="Partners"))
check((partners.display_name, partners.built_in, partners.type_properties_type), ("Partners", False, "custom"))
check(names(client.group.list_by_service(group, name)), ["administrators", "developers", "guests", "partners"])
check(client.group.get(group, name, "guests").built_in, True)
check(client.group.get_entity_tag(group, name, "partners"), True)
check(client.group.update(group, name, "partners", "*", m.GroupUpdateParameters(description="p")).description, "p")
check(client.product_group.create_or_update(group, name, "gold", "partners").name, "partners")
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
check(client.group_user.create(group, name, "partners", "ann").name, "ann")
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
XML = "<policies><inbound><base /><set-header name=\"X-Team\" exists-action=\"override\"><value>{{team}}</value></set-header></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"
contract = m.PolicyContract(value=XML, format="xml")
GLOBAL = m.PolicyContract(value="<policies><inbound /><backend><forward-request /></backend><outbound /></policies>", format="xml")
for operations, place, body in [
    (client.policy, (), GLOBAL),
    (client.product_policy, ("gold",), contract),
    (client.api_policy, ("azureml-demo",), contract),
    (client.api_operation_policy, ("azureml-demo", "rrs-execute"), contract),
]:
    put = operations.create_or_update(group, name, *place, "policy", body)
    check(("<policies>" in put.value, put.format), (True, "xml"))
    check("forward-request" in operations.get(group, name, *place, "policy").value or "X-Team" in put.value, True)
    check(operations.get_entity_tag(group, name, *place, "policy"), True)
    lister = next(getattr(operations, n) for n in dir(operations) if n.startswith("list_by"))
    check(names(lister(group, name, *place)), ["policy"])
wrong = refused(
    400,
    lambda: client.api_policy.create_or_update(
        group, name, "azureml-demo", "policy", m.PolicyContract(value="<policies><inbound><nonsense /></inbound></policies>", format="xml")
    ),
)
check([d.target for d in wrong.error.details], ["value"])
client.product_policy.delete(group, name, "gold", "policy", "*")
refused(404, lambda: client.product_policy.get(group, name, "gold", "policy"))

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
client.notification_recipient_email.delete(group, name, requests, "ops@example.org")
client.notification_recipient_user.delete(group, name, requests, "ann")

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
check(len(listed(client.tenant_access.list_by_service(group, name))), 2)

# --- and away again -----------------------------------------------------------------------------------------------------
client.group_user.delete(group, name, "partners", "ann")
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
deleted = client.api.begin_delete if hasattr(client.api, "begin_delete") else client.api.delete
outcome = deleted(group, name, "azureml-demo", "*")
if hasattr(outcome, "result"):
    outcome.result()
check(names(client.api.list_by_service(group, name)), ["echo-api"])
client.named_value.delete(group, name, "team", "*")
check(names(client.product.list_by_service(group, name)), ["starter", "unlimited"])
services.begin_delete(group, name).result()
refused(404, lambda: services.get(group, name))
check(name in names(client.deleted_services.list_by_subscription()), True)
check(client.deleted_services.get_by_name(name, "westus").location, "West US")
client.deleted_services.begin_purge(name, "westus").result()
check(services.check_name_availability({"name": name}).name_available, True)
print(f"{checked} calls checked")
