//! The developer API's operations: one closed list, from which the routes, the OpenAPI document and the test of who may
//! call what are made. What is not in it is not answered.

use super::{
    account, catalogue, content, issues, provider, relay, session::Me, subscriptions, usage,
};
use actix_web::{Route, web};
use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, with or without an account; what they see depends on who they are.
    Anyone,
    /// Who is signed in, about what is theirs.
    Developer,
}

/// Puts a type's schema, and those it needs, into a list; its name.
type Described = fn(&mut Vec<(String, RefOr<Schema>)>) -> String;

fn schema<T: ToSchema>(out: &mut Vec<(String, RefOr<Schema>)>) -> String {
    T::schemas(out);
    let name = T::name().into_owned();
    out.push((name.clone(), T::schema()));
    name
}

/// What an operation answers when all goes well.
#[derive(Clone, Copy)]
enum Answer {
    Json(u16, Described),
    Text(&'static str),
    Empty(u16),
    /// To the provider, or back to the portal.
    Redirect,
}

/// An operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Id in the document.
    pub id: &'static str,
    /// Method.
    pub method: &'static str,
    /// Path below `/{service}/api`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    body: Option<Described>,
    answer: Answer,
    pub(super) route: fn() -> Route,
}

impl Operation {
    const fn get(
        id: &'static str,
        path: &'static str,
        access: Access,
        summary: &'static str,
        answer: Answer,
        route: fn() -> Route,
    ) -> Self {
        Self {
            id,
            method: "GET",
            path,
            access,
            summary,
            query: &[],
            body: None,
            answer,
            route,
        }
    }

    const fn post(
        id: &'static str,
        path: &'static str,
        access: Access,
        summary: &'static str,
        answer: Answer,
        route: fn() -> Route,
    ) -> Self {
        Self {
            method: "POST",
            ..Self::get(id, path, access, summary, answer, route)
        }
    }

    const fn asking(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    const fn with(self, body: Described) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    const fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }
}

use Access::{Anyone, Developer};
use Answer::{Empty, Json, Redirect, Text};

/// All of them.
pub const OPERATIONS: &[Operation] = &[
    Operation::get(
        "Service_Get",
        "/service",
        Anyone,
        "Tells what the portal shows on every page: its look, pages, terms, and ways to sign in.",
        Json(200, schema::<content::Service>),
        || web::get().to(content::service),
    ),
    Operation::get(
        "Page_Get",
        "/pages/{page}",
        Anyone,
        "Gets one of the portal's pages.",
        Json(200, schema::<content::Page>),
        || web::get().to(content::page),
    ),
    Operation::get(
        "Product_List",
        "/products",
        Anyone,
        "Lists the products that the caller may see.",
        Json(200, schema::<catalogue::ProductList>),
        || web::get().to(catalogue::products),
    ),
    Operation::get(
        "Product_Get",
        "/products/{product}",
        Anyone,
        "Gets a product with its APIs.",
        Json(200, schema::<catalogue::ProductPage>),
        || web::get().to(catalogue::product),
    ),
    Operation::get(
        "Api_List",
        "/apis",
        Anyone,
        "Lists the APIs of products that the caller may see, page by page.",
        Json(200, schema::<catalogue::ApiList>),
        || web::get().to(catalogue::apis),
    )
    .asking(&[
        ("q", "Text in the name or the description."),
        ("tag", "Id of a tag."),
        ("skip", "How many to leave out."),
        ("top", "How many to give; 100 at most."),
    ]),
    Operation::get(
        "Tag_List",
        "/tags",
        Anyone,
        "Lists the tags of those APIs.",
        Json(200, schema::<catalogue::TagList>),
        || web::get().to(catalogue::tags),
    ),
    Operation::get(
        "Api_Get",
        "/apis/{api}",
        Anyone,
        "Gets an API with its operations, schemas, and the products that hold it.",
        Json(200, schema::<catalogue::ApiPage>),
        || web::get().to(catalogue::api),
    ),
    Operation::get(
        "Api_Export",
        "/apis/{api}/openapi",
        Anyone,
        "Gives an API as an OpenAPI document.",
        Text("application/json"),
        || web::get().to(catalogue::openapi),
    )
    .asking(&[(
        "format",
        "openapi+json (the default), openapi (YAML) or swagger.",
    )]),
    Operation::get(
        "Issue_List",
        "/apis/{api}/issues",
        Developer,
        "Lists what developers reported about an API: what the publisher opened, and the caller's own.",
        Json(200, schema::<issues::IssueList>),
        || web::get().to(issues::list),
    ),
    Operation::post(
        "Issue_Create",
        "/apis/{api}/issues",
        Developer,
        "Reports an issue.",
        Json(201, schema::<issues::Created>),
        || web::post().to(issues::create),
    )
    .with(schema::<issues::NewIssue>),
    Operation::get(
        "IssueComment_List",
        "/apis/{api}/issues/{issue}/comments",
        Developer,
        "Lists the comments on an issue, oldest first.",
        Json(200, schema::<issues::CommentList>),
        || web::get().to(issues::comments),
    ),
    Operation::post(
        "IssueComment_Create",
        "/apis/{api}/issues/{issue}/comments",
        Developer,
        "Comments on an issue.",
        Json(201, schema::<issues::Created>),
        || web::post().to(issues::comment),
    )
    .with(schema::<issues::NewComment>),
    Operation::get(
        "Session_Get",
        "/session",
        Anyone,
        "Tells who is signed in; an empty object for a visitor.",
        Json(200, schema::<Me>),
        || web::get().to(account::me),
    ),
    Operation::post(
        "Session_Create",
        "/session",
        Anyone,
        "Signs in with e-mail address and password.",
        Empty(204),
        || web::post().to(account::sign_in),
    )
    .with(schema::<account::SignIn>),
    Operation::get(
        "Session_Delete",
        "/session",
        Anyone,
        "Signs out.",
        Empty(204),
        || web::delete().to(account::sign_out),
    )
    .by("DELETE"),
    Operation::post(
        "Sso_Create",
        "/sso",
        Anyone,
        "Signs in with the token of a URL that the publisher's systems made; once.",
        Empty(204),
        || web::post().to(account::single_sign_on),
    )
    .with(schema::<account::SignOnToken>),
    Operation::get(
        "Provider_Begin",
        "/sign-in/{provider}",
        Anyone,
        "Sends the browser to an identity provider.",
        Redirect,
        || web::get().to(provider::begin),
    )
    .asking(&[("consent", "1 when the visitor accepted the terms.")]),
    Operation::get(
        "Provider_End",
        "/sign-in/{provider}/callback",
        Anyone,
        "Takes the browser back from an identity provider, and signs in.",
        Redirect,
        || web::get().to(provider::end),
    )
    .asking(&[
        ("code", "What the provider gave."),
        ("state", "What it was given."),
        ("error", "Why it refused."),
    ]),
    Operation::post(
        "SignUp_Create",
        "/sign-up",
        Anyone,
        "Makes an account and mails its owner a link; answers the same where there is one.",
        Empty(202),
        || web::post().to(account::sign_up),
    )
    .with(schema::<account::SignUp>),
    Operation::post(
        "Reset_Create",
        "/reset",
        Anyone,
        "Mails a link for a new password; answers the same where there is no account.",
        Empty(202),
        || web::post().to(account::reset),
    )
    .with(schema::<account::Reset>),
    Operation::post(
        "Ticket_Describe",
        "/ticket",
        Anyone,
        "Tells what a mailed link is for.",
        Json(200, schema::<account::TicketDescription>),
        || web::post().to(account::ticket),
    )
    .with(schema::<account::Ticket>),
    Operation::post(
        "Ticket_Redeem",
        "/confirm",
        Anyone,
        "Does what a mailed link is for, once, and signs in.",
        Json(200, schema::<account::Confirmed>),
        || web::post().to(account::confirm),
    )
    .with(schema::<account::Ticket>),
    Operation::get(
        "Profile_Update",
        "/profile",
        Developer,
        "Changes the names of the account.",
        Empty(204),
        || web::patch().to(account::profile),
    )
    .with(schema::<account::Profile>)
    .by("PATCH"),
    Operation::post(
        "Profile_ChangePassword",
        "/profile/password",
        Developer,
        "Changes the password and ends all other sessions.",
        Empty(204),
        || web::post().to(account::change_password),
    )
    .with(schema::<account::PasswordChange>),
    Operation::post(
        "Profile_ChangeEmail",
        "/profile/email",
        Developer,
        "Mails a link to a new address; redeeming it makes it the account's.",
        Empty(202),
        || web::post().to(account::change_email),
    )
    .with(schema::<account::EmailChange>),
    Operation::post(
        "Profile_Close",
        "/profile/close",
        Developer,
        "Closes the account for good, with its subscriptions.",
        Empty(204),
        || web::post().to(account::close),
    )
    .with(schema::<account::Closing>),
    Operation::get(
        "Subscription_List",
        "/subscriptions",
        Developer,
        "Lists the caller's subscriptions, newest first.",
        Json(200, schema::<subscriptions::SubscriptionList>),
        || web::get().to(subscriptions::list),
    ),
    Operation::post(
        "Subscription_Create",
        "/subscriptions",
        Developer,
        "Subscribes to a product: active at once, or submitted for approval.",
        Json(201, schema::<subscriptions::Subscribed>),
        || web::post().to(subscriptions::subscribe),
    )
    .with(schema::<subscriptions::Subscribe>),
    Operation::post(
        "Subscription_ListKeys",
        "/subscriptions/{sid}/keys",
        Developer,
        "Gives the keys.",
        Json(200, schema::<subscriptions::Keys>),
        || web::post().to(subscriptions::keys),
    ),
    Operation::post(
        "Subscription_RegenerateKey",
        "/subscriptions/{sid}/regenerate",
        Developer,
        "Replaces one key; clients that use the old one are refused.",
        Empty(204),
        || web::post().to(subscriptions::regenerate),
    )
    .with(schema::<subscriptions::Regenerate>),
    Operation::post(
        "Subscription_Cancel",
        "/subscriptions/{sid}/cancel",
        Developer,
        "Ends the subscription.",
        Empty(204),
        || web::post().to(subscriptions::cancel),
    ),
    Operation::get(
        "Subscription_Rename",
        "/subscriptions/{sid}",
        Developer,
        "Renames the subscription.",
        Empty(204),
        || web::patch().to(subscriptions::rename),
    )
    .with(schema::<subscriptions::Rename>)
    .by("PATCH"),
    Operation::get(
        "Usage_Get",
        "/usage",
        Developer,
        "Counts the caller's calls over time and by API.",
        Json(200, schema::<usage::Usage>),
        || web::get().to(usage::get),
    )
    .asking(&[("days", "How many days back; 1 to 90, 7 by default.")]),
    Operation::post(
        "Relay_Send",
        "/relay",
        Anyone,
        "Makes a call through the service's own gateway and shows all of the reply.",
        Json(200, schema::<relay::Reply>),
        || web::post().to(relay::send),
    )
    .with(schema::<relay::Call>),
];

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The document of this version, the same that `portico openapi --developer` prints and `openapi/developer.json` holds.
#[must_use]
pub fn document() -> Value {
    let mut named = Vec::new();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.to_lowercase()] = described(operation, &mut named);
    }
    let schemas: Map<String, Value> = named
        .into_iter()
        .filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)))
        .chain([("Error".to_owned(), error())])
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_iter()
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portico developer API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the developer portal of a service asks: the catalogue, accounts, subscriptions, usage, and calls through \
    the service's gateway. Sessions are cookies that scripts cannot read; whatever changes something needs the header X-Portico-Portal, \
    which pages of other origins cannot send. One address may ask so often a minute: 429 says after how many seconds it may again.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{"url": "/{service}/api", "variables": {"service": {"default": "demo", "description": "Name of the service."}}}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Error": {
                "description": "What went wrong; every violation of a bad input is named with its field.",
                "content": {"application/json": {"schema": reference("Error")}}
            }},
            "parameters": {"portal": {
                "name": "X-Portico-Portal", "in": "header", "required": true,
                "description": "Any value: it only shows that a script of the portal itself asks.",
                "schema": {"type": "string", "example": "1"}
            }},
            "securitySchemes": {"session": {
                "type": "apiKey", "in": "cookie", "name": super::session::COOKIE, "description": "A session of POST /session."
            }}
        }
    })
}

fn error() -> Value {
    json!({"type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["code", "message"], "properties": {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "details": {"type": ["array", "null"], "items": {
                "type": "object", "required": ["code", "message"], "properties": {
                    "code": {"type": "string"}, "target": {"type": "string"}, "message": {"type": "string"}
                }
            }}
        }
    }}})
}

fn described(operation: &Operation, named: &mut Vec<(String, RefOr<Schema>)>) -> Value {
    let tag = operation.id.split('_').next().unwrap_or_default();
    let mut parameters: Vec<Value> = operation
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    for (name, description) in operation.query {
        let kind = if matches!(*name, "skip" | "top" | "days") {
            "integer"
        } else {
            "string"
        };
        parameters.push(json!({"name": name, "in": "query", "required": false, "description": description, "schema": {"type": kind}}));
    }
    if operation.method != "GET" {
        parameters.push(json!({"$ref": "#/components/parameters/portal"}));
    }
    let mut out = json!({
        "operationId": operation.id, "tags": [tag], "summary": operation.summary, "parameters": parameters,
        "security": match operation.access {
            // An optional session: what is shown depends on it.
            Anyone => json!([{}, {"session": []}]),
            Developer => json!([{"session": []}]),
        },
    });
    if let Some(body) = operation.body {
        let name = body(named);
        out["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": reference(&name)}}});
    }
    let (status, answer) = match operation.answer {
        Json(status, described) => {
            let name = described(named);
            (
                status,
                json!({"description": "Done.", "content": {"application/json": {"schema": reference(&name)}}}),
            )
        }
        Text(media_type) => (
            200,
            json!({"description": "Done.", "content": {media_type: {"schema": {"type": "object"}}}}),
        ),
        Empty(status) => (status, json!({"description": "Done."})),
        Redirect => (
            302,
            json!({"description": "Elsewhere.", "headers": {"Location": {"schema": {"type": "string"}}}}),
        ),
    };
    out["responses"] =
        json!({status.to_string(): answer, "default": {"$ref": "#/components/responses/Error"}});
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_an_id_and_a_path_of_its_own() {
        let ids: BTreeSet<&str> = OPERATIONS.iter().map(|o| o.id).collect();
        let paths: BTreeSet<(&str, &str)> = OPERATIONS.iter().map(|o| (o.method, o.path)).collect();
        assert_eq!(
            (ids.len(), paths.len()),
            (OPERATIONS.len(), OPERATIONS.len())
        );
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = document();
        let mut open = vec![&document];
        let mut seen = 0;
        while let Some(value) = open.pop() {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                seen += 1;
                assert!(document.pointer(&target[1..]).is_some(), "{target}");
            }
            match value {
                Value::Object(members) => open.extend(members.values()),
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        assert!(seen > 60, "{seen}");
    }
}
