//! The API's description: `/openapi.json` and a page that reads it, without anything from elsewhere.

use crate::{State, arm};
use actix_web::{HttpResponse, http::header, web};
use engine::{Registry, openapi::Extra};
use serde_json::{Value, json};

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/openapi.json", web::get().to(document_json))
        .route("/docs", web::get().to(page))
        .route("/docs/docs.js", web::get().to(script))
        .route("/docs/docs.css", web::get().to(style));
}

/// The document of this version, the same that `portico openapi` prints and `openapi/management.json` holds.
#[must_use]
pub fn document(registry: &Registry) -> Value {
    engine::openapi::document(registry, env!("CARGO_PKG_VERSION"), extra())
}

fn json_body(schema: Value) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

fn ok(description: &str) -> Value {
    json!({"200": {"description": description, "content": {"application/json": {"schema": {"type": "object"}}}},
           "default": {"$ref": "#/components/responses/Error"}})
}

/// What the server answers besides the kinds.
fn extra() -> Vec<Extra> {
    let subscription = json!({"$ref": "#/components/parameters/subscriptionId"});
    let version = json!({"$ref": "#/components/parameters/apiVersion"});
    let text = |name: &str, description: &str| json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string"}});
    let provider = "/subscriptions/{subscriptionId}/providers/Microsoft.ApiManagement";
    let service = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ApiManagement/service/{serviceName}";
    let operation = |id: &str,
                     tag: &str,
                     summary: &str,
                     parameters: Vec<Value>,
                     responses: Value| {
        json!({"operationId": id, "tags": [tag], "summary": summary, "parameters": parameters, "responses": responses})
    };
    let place = vec![
        subscription.clone(),
        json!({"$ref": "#/components/parameters/resourceGroupName"}),
        json!({"$ref": "#/components/parameters/serviceName"}),
        text("operationId", "The operation."),
        version.clone(),
    ];
    let mut mails = place.clone();
    mails[3] = json!({"name": "status", "in": "query", "required": false, "description": "Only mails of this status.",
                      "schema": {"type": "string", "enum": ["queued", "held", "sent", "failed"]}});
    for (name, description, kind) in [
        (
            "template",
            "Only mails made from this template or notification.",
            "string",
        ),
        (
            "recipient",
            "Only mails to somebody whose name or address contains this.",
            "string",
        ),
        ("from", "Only mails queued at this time or later.", "string"),
        ("until", "Only mails queued before this time.", "string"),
        ("$top", "Mails of a page; 200 when absent.", "integer"),
        ("$skip", "Mails to pass over.", "integer"),
    ] {
        mails.push(json!({"name": name, "in": "query", "required": false, "description": description, "schema": {"type": kind}}));
    }
    let mut one_mail = place.clone();
    one_mail[3] = text("mailId", "The mail.");
    let located = vec![
        subscription.clone(),
        text("location", "Region."),
        text("operationId", "The operation."),
        version.clone(),
    ];
    let mut connectivity = operation(
        "ConnectivityCheck_Perform",
        "Service",
        "Tells whether the gateway can connect to a place. Needs the role contributor.",
        {
            let mut parameters = place.clone();
            parameters.remove(3);
            parameters
        },
        ok("What became of the connections."),
    );
    connectivity["requestBody"] = json_body(json!({
        "type": "object", "required": ["source", "destination"], "properties": {
            "source": {"type": "object", "required": ["region"], "properties": {
                "region": {"type": "string", "minLength": 1}, "instance": {"type": "integer"}}},
            "destination": {"type": "object", "required": ["address", "port"], "properties": {
                "address": {"type": "string", "minLength": 1}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}}},
            "protocol": {"type": "string", "enum": ["TCP", "HTTP", "HTTPS"]},
            "preferredIPVersion": {"type": "string", "enum": ["IPv4"]}}}));
    let deleted = vec![
        subscription.clone(),
        text("location", "Region."),
        text("serviceName", "Name of the service."),
        version.clone(),
    ];
    let mut check = operation(
        "ApiManagementService_CheckNameAvailability",
        "Service",
        "Tells whether a service name is free, and why not.",
        vec![subscription.clone(), version.clone()],
        ok("The answer."),
    );
    check["requestBody"] = json_body(
        json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}),
    );
    let mut sign_in = operation(
        "SignIn",
        "Sign-in",
        "Gives a token for an e-mail address and a password.",
        vec![],
        ok("The token."),
    );
    sign_in["requestBody"] = json_body(
        json!({"type": "object", "required": ["email", "password"], "properties": {
        "email": {"type": "string", "format": "email"}, "password": {"type": "string", "format": "password"}}}),
    );
    sign_in["security"] = json!([]);
    let mut redeem = operation(
        "Bootstrap",
        "Sign-in",
        "Sets the first administrator's password with the one-time bootstrap secret.",
        vec![],
        ok("The token."),
    );
    redeem["requestBody"] = json_body(
        json!({"type": "object", "required": ["secret", "password"], "properties": {
        "secret": {"type": "string"}, "password": {"type": "string", "format": "password"}}}),
    );
    redeem["security"] = json!([]);
    let mut token = operation(
        "Token",
        "Sign-in",
        "OAuth 2.0 client credentials (RFC 6749, 4.4).",
        vec![],
        ok("The token."),
    );
    token["requestBody"] = json!({"required": true, "content": {"application/x-www-form-urlencoded": {"schema": {
        "type": "object", "required": ["grant_type", "client_id", "client_secret"], "properties": {
            "grant_type": {"const": "client_credentials"}, "client_id": {"type": "string"},
            "client_secret": {"type": "string", "format": "password"}}}}}});
    token["security"] = json!([]);
    let add = |path: String, method: &'static str, operation: Value| Extra {
        path,
        method,
        operation,
    };
    let mut workbench = operation(
        "PolicyWorkbench_Rehearse",
        "Policy workbench",
        "Runs a request against draft policies, offline, and traces every step. Needs the role contributor.",
        {
            let mut parameters = place.clone();
            parameters.remove(3);
            parameters
        },
        ok("What the caller and the backend would get, and what each policy did."),
    );
    workbench["requestBody"] = json_body(json!({
        "type": "object", "required": ["request"], "properties": {
            "drafts": {"type": "array", "description": "Documents in the place of the stored ones.", "items": {
                "type": "object", "required": ["scope", "value"], "properties": {
                    "scope": {"type": "string", "description": "/, /products/{id}, /apis/{id} or /apis/{id}/operations/{id}"},
                    "value": {"type": "string"}, "format": {"type": "string", "enum": ["xml", "rawxml"]}}}},
            "request": {"type": "object", "required": ["url"], "properties": {
                "method": {"type": "string"}, "url": {"type": "string", "description": "Path and query at the gateway."},
                "headers": {"type": "object"}, "body": {"type": "string"}}},
            "response": {"type": "object", "description": "What the backend answers.", "properties": {
                "status": {"type": "integer"}, "headers": {"type": "object"}, "body": {"type": "string"}}}
        }
    }));
    let mut policy_tests = operation(
        "PolicyTest_Run",
        "Policy workbench",
        "Tries the calls of an API's policy tests, offline, against its policies or drafts of them, and compares. Needs the role contributor.",
        {
            let mut parameters = place.clone();
            parameters[3] = text("apiId", "The API.");
            parameters
        },
        ok("How each test went; of those that failed also the response and what each policy did."),
    );
    policy_tests["requestBody"] = json_body(
        json!({"type": "object", "properties": {"drafts": workbench["requestBody"]["content"]["application/json"]["schema"]["properties"]["drafts"]}}),
    );
    policy_tests["requestBody"]["required"] = json!(false);
    let mut test_call = operation(
        "TestCall_Send",
        "Test call",
        "Sends a call through the service's own gateway. Needs the role contributor.",
        {
            let mut parameters = place.clone();
            parameters.remove(3);
            parameters
        },
        ok("What the gateway answered: status, headers, body and the milliseconds it took."),
    );
    test_call["requestBody"] = json_body(json!({
        "type": "object", "required": ["method", "url"], "properties": {
            "method": {"type": "string"}, "url": {"type": "string", "description": "Begins with the gateway's URL."},
            "headers": {"type": "array", "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}},
            "body": {"type": "string"}}
    }));
    let policies = operation(
        "PolicyWorkbench_ListPolicies",
        "Policy workbench",
        "Lists the policies that there are: what each does, in which sections and scopes it may stand, and an example.",
        {
            let mut parameters = place.clone();
            parameters.remove(3);
            parameters
        },
        ok("The policies."),
    );
    let on_gateway = {
        let mut parameters = place.clone();
        parameters[3] = text("gatewayId", "The gateway.");
        parameters
    };
    let mut reports = Vec::new();
    for (name, what) in [
        ("byApi", "API"),
        ("byUser", "user"),
        ("byOperation", "operation"),
        ("byProduct", "product"),
        ("byGeo", "place of the caller"),
        ("bySubscription", "subscription"),
        ("byTime", "interval"),
        ("byRequest", "single call"),
        (
            "byLatency",
            "interval, as percentiles of the time that calls took",
        ),
    ] {
        let mut parameters = place.clone();
        parameters.remove(3);
        parameters.push(json!({"name": "$filter", "in": "query", "required": true, "schema": {"type": "string"},
            "description": "A range of timestamp, and apiId, operationId, productId, subscriptionId, userId or apiRegion (eq), joined by and.",
            "example": "timestamp ge datetime'2026-11-01T00:00:00' and timestamp le datetime'2026-11-30T00:00:00'"}));
        for parameter in ["top", "skip"] {
            parameters.push(json!({"$ref": format!("#/components/parameters/{parameter}")}));
        }
        if matches!(name, "byTime" | "byLatency") {
            parameters.push(json!({"name": "interval", "in": "query", "required": name == "byTime", "schema": {"type": "string"},
                "description": "ISO 8601 duration, a multiple of 15 minutes.", "example": "PT1H"}));
        }
        let (first, rest) = name.split_at(1);
        reports.push(add(
            format!("{service}/reports/{name}"),
            "get",
            operation(
                &format!("Reports_List{}{rest}", first.to_uppercase()),
                "Reports",
                &format!("Counts, bytes and times of calls for each {what}."),
                parameters,
                ok("The rows."),
            ),
        ));
    }
    let mut quota = place.clone();
    quota[3] = text(
        "quotaCounterKey",
        "The key of quota-by-key, or the name of the subscription that a quota limits.",
    );
    let mut period = quota.clone();
    period.insert(
        4,
        text("quotaPeriodKey", "The period, as the list names it."),
    );
    let value = || {
        json_body(
            json!({"type": "object", "required": ["properties"], "properties": {"properties": {"type": "object", "minProperties": 1,
            "additionalProperties": false, "properties": {
                "callsCount": {"type": "integer", "minimum": 0, "maximum": i32::MAX},
                "kbTransferred": {"type": "number", "minimum": 0, "maximum": 1e12}}}}}),
        )
    };
    let mut region = place.clone();
    region[3] = text("locationName", "Region.");
    let mut quotas = Vec::new();
    for (path, group, read, parameters) in [
        ("", "QuotaByCounterKeys", "ListByService", quota),
        (
            "/periods/{quotaPeriodKey}",
            "QuotaByPeriodKeys",
            "Get",
            period,
        ),
    ] {
        let path = format!("{service}/quotas/{{quotaCounterKey}}{path}");
        let read = operation(
            &format!("{group}_{read}"),
            group,
            "Gives what quotas have counted.",
            parameters.clone(),
            ok("The counters."),
        );
        let mut write = operation(
            &format!("{group}_Update"),
            group,
            "Sets what quotas have counted; gateways follow at once. Needs the role contributor.",
            parameters,
            ok("The counters."),
        );
        write["requestBody"] = value();
        quotas.push(add(path.clone(), "get", read));
        quotas.push(add(path, "patch", write));
    }
    let mut out = vec![
        add(
            "/providers/Microsoft.ApiManagement/operations".into(),
            "get",
            operation(
                "ApiManagementOperations_List",
                "Provider",
                "Lists the operations for which roles are needed.",
                vec![version.clone()],
                ok("The operations."),
            ),
        ),
        add(
            format!("{provider}/skus"),
            "get",
            operation(
                "ApiManagementSkus_List",
                "Provider",
                "Lists the tiers in each region.",
                vec![subscription.clone(), version.clone()],
                ok("The tiers."),
            ),
        ),
        add(
            format!("{provider}/getDomainOwnershipIdentifier"),
            "post",
            operation(
                "ApiManagementService_GetDomainOwnershipIdentifier",
                "Provider",
                "Gives the text by which a domain shows that it belongs to the subscription.",
                vec![subscription.clone(), version.clone()],
                ok("The text."),
            ),
        ),
        add(
            format!("{service}/locations/{{locationName}}/networkstatus"),
            "get",
            operation(
                "NetworkStatus_ListByLocation",
                "NetworkStatus",
                "Tells whether what the service needs can be reached from a region.",
                region,
                ok("The status."),
            ),
        ),
        add("/sign-in".into(), "post", sign_in),
        add("/bootstrap".into(), "post", redeem),
        add(format!("/{}/oauth2/v2.0/token", arm::TENANT), "post", token),
        add(format!("{provider}/checkNameAvailability"), "post", check),
        add(
            format!("{provider}/deletedservices"),
            "get",
            operation(
                "DeletedServices_ListBySubscription",
                "DeletedServices",
                "Lists the services that can still be restored.",
                vec![subscription, version],
                ok("The services."),
            ),
        ),
        add(
            format!("{provider}/locations/{{location}}/deletedservices/{{serviceName}}"),
            "get",
            operation(
                "DeletedServices_GetByName",
                "DeletedServices",
                "Gets a deleted service.",
                deleted.clone(),
                ok("The service."),
            ),
        ),
        add(
            format!("{provider}/locations/{{location}}/deletedservices/{{serviceName}}"),
            "delete",
            operation(
                "DeletedServices_Purge",
                "DeletedServices",
                "Removes a deleted service for good. Needs the role owner.",
                deleted,
                json!({"200": {"description": "Purged."}, "204": {"description": "There was none."}, "default": {"$ref": "#/components/responses/Error"}}),
            ),
        ),
        add(format!("{service}/policyWorkbench"), "get", policies),
        add(format!("{service}/policyWorkbench"), "post", workbench),
        add(
            format!("{service}/apis/{{apiId}}/runPolicyTests"),
            "post",
            policy_tests,
        ),
        add(format!("{service}/testCall"), "post", test_call),
        add(
            format!("{service}/calls/{{requestId}}"),
            "get",
            operation(
                "Call_Get",
                "Reports",
                "Gives what diagnostics kept of a call: chosen headers, beginnings of bodies, errors, messages of the trace policy. The id is the call's x-request-id. Needs the role contributor.",
                {
                    let mut parameters = place.clone();
                    parameters[3] = text("requestId", "The call.");
                    parameters
                },
                ok("What was kept, by diagnostic."),
            ),
        ),
        add(
            format!("{service}/gateways/{{gatewayId}}/nodes"),
            "get",
            operation(
                "GatewayNode_ListByGateway",
                "Gateway",
                "Lists the processes of a gateway with the revision that each serves, since when, and whether it is live. The gateway managed is the built-in one. Needs the role reader.",
                {
                    let mut parameters = place.clone();
                    parameters[3] = text("gatewayId", "The gateway.");
                    parameters
                },
                ok("The processes."),
            ),
        ),
        add(
            format!("{service}/gateways/{{gatewayId}}/listDebugCredentials"),
            "post",
            {
                let mut credentials = operation(
                    "Gateway_ListDebugCredentials",
                    "Gateway",
                    "Gives a token for Apim-Debug-Authorization, with which calls of an API through this gateway are traced; managed is the built-in one. Needs the role contributor.",
                    on_gateway.clone(),
                    ok("The token."),
                );
                credentials["requestBody"] = json_body(json!({
                    "type": "object", "required": ["purposes", "apiId"], "properties": {
                        "credentialsExpireAfter": {"type": "string", "description": "ISO 8601 duration, PT1H at most and if not said."},
                        "purposes": {"type": "array", "items": {"type": "string", "enum": ["tracing"]}},
                        "apiId": {"type": "string", "description": "Resource id of the API."}}
                }));
                credentials
            },
        ),
        add(
            format!("{service}/gateways/{{gatewayId}}/invalidateDebugCredentials"),
            "post",
            operation(
                "Gateway_InvalidateDebugCredentials",
                "Gateway",
                "Ends all debug credentials of the built-in gateway, managed. Needs the role contributor.",
                on_gateway.clone(),
                json!({"204": {"description": "Ended."}, "default": {"$ref": "#/components/responses/Error"}}),
            ),
        ),
        add(
            format!("{service}/gateways/{{gatewayId}}/listTrace"),
            "post",
            {
                let mut trace = operation(
                    "Gateway_ListTrace",
                    "Gateway",
                    "Gives what each policy did for a call, by the Apim-Trace-Id of its response. Needs the role contributor.",
                    on_gateway,
                    ok("The trace."),
                );
                trace["requestBody"] = json_body(json!({
                    "type": "object", "required": ["traceId"], "properties": {"traceId": {"type": "string"}}
                }));
                trace
            },
        ),
        add(
            format!("{service}/mails"),
            "get",
            operation(
                "Mail_ListByService",
                "Mail",
                "Lists the service's mails, newest first, with their delivery status. Needs the role contributor, because mails hold keys and links.",
                mails.clone(),
                ok("The mails."),
            ),
        ),
        add(
            format!("{service}/mails/{{mailId}}"),
            "get",
            operation(
                "Mail_Get",
                "Mail",
                "Gets a mail with its content. Needs the role contributor.",
                one_mail.clone(),
                ok("The mail."),
            ),
        ),
        add(
            format!("{service}/mails/{{mailId}}/resend"),
            "post",
            operation(
                "Mail_Resend",
                "Mail",
                "Queues a mail again that failed or was held. Needs the role contributor.",
                one_mail,
                json!({"204": {"description": "Queued."}, "default": {"$ref": "#/components/responses/Error"}}),
            ),
        ),
        add(format!("{service}/connectivityCheck"), "post", connectivity),
        add(
            format!("{provider}/locations/{{location}}/operationStatuses/{{operationId}}"),
            "get",
            operation(
                "OperationStatus_GetByLocation",
                "Operations",
                "Tells how a long-running operation of a service in a region goes.",
                located.clone(),
                ok("The status."),
            ),
        ),
        add(
            format!("{provider}/locations/{{location}}/operationResults/{{operationId}}"),
            "get",
            operation(
                "OperationsResults_Get",
                "Operations",
                "Gives the result of a long-running operation of a service in a region.",
                located,
                ok("The service; 202 while the operation goes on."),
            ),
        ),
        add(
            format!("{service}/operationStatuses/{{operationId}}"),
            "get",
            operation(
                "OperationStatus_Get",
                "Operations",
                "Tells how a long-running operation goes.",
                place.clone(),
                ok("The status."),
            ),
        ),
        add(
            format!("{service}/operationresults/{{operationId}}"),
            "get",
            operation(
                "OperationResults_Get",
                "Operations",
                "Gives the result of a long-running operation.",
                place,
                json!({"200": {"description": "The resource."}, "202": {"description": "Still running."}, "default": {"$ref": "#/components/responses/Error"}}),
            ),
        ),
    ];
    out.append(&mut quotas);
    out.append(&mut reports);
    out
}

async fn document_json(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(document(&state.engine.registry))
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(include_str!("docs/docs.html"))
}

async fn script() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .body(include_str!("docs/docs.js"))
}

async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(include_str!("docs/docs.css"))
}
