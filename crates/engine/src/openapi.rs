//! The OpenAPI document of the management API, assembled from the registry.
//!
//! Nothing is described twice: paths, verbs, parameters, headers and status codes follow from the
//! kinds' facts, schemas from their contracts (utoipa), examples from [`Resource::example`](crate::Resource::example).

use crate::{
    Registry,
    kind::{Facts, Kind},
    link::Link,
    listing::Listing,
    resource::{Access, ActionDetail, FieldAccess, ListEffect},
    verbs::type_name,
};
use arm_id::NameRule;
use serde_json::{Map, Value, json};

/// Root of every path of a service, and of everything else directly under the provider.
const ROOT: &str = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.ApiManagement";

/// An operation that is not a kind's: the server's own endpoints.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Path.
    pub path: String,
    /// Method in lower case.
    pub method: &'static str,
    /// The operation object.
    pub operation: Value,
}

/// The document: kinds, links, and the server's own operations.
#[must_use]
pub fn document(registry: &Registry, version: &str, extra: Vec<Extra>) -> Value {
    let mut out = Document::default();
    for kind in registry.kinds() {
        out.in_workspaces = kind.facts().in_workspaces;
        out.kind(*kind);
        out.views(*kind);
    }
    for link in registry.links() {
        out.in_workspaces = link.in_workspaces;
        out.link(link);
    }
    for listing in registry.listings() {
        out.in_workspaces = listing.in_workspaces;
        out.listing(listing);
    }
    out.in_workspaces = false;
    for extra in extra {
        out.add(&extra.path, extra.method, extra.operation);
    }
    out.common();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portico management API",
            "version": version,
            "description": "Creates service instances and publishes APIs, operations, products and subscriptions. \
    The wire contract is that of Microsoft.ApiManagement, api-versions 2022-08-01 and 2024-05-01, so existing clients of that contract work unchanged.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "servers": [{"url": "/", "description": "This installation"}],
        "security": [{"bearer": []}],
        "tags": out.tags,
        "paths": out.paths,
        "components": {
            "schemas": out.schemas,
            "parameters": out.parameters,
            "responses": {"Error": {
                "description": "What went wrong; every violation of a bad input is named with its wire field.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
            }},
            "securitySchemes": {"bearer": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A token of `portico token`, of the sign-in, or of the OAuth 2.0 client-credentials endpoint."
            }}
        }
    })
}

#[derive(Default)]
struct Document {
    /// Whether what is added exists in workspaces, too.
    in_workspaces: bool,
    tags: Vec<Value>,
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
    parameters: Map<String, Value>,
}

/// `GET` of a client's generator: `Product_ListByService`.
fn list_id(kind: &dyn Kind) -> String {
    match kind.parents().last() {
        None => format!("{}_ListByResourceGroup", kind.facts().title),
        Some(parent) if parent.is_root() => {
            let noun = parent.facts().segment.trim_end_matches('s');
            let (first, rest) = noun.split_at(1);
            format!(
                "{}_ListBy{}{rest}",
                kind.facts().title,
                first.to_uppercase()
            )
        }
        Some(parent) => format!("{}_ListBy{}", kind.facts().title, parent.facts().title),
    }
}

fn collection_path(kind: &dyn Kind) -> String {
    let mut out = ROOT.to_owned();
    for parent in kind.parents() {
        let facts = parent.facts();
        out.push_str(&format!("/{}/{{{}}}", facts.segment, facts.parameter));
    }
    format!("{out}/{}", kind.facts().segment)
}

fn item_path(kind: &dyn Kind) -> String {
    format!("{}/{{{}}}", collection_path(kind), kind.facts().parameter)
}

fn reference(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{name}")})
}

fn described(description: &str, schema: Option<Value>, etag: bool) -> Value {
    let mut out = json!({"description": description});
    if etag {
        out["headers"] = json!({"ETag": {"description": "Revision of the entity, for If-Match.", "schema": {"type": "string"}}});
    }
    if let Some(schema) = schema {
        out["content"] = json!({"application/json": {"schema": schema}});
    }
    out
}

fn described_with(description: &str, schema: Value, example: Value) -> Value {
    let mut out = described(description, Some(schema), true);
    out["content"]["application/json"]["example"] = example;
    out
}

/// A write says which revision of the configuration has it, and can wait until all gateways serve that.
fn told_of_revision(operation: &mut Value) {
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.push(reference("parameters", "wait"));
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for (status, response) in responses {
        if status.starts_with('2') && status != "204" {
            response["headers"][crate::REVISION_HEADER] = json!({"description": "Revision of the configuration that has the write; absent if nothing was written.",
                "schema": {"type": "integer", "format": "int64"}});
        }
    }
}

fn detail(facts: &Facts, operation: &str) -> Option<&'static ActionDetail> {
    facts
        .action_details
        .iter()
        .find(|detail| detail.operation == operation)
}

fn role(access: Access) -> &'static str {
    match access {
        Access::Read => "reader",
        Access::Write | Access::Secret => "contributor",
        Access::Own => "owner",
    }
}

/// The same operation on the same kind in a workspace.
fn within_a_workspace(path: &str, operation: &Value) -> (String, Value) {
    let mut operation = operation.clone();
    let id = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = format!("Workspace{id}").into();
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        let service = reference("parameters", "serviceName");
        let after = parameters.iter().position(|one| *one == service);
        parameters.insert(
            after.map_or(0, |at| at + 1),
            reference("parameters", "workspaceId"),
        );
    }
    let path = path.replacen(
        "/service/{serviceName}",
        "/service/{serviceName}/workspaces/{workspaceId}",
        1,
    );
    (path, operation)
}

impl Document {
    fn add(&mut self, path: &str, method: &str, mut operation: Value) {
        if matches!(method, "put" | "patch" | "delete") && path.starts_with(ROOT) {
            told_of_revision(&mut operation);
        }
        if self.in_workspaces {
            let (path, operation) = within_a_workspace(path, &operation);
            self.insert(&path, method, operation);
        }
        self.insert(path, method, operation);
    }

    fn insert(&mut self, path: &str, method: &str, operation: Value) {
        let item = self
            .paths
            .entry(path.to_owned())
            .or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(method.to_owned(), operation);
        }
    }

    fn path_parameters(&mut self, kinds: &[&'static dyn Kind]) -> Vec<Value> {
        let mut out = vec![
            reference("parameters", "subscriptionId"),
            reference("parameters", "resourceGroupName"),
        ];
        for kind in kinds {
            let facts = kind.facts();
            self.parameters.insert(
                facts.parameter.to_owned(),
                json!({"name": facts.parameter, "in": "path", "required": true,
                       "description": format!("Name of the {}.", words(facts.title)), "schema": name_schema(facts.name)}),
            );
            out.push(reference("parameters", facts.parameter));
        }
        out.push(reference("parameters", "apiVersion"));
        out
    }

    fn operation(
        &self,
        id: String,
        tag: &str,
        summary: String,
        access: Access,
        parameters: Vec<Value>,
        responses: Value,
    ) -> Value {
        let mut responses = responses;
        responses["default"] = reference("responses", "Error");
        json!({"operationId": id, "tags": [tag], "summary": summary,
               "description": format!("{summary} Needs the role {}.", role(access)),
               "parameters": parameters, "responses": responses})
    }

    fn kind(&mut self, kind: &'static dyn Kind) {
        let facts = kind.facts();
        let (title, noun) = (facts.title, words(facts.title));
        self.tags
            .push(json!({"name": title, "description": format!("`{}`", type_name(kind))}));
        self.schemas(kind);
        let item = reference("schemas", &format!("{title}Contract"));
        let example = example(kind);
        let mut chain = kind.parents();
        let mut above = self.path_parameters(&chain);
        chain.push(kind);
        let parameters = self.path_parameters(&chain);
        let if_match = |required: bool| {
            reference(
                "parameters",
                if required {
                    "ifMatch"
                } else {
                    "ifMatchOptional"
                },
            )
        };
        let with = |more: Vec<Value>| parameters.iter().cloned().chain(more).collect::<Vec<_>>();
        let path = item_path(kind);
        let verbs = facts.verbs;
        if verbs.list {
            above.extend(["filter", "orderby", "top", "skip"].map(|p| reference("parameters", p)));
            let named = facts
                .list_parameters
                .iter()
                .enumerate()
                .filter(|(at, parameter)| {
                    // One parameter can have several effects.
                    facts.list_parameters[..*at]
                        .iter()
                        .all(|other| other.name != parameter.name)
                });
            above.extend(named.map(|(_, parameter)| {
                json!({"name": parameter.name, "in": "query", "description": parameter.summary,
                "schema": match parameter.effect {
                    ListEffect::Show(_) | ListEffect::Add(..) => json!({"type": "boolean"}),
                    ListEffect::Restrict(_) => json!({"type": "string"}),
                }})
            }));
            let mut operation = self.operation(
                list_id(kind), title, format!("Lists each {noun}, page by page."), Access::Read, above,
                json!({"200": described("A page.", Some(reference("schemas", &format!("{title}Collection"))), false)}),
            );
            let fields: Vec<&str> = facts.filters.iter().map(|f| f.field).collect();
            if !fields.is_empty() {
                operation["description"] = format!(
                    "Lists each {noun}, page by page. `$filter` may name {}. Needs the role reader.", fields.join(", ")
                ).into();
            }
            self.add(&collection_path(kind), "get", operation);
        }
        if verbs.get {
            let responses =
                json!({"200": described_with("The entity.", item.clone(), example.clone())});
            let operation = self.operation(
                format!("{title}_Get"),
                title,
                format!("Gets the {noun}."),
                Access::Read,
                parameters.clone(),
                responses,
            );
            self.add(&path, "get", operation);
        }
        let (id, found) = if verbs.get {
            ("GetEntityTag", "200")
        } else {
            ("CheckEntityExists", "204")
        };
        let operation = self.operation(
            format!("{title}_{id}"),
            title,
            format!("Tells whether the {noun} exists, and its revision."),
            Access::Read,
            parameters.clone(),
            json!({found: described("It exists.", None, verbs.get)}),
        );
        self.add(&path, "head", operation);
        let body = json!({"required": true, "content": {"application/json": {"schema": reference("schemas", &format!("{title}Contract")),
            "example": {"properties": kind.example()}}}});
        if verbs.put {
            let mut responses = json!({facts.replaced.to_string(): described_with("The replaced entity.", item.clone(), example.clone())});
            if verbs.create {
                responses[facts.created.to_string()] =
                    described_with("The created entity.", item.clone(), example.clone());
            }
            let mut operation = self.operation(
                format!("{title}_CreateOrUpdate"),
                title,
                format!("Creates or replaces the {noun}."),
                Access::Write,
                with(vec![if_match(facts.if_match && !verbs.create)]),
                responses,
            );
            if kind
                .facts()
                .fields
                .iter()
                .any(|f| !matches!(f.access, FieldAccess::ReadOnly | FieldAccess::Internal))
            {
                operation["requestBody"] = body.clone();
            }
            self.add(&path, "put", operation);
        }
        if verbs.patch {
            let responses = match facts.patched {
                204 => json!({"204": described("Changed.", None, true)}),
                _ => json!({"200": described_with("The changed entity.", item.clone(), example)}),
            };
            let mut operation = self.operation(
                format!("{title}_Update"),
                title,
                format!("Changes the named properties of the {noun} (JSON merge patch)."),
                Access::Write,
                with(vec![if_match(facts.if_match)]),
                responses,
            );
            operation["requestBody"] = body;
            operation["requestBody"]["content"]["application/json"]["schema"] =
                reference("schemas", &format!("{title}Update"));
            self.add(&path, "patch", operation);
        }
        if verbs.delete {
            let access = if kind.is_root() {
                Access::Own
            } else {
                Access::Write
            };
            let operation = self.operation(
                format!("{title}_Delete"), title, format!("Deletes the {noun}."), access,
                with(vec![if_match(facts.if_match && !facts.delete_without_if_match)]),
                json!({"200": described("Deleted.", None, false), "204": described("It did not exist.", None, false)}),
            );
            self.add(&path, "delete", operation);
        }
        for action in facts.actions {
            let detail = detail(&facts, action.operation);
            let schema = (action.status == 200)
                .then(|| {
                    detail.map_or_else(|| json!({"type": "object"}), |detail| (detail.reply)())
                })
                .filter(|schema| !schema.is_null());
            let mut parameters = parameters.clone();
            parameters.extend(
                detail
                    .map(|detail| (detail.parameters)())
                    .unwrap_or_default(),
            );
            let mut operation = self.operation(
                action.operation.to_owned(),
                title,
                action.summary.to_owned(),
                action.access,
                parameters,
                json!({action.status.to_string(): described("Done.", schema, false)}),
            );
            if let Some(body) = detail.and_then(|detail| detail.body) {
                operation["requestBody"] =
                    json!({"content": {"application/json": {"schema": body()}}});
            }
            self.add(&format!("{path}/{}", action.name), "post", operation);
        }
    }

    /// `GET …/{name}/{view}`
    fn views(&mut self, kind: &'static dyn Kind) {
        let facts = kind.facts();
        let mut chain = kind.parents();
        chain.push(kind);
        let parameters = self.path_parameters(&chain);
        for view in facts.views {
            let detail = detail(&facts, view.operation);
            let schema = detail.map_or_else(
                || json!({"type": ["object", "array"]}),
                |detail| (detail.reply)(),
            );
            let mut parameters = parameters.clone();
            parameters.extend(
                detail
                    .map(|detail| (detail.parameters)())
                    .unwrap_or_default(),
            );
            let operation = self.operation(
                view.operation.to_owned(),
                facts.title,
                view.summary.to_owned(),
                view.access,
                parameters,
                json!({view.status.to_string(): described("The view.", Some(schema), false)}),
            );
            self.add(
                &format!("{}/{}", item_path(kind), view.name),
                "get",
                operation,
            );
        }
    }

    /// `GET …/{segment}` of items that are no resources.
    fn listing(&mut self, listing: &Listing) {
        let mut chain = listing.parent.parents();
        chain.push(listing.parent);
        let mut parameters = self.path_parameters(&chain);
        parameters.extend(["filter", "top", "skip"].map(|p| reference("parameters", p)));
        parameters.extend(listing.switches.iter().map(|switch| {
            json!({"name": switch, "in": "query", "description": "`true` or `false`, which is the default.",
                   "schema": {"type": "boolean"}})
        }));
        let group = listing.operation.split('_').next().unwrap_or_default();
        let operation = self.operation(
            listing.operation.to_owned(), group, listing.summary.to_owned(), Access::Read, parameters,
            json!({"200": described("A page.", Some(json!({"type": "object", "required": ["value"], "properties": {
                "value": {"type": "array", "items": {"type": "object"}},
                "count": {"type": "integer", "format": "int64"},
                "nextLink": {"type": "string"}
            }})), false)}),
        );
        self.add(
            &format!("{}/{}", item_path(listing.parent), listing.segment),
            "get",
            operation,
        );
    }

    fn link(&mut self, link: &Link) {
        let mut chain = link.parent.parents();
        chain.push(link.parent);
        let above = self.path_parameters(&chain);
        let (from, to) = (
            words(link.parent.facts().title),
            words(link.target.facts().title),
        );
        let collection = format!("{}/{}", item_path(link.parent), link.segment);
        let title = link.target.facts().title;
        let mut listed = above.clone();
        listed.extend(["filter", "orderby", "top", "skip"].map(|p| reference("parameters", p)));
        let operation = self.operation(
            format!("{}_List", link.title), link.title, format!("Lists each {to} of the {from}."), Access::Read, listed,
            json!({"200": described("A page.", Some(reference("schemas", &format!("{title}Collection"))), false)}),
        );
        self.tags.push(json!({"name": link.title, "description": format!("`{}/{}`", type_name(link.parent), link.segment)}));
        self.add(&collection, "get", operation);
        if !link.writable && !link.readable {
            return;
        }
        self.parameters.entry(link.parameter.to_owned()).or_insert_with(|| {
            json!({"name": link.parameter, "in": "path", "required": true, "description": format!("Name of the {to}."),
                   "schema": name_schema(link.target.facts().name)})
        });
        let mut parameters = above;
        parameters.insert(
            parameters.len() - 1,
            reference("parameters", link.parameter),
        );
        let path = format!("{collection}/{{{}}}", link.parameter);
        let item = reference("schemas", &format!("{title}Contract"));
        if link.readable {
            let operation = self.operation(
                format!("{}_Get", link.title),
                link.title,
                format!("Gets the {to} of the {from}."),
                Access::Read,
                parameters.clone(),
                json!({"200": described("The entity.", Some(item.clone()), true)}),
            );
            self.add(&path, "get", operation);
        }
        if !link.writable {
            return;
        }
        let summaries = [
            (
                "head",
                "CheckEntityExists",
                Access::Read,
                format!("Tells whether the {to} belongs to the {from}."),
                json!({"204": described("It does.", None, false)}),
            ),
            (
                "put",
                "CreateOrUpdate",
                Access::Write,
                format!("Adds the {to} to the {from}."),
                json!({"200": described("It belonged to it before.", Some(item.clone()), false), "201": described("Added.", Some(item), false)}),
            ),
            (
                "delete",
                "Delete",
                Access::Write,
                format!("Removes the {to} from the {from}."),
                json!({"200": described("Removed.", None, false), "204": described("It did not belong to it.", None, false)}),
            ),
        ];
        let mut summaries = summaries;
        if link.readable {
            summaries[0].1 = "GetEntityState";
            summaries[0].4 = json!({"200": described("It does.", None, true)});
        }
        for (method, id, access, summary, responses) in summaries {
            let operation = self.operation(
                format!("{}_{id}", link.title),
                link.title,
                summary,
                access,
                parameters.clone(),
                responses,
            );
            self.add(&path, method, operation);
        }
    }

    /// `…Contract` (the envelope), `…Update` (the same with nothing required) and `…Collection`.
    fn schemas(&mut self, kind: &'static dyn Kind) {
        let facts = kind.facts();
        let derived = kind.schema();
        // Kinds name their types for themselves (`State`); in the document each name is the kind's own (`ProductState`).
        let own = |name: &str| {
            let plain = name.split('_').next().unwrap_or(name);
            if plain.starts_with(facts.title) {
                plain.to_owned()
            } else {
                format!("{}{plain}", facts.title)
            }
        };
        for (name, schema) in derived.named {
            let mut schema = serde_json::to_value(schema).unwrap_or_default();
            rename(&mut schema, &own);
            self.schemas.insert(own(&name), schema);
        }
        let mut derived = serde_json::to_value(derived.schema).unwrap_or_default();
        rename(&mut derived, &own);
        let mut outer = Map::new();
        outer.insert(
            "id".into(),
            json!({"type": "string", "readOnly": true, "description": "Resource id."}),
        );
        outer.insert("type".into(), json!({"type": "string", "readOnly": true, "description": "Resource type.", "examples": [type_name(kind)]}));
        outer.insert(
            "name".into(),
            json!({"type": "string", "readOnly": true, "description": "Resource name."}),
        );
        let mut inner = Map::new();
        let (mut outer_required, mut inner_required) = (Vec::new(), Vec::new());
        for field in facts.fields {
            if field.access == FieldAccess::Internal {
                continue;
            }
            let mut schema = derived["properties"]
                .get(field.wire)
                .cloned()
                .unwrap_or_else(|| json!({}));
            if let Value::Object(schema) = &mut schema {
                match field.access {
                    FieldAccess::ReadOnly => {
                        schema.insert("readOnly".into(), true.into());
                    }
                    FieldAccess::WriteOnly | FieldAccess::Secret => {
                        schema.insert("writeOnly".into(), true.into());
                    }
                    FieldAccess::ReadWrite | FieldAccess::Internal => {}
                }
                if let Some((min, max)) = field.length {
                    schema.insert("minLength".into(), min.into());
                    if max != usize::MAX {
                        schema.insert("maxLength".into(), max.into());
                    }
                }
            }
            let (properties, required) = if field.top_level {
                (&mut outer, &mut outer_required)
            } else {
                (&mut inner, &mut inner_required)
            };
            properties.insert(field.wire.to_owned(), schema);
            if field.required
                && matches!(
                    field.access,
                    FieldAccess::ReadWrite | FieldAccess::Secret | FieldAccess::WriteOnly
                )
            {
                required.push(field.wire);
            }
        }
        let envelope =
            |outer: &Map<String, Value>, outer_required: &[&str], inner_required: &[&str]| {
                let mut properties = outer.clone();
                // Free properties have no names to tell.
                let mut nested = match facts.open {
                    Some(_) => json!({"type": "object", "additionalProperties": true}),
                    None => json!({"type": "object", "properties": inner}),
                };
                if !inner_required.is_empty() && facts.open.is_none() {
                    nested["required"] = json!(inner_required);
                }
                properties.insert("properties".into(), nested);
                let mut out = json!({"type": "object", "properties": properties});
                if let Some(description) = derived.get("description") {
                    out["description"] = description.clone();
                }
                if !outer_required.is_empty() {
                    out["required"] = json!(outer_required);
                }
                out
            };
        let title = facts.title;
        self.schemas.insert(
            format!("{title}Contract"),
            envelope(&outer, &outer_required, &inner_required),
        );
        if facts.verbs.patch {
            self.schemas
                .insert(format!("{title}Update"), envelope(&outer, &[], &[]));
        }
        self.schemas.insert(
            format!("{title}Collection"),
            json!({"type": "object", "description": "A page of a list.", "required": ["value"], "properties": {
                "value": {"type": "array", "items": reference("schemas", &format!("{title}Contract"))},
                "count": {"type": "integer", "format": "int64", "description": "Items of all pages together."},
                "nextLink": {"type": "string", "format": "uri", "description": "Absolute URL of the next page; absent on the last."}
            }}),
        );
    }

    fn common(&mut self) {
        let parameters = [
            (
                "subscriptionId",
                json!({"name": "subscriptionId", "in": "path", "required": true, "description": "Subscription id: any text that groups services.", "schema": {"type": "string", "minLength": 1}}),
            ),
            (
                "resourceGroupName",
                json!({"name": "resourceGroupName", "in": "path", "required": true, "description": "Resource group; exists implicitly.", "schema": {"type": "string", "minLength": 1, "maxLength": 90}}),
            ),
            (
                "apiVersion",
                json!({"name": "api-version", "in": "query", "required": true, "description": "Contract version.", "schema": {"type": "string", "examples": ["2024-05-01", "2022-08-01"]}}),
            ),
            (
                "ifMatch",
                json!({"name": "If-Match", "in": "header", "required": true, "description": "ETag of the revision that is to be changed, or * for any.", "schema": {"type": "string"}}),
            ),
            (
                "ifMatchOptional",
                json!({"name": "If-Match", "in": "header", "required": false, "description": "ETag of the revision that is to be replaced; without it the write is unconditional.", "schema": {"type": "string"}}),
            ),
            (
                "wait",
                json!({"name": "wait", "in": "query", "required": false,
                       "description": "Answer when every live gateway serves the write, or after ten seconds (another number with the header Prefer: wait=SECONDS): x-portico-rollout is complete or pending, and x-portico-not-serving names who does not.",
                       "schema": {"type": "string", "enum": ["all"]}}),
            ),
            (
                "filter",
                json!({"name": "$filter", "in": "query", "required": false, "description": "OData filter: eq ne gt ge lt le, and or not, contains substringof startswith endswith.", "schema": {"type": "string"}}),
            ),
            (
                "orderby",
                json!({"name": "$orderby", "in": "query", "required": false, "description": "Fields of $filter, each with asc or desc, joined by commas; by name where absent.", "schema": {"type": "string"}}),
            ),
            (
                "top",
                json!({"name": "$top", "in": "query", "required": false, "description": "Items of a page, at most 1000.", "schema": {"type": "integer", "minimum": 1}}),
            ),
            (
                "skip",
                json!({"name": "$skip", "in": "query", "required": false, "description": "Items to pass over.", "schema": {"type": "integer", "minimum": 0}}),
            ),
        ];
        for (name, parameter) in parameters {
            self.parameters.insert(name.to_owned(), parameter);
        }
        self.schemas.insert("ErrorResponse".into(), json!({
            "type": "object", "required": ["error"], "description": "Error envelope of every operation.",
            "properties": {"error": {"type": "object", "required": ["code", "message"], "properties": {
                "code": {"type": "string", "examples": ["ValidationError"]},
                "message": {"type": "string"},
                "details": {"type": ["array", "null"], "items": {"type": "object", "properties": {
                    "code": {"type": "string"}, "message": {"type": "string"},
                    "target": {"type": "string", "description": "Wire name of the field."}}}}
            }}}
        }));
    }
}

/// Rewrites the references to schemas.
fn rename(schema: &mut Value, name: &impl Fn(&str) -> String) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value
                    .as_str()
                    .and_then(|text| text.strip_prefix("#/components/schemas/"))
                {
                    Some(old) if key == "$ref" => {
                        *value = format!("#/components/schemas/{}", name(old)).into()
                    }
                    _ => rename(value, name),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, name)),
        _ => {}
    }
}

/// A reply's example: the kind's example in its envelope.
fn example(kind: &dyn Kind) -> Value {
    let name = kind.facts().segment.trim_end_matches('s');
    json!({"id": item_path(kind), "type": type_name(kind), "name": name, "properties": kind.example()})
}

/// `ApiOperation` -> `API operation`, for sentences.
fn words(title: &str) -> String {
    let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    if out == "api" || out.starts_with("api ") {
        out.replacen("api", "API", 1)
    } else {
        out
    }
}

fn name_schema(rule: NameRule) -> Value {
    match rule {
        NameRule::Fixed(names) => json!({"type": "string", "enum": names}),
        NameRule::Email => json!({"type": "string", "format": "email", "maxLength": 254}),
        NameRule::Label { max } => {
            json!({"type": "string", "minLength": 1, "maxLength": max, "pattern": "^[a-zA-Z](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$"})
        }
        NameRule::Id { max, .. } => json!({"type": "string", "minLength": 1, "maxLength": max}),
    }
}
