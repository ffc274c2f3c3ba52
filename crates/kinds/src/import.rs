//! Import: a document becomes the operations, types and tags of an API, in the transaction that writes the API.
//!
//! A document by link is fetched by the server before it asks the engine, so that no transaction waits for a
//! stranger's web server; here a document is always a value.
//!
//! An operation of a document is the API's operation of the same name or, where it was renamed, of the same method
//! and URL template. It keeps its id, its name and so its policies and tags; what did not change keeps its ETag, too.

use crate::{
    api::{ApiContract, ApiType, Protocol},
    operation::{Operation, OperationContract},
};
use description::{Description, Format, Options, RequiredQuery};
use engine::{
    Access, Action, BoxFuture, Cx, Entity, Error, Json, Reply, Resource as _, Result, Value,
    Violations, json, sqlx,
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Name of the API's schema that holds the types of the document.
pub const SCHEMA: &str = "imported";
/// Media type of that schema.
const SCHEMA_TYPE: &str = "application/vnd.oai.openapi.components+json";

/// What the last import did: `GET …/apis/{apiId}/importReport`. Portico's own addition to the contract.
pub(crate) const REPORT: Action = Action {
    name: "importReport",
    operation: "Api_ImportReport",
    summary: "Says what the last import added, changed and removed.",
    access: Access::Read,
    status: 200,
    run: report,
};

/// Reports what is wrong with the fields of an import, except for the document.
pub(crate) fn check(api: &ApiContract, violations: &mut Violations) {
    match (&api.format, &api.value) {
        (None, None) => {
            for (field, given) in [
                ("wsdlSelector", api.wsdl_selector.is_some()),
                (
                    "translateRequiredQueryParameters",
                    api.translate_required_query_parameters.is_some(),
                ),
            ] {
                if given {
                    violations.add(field, "belongs to an import: give format and value, too");
                }
            }
        }
        (Some(_), None) => violations.add("value", "is required with a format"),
        (None, Some(_)) => violations.add("format", "is required with a value"),
        (Some(format), Some(_)) => match Format::named(format) {
            None => violations.add(
                "format",
                "must be one of openapi, openapi-link, openapi+json, openapi+json-link, swagger-json, swagger-link-json, wsdl and wsdl-link",
            ),
            // The server followed every link that it knows; of the others the reader says why.
            Some((Format::Openapi | Format::OpenapiJson | Format::SwaggerJson | Format::Wsdl, true)) => {
                violations.add("format", "is a link, which nobody followed");
            }
            Some((Format::Wsdl, false)) if api.api_type.as_deref() == Some("http") => violations.add(
                "apiType",
                "must be soap: SOAP is passed through and not turned into REST by this version of Portico",
            ),
            Some(_) => {}
        },
    }
    if let Some(text) = &api.translate_required_query_parameters
        && required_query(text).is_none()
    {
        violations.add(
            "translateRequiredQueryParameters",
            "must be template or query",
        );
    }
}

/// The format of the document behind a link, for formats that can be imported.
#[must_use]
pub fn followed(format: &str) -> Option<&'static str> {
    match Format::named(format)? {
        (Format::Openapi, true) => Some("openapi"),
        (Format::OpenapiJson, true) => Some("openapi+json"),
        (Format::SwaggerJson, true) => Some("swagger-json"),
        (Format::Wsdl, true) => Some("wsdl"),
        _ => None,
    }
}

fn required_query(text: &str) -> Option<RequiredQuery> {
    match text.to_ascii_lowercase().as_str() {
        "template" => Some(RequiredQuery::Template),
        "query" => Some(RequiredQuery::Query),
        _ => None,
    }
}

/// Reads the document of a write; `None` for a write without one.
fn read(api: &ApiContract) -> Result<Option<Description>> {
    let (Some(name), Some(value)) = (&api.format, &api.value) else {
        return Ok(None);
    };
    let Some((format, _)) = Format::named(name) else {
        return Ok(None);
    };
    let selector = |key: &str| {
        let selector = &api.wsdl_selector.as_ref()?.0.0;
        Some(selector.get(key)?.as_str()?.to_owned())
    };
    let options = Options {
        translate_required_query_parameters: api
            .translate_required_query_parameters
            .as_deref()
            .and_then(required_query)
            .unwrap_or_default(),
        service_url_override: api.service_url.clone().filter(|url| !url.is_empty()),
        schema_id: SCHEMA.to_owned(),
        wsdl_service: selector("wsdlServiceName"),
        wsdl_endpoint: selector("wsdlEndpointName"),
    };
    description::read(value, format, &options)
        .map(Some)
        .map_err(|problems| {
            let mut violations = Violations::default();
            for problem in problems {
                violations.add("value", problem.to_string());
            }
            Error::Invalid(violations)
        })
}

/// Fills what the caller left out from the document.
///
/// # Errors
/// Every problem of the document.
pub(crate) fn prepare(new: &mut ApiContract) -> Result<()> {
    let Some(found) = read(new)? else {
        return Ok(());
    };
    if new.display_name.is_empty() {
        new.display_name = found.display_name.chars().take(300).collect();
    }
    if new.service_url.as_deref().is_none_or(str::is_empty)
        && let Some(url) = found.service_url
    {
        let mut violations = Violations::default();
        violations.length("value", &url, 0..=2000);
        crate::api::check_url("value", &url, &mut violations);
        violations.into_result()?;
        new.service_url = Some(url);
    }
    new.description = new.description.take().or(found.description);
    new.terms_of_service_url = new
        .terms_of_service_url
        .take()
        .or(found.terms_of_service_url);
    new.contact = new
        .contact
        .take()
        .or(found.contact.map(|value| Json(engine::Any(value))));
    new.license = new
        .license
        .take()
        .or(found.license.map(|value| Json(engine::Any(value))));
    // The default cannot be told from the caller's own `["https"]`; the document's schemes then count.
    if new.protocols.0 == [Protocol::Https] && !found.protocols.is_empty() {
        new.protocols = Json(converted(&found.protocols)?);
    }
    if found.api_type == description::ApiType::Soap {
        new.r#type = ApiType::Soap;
    }
    Ok(())
}

/// Moves data between two structs of the same wire shape.
fn converted<T: DeserializeOwned>(value: &impl Serialize) -> Result<T> {
    serde_json::to_value(value)
        .and_then(serde_json::from_value)
        .map_err(Error::internal)
}

/// One operation as it is stored.
#[derive(Serialize)]
struct Row {
    id: Uuid,
    name: String,
    display_name: String,
    method: String,
    url_template: String,
    template_parameters: Value,
    description: Option<String>,
    request: Option<Value>,
    responses: Value,
}

/// The columns that an import writes, in the order of [`Row`].
const COLUMNS: &str =
    "display_name, method, url_template, template_parameters, description, request, responses";
const RECORD: &str = "jsonb_to_recordset($1) AS r(id uuid, name text, display_name text, method text, url_template text, \
     template_parameters jsonb, description text, request jsonb, responses jsonb)";

/// Stores what the document describes.
///
/// The document is read a second time, because a hook of the engine hands nothing on to the next; that costs
/// milliseconds for thousands of operations.
///
/// # Errors
/// When an operation breaks a rule of operations, or the database fails.
pub(crate) async fn written(cx: &mut Cx<'_>, new: &ApiContract) -> Result<()> {
    let Some(found) = read(new)? else {
        return Ok(());
    };
    let stored: Vec<(Uuid, String, String, String)> = sqlx::query_as(
        "SELECT id, name, method, lower(url_template) FROM api_operations WHERE parent_id = $1 FOR UPDATE",
    )
    .bind(cx.id)
    .fetch_all(&mut *cx.conn)
    .await?;
    let (kept, fresh) = matched(cx, &found, &stored)?;
    let staying: HashSet<Uuid> = kept.iter().map(|row| row.id).collect();
    let removed: Vec<&(Uuid, String, String, String)> = stored
        .iter()
        .filter(|(id, ..)| !staying.contains(id))
        .collect();

    remove(cx, removed.iter().map(|(id, ..)| *id).collect()).await?;
    let changed = update(cx, &kept).await?;
    insert(cx, &fresh).await?;
    for row in &fresh {
        cx.changed("api_operations", row.id);
    }
    types(cx, &found).await?;
    let ids: HashMap<&str, Uuid> = found
        .operations
        .iter()
        .map(|operation| operation.name.as_str())
        .zip(ordered(&found, &kept, &fresh))
        .collect();
    tags(cx, &found, &ids).await?;

    let mut names: HashMap<Uuid, &str> =
        kept.iter().map(|row| (row.id, row.name.as_str())).collect();
    names.retain(|id, _| changed.contains(id));
    let mut changed_names: Vec<&str> = names.into_values().collect();
    changed_names.sort_unstable();
    let report = json!({
        "added": fresh.iter().map(|row| &row.name).collect::<Vec<_>>(),
        "changed": changed_names,
        "removed": removed.iter().map(|(_, name, ..)| name).collect::<Vec<_>>(),
        "unchanged": kept.len() - changed.len(),
    });
    let format = new.format.as_deref().unwrap_or_default().to_lowercase();
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "INSERT INTO api_sources (api_id, imported_at, format, document, state, report) \
         SELECT $1, $2, $3, $4, ({STATE}), $5 \
         ON CONFLICT (api_id) DO UPDATE SET imported_at = excluded.imported_at, format = excluded.format, \
         document = excluded.document, state = excluded.state, report = excluded.report"
    )))
    .bind(cx.id)
    .bind(cx.now)
    .bind(&format)
    .bind(new.value.as_deref().unwrap_or_default())
    .bind(&report)
    .execute(&mut *cx.conn)
    .await?;
    let mut recorded = report;
    recorded["format"] = format.into();
    cx.record(
        "Microsoft.ApiManagement/service/apis/import/action",
        format!("{}/apis/{}", cx.service.path, cx.name),
        Some(recorded),
    );
    Ok(())
}

/// The revisions of an API `$1`, its operations and its types, as one text.
pub const STATE: &str = "SELECT md5(concat_ws('|', \
     (SELECT rev FROM apis WHERE id = $1), \
     (SELECT string_agg(id || ':' || rev, ',' ORDER BY id) FROM api_operations WHERE parent_id = $1), \
     (SELECT string_agg(id || ':' || rev, ',' ORDER BY id) FROM api_schemas WHERE parent_id = $1)))";

/// Rows for the operations of the document: those that the API has already, and new ones.
fn matched(
    cx: &Cx<'_>,
    found: &Description,
    stored: &[(Uuid, String, String, String)],
) -> Result<(Vec<Row>, Vec<Row>)> {
    let by_name: HashMap<String, usize> = stored
        .iter()
        .enumerate()
        .map(|(at, (_, name, ..))| (name.to_lowercase(), at))
        .collect();
    let by_place: HashMap<(&str, &str), usize> = stored
        .iter()
        .enumerate()
        .map(|(at, (_, _, method, template))| ((method.as_str(), template.as_str()), at))
        .collect();
    // Names first: an operation that moved to another URL must not lose its id to one that moved to its old URL.
    let mut partners: Vec<Option<usize>> = found
        .operations
        .iter()
        .map(|operation| by_name.get(&operation.name.to_lowercase()).copied())
        .collect();
    let mut taken: HashSet<usize> = partners.iter().flatten().copied().collect();
    for (partner, operation) in partners.iter_mut().zip(&found.operations) {
        if partner.is_none() {
            let template = operation.url_template.to_lowercase();
            *partner = by_place
                .get(&(operation.method.as_str(), template.as_str()))
                .copied()
                .filter(|at| taken.insert(*at));
        }
    }
    let (mut kept, mut fresh) = (Vec::new(), Vec::new());
    let mut violations = Violations::default();
    for (partner, operation) in partners.into_iter().zip(&found.operations) {
        let contract = OperationContract {
            display_name: operation.display_name.clone(),
            method: operation.method.clone(),
            url_template: operation.url_template.clone(),
            template_parameters: Json(converted(&operation.template_parameters)?),
            description: operation.description.clone(),
            request: operation
                .request
                .as_ref()
                .map(converted)
                .transpose()?
                .map(Json),
            responses: Json(converted(&operation.responses)?),
            policies: None,
        };
        let mut wrong = Violations::default();
        Operation::validate(&contract, &mut wrong);
        for violation in wrong.list() {
            violations.add(
                "value",
                format!(
                    "describes the operation '{}', whose {} {}",
                    operation.name, violation.target, violation.message
                ),
            );
        }
        let (id, name) = match partner {
            Some(at) => (stored[at].0, stored[at].1.clone()),
            None => (cx.engine.new_id(), operation.name.clone()),
        };
        let row = Row {
            id,
            name,
            display_name: contract.display_name,
            method: contract.method,
            url_template: contract.url_template,
            template_parameters: converted(&contract.template_parameters.0)?,
            description: contract.description,
            request: contract
                .request
                .map(|request| converted(&request.0))
                .transpose()?,
            responses: converted(&contract.responses.0)?,
        };
        if partner.is_some() {
            kept.push(row);
        } else {
            fresh.push(row);
        }
    }
    violations.into_result()?;
    Ok((kept, fresh))
}

/// The ids of the document's operations, in its order.
fn ordered(found: &Description, kept: &[Row], fresh: &[Row]) -> Vec<Uuid> {
    let by_place: HashMap<(&str, &str), Uuid> = kept
        .iter()
        .chain(fresh)
        .map(|row| ((row.method.as_str(), row.url_template.as_str()), row.id))
        .collect();
    found
        .operations
        .iter()
        .filter_map(|o| by_place.get(&(o.method.as_str(), o.url_template.as_str())))
        .copied()
        .collect()
}

async fn remove(cx: &mut Cx<'_>, ids: Vec<Uuid>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    // What goes by cascade must leave the gateway's configuration too.
    let policies: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM operation_policies WHERE parent_id = ANY($1)")
            .bind(&ids)
            .fetch_all(&mut *cx.conn)
            .await?;
    sqlx::query("DELETE FROM api_operations WHERE id = ANY($1)")
        .bind(&ids)
        .execute(&mut *cx.conn)
        .await?;
    for id in policies {
        cx.changed("operation_policies", id);
    }
    for id in ids {
        cx.changed("api_operations", id);
    }
    Ok(())
}

/// Writes what differs and says which.
async fn update(cx: &mut Cx<'_>, rows: &[Row]) -> Result<HashSet<Uuid>> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let records = serde_json::to_value(rows).map_err(Error::internal)?;
    let stored: Vec<String> = COLUMNS.split(", ").map(|c| format!("o.{c}")).collect();
    let given: Vec<String> = COLUMNS.split(", ").map(|c| format!("r.{c}")).collect();
    let (stored, given) = (stored.join(", "), given.join(", "));
    let changed: Vec<Uuid> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT o.id FROM api_operations o JOIN {RECORD} ON r.id = o.id WHERE ({stored}) IS DISTINCT FROM ({given})"
    )))
    .bind(&records)
    .fetch_all(&mut *cx.conn)
    .await?;
    if changed.is_empty() {
        return Ok(HashSet::new());
    }
    // Operations may exchange their URLs, and the index on them is checked row by row: they step aside first.
    sqlx::query("UPDATE api_operations SET url_template = '/' || id WHERE id = ANY($1)")
        .bind(&changed)
        .execute(&mut *cx.conn)
        .await?;
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "UPDATE api_operations o SET ({COLUMNS}) = ({given}), rev = o.rev + 1, updated_at = $2 \
         FROM {RECORD} WHERE r.id = o.id AND o.id = ANY($3)",
        given = given
    )))
    .bind(&records)
    .bind(cx.now)
    .bind(&changed)
    .execute(&mut *cx.conn)
    .await?;
    for id in &changed {
        cx.changed("api_operations", *id);
    }
    Ok(changed.into_iter().collect())
}

async fn insert(cx: &mut Cx<'_>, rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "INSERT INTO api_operations (id, parent_id, name, rev, created_at, updated_at, {COLUMNS}) \
         SELECT r.id, $2, r.name, 1, $3, $3, {COLUMNS} FROM {RECORD}"
    )))
    .bind(serde_json::to_value(rows).map_err(Error::internal)?)
    .bind(cx.id)
    .bind(cx.now)
    .execute(&mut *cx.conn)
    .await?;
    Ok(())
}

/// Stores the document's types as one schema of the API.
async fn types(cx: &mut Cx<'_>, found: &Description) -> Result<()> {
    if found.schemas.is_empty() {
        let gone: Option<Uuid> = sqlx::query_scalar(
            "DELETE FROM api_schemas WHERE parent_id = $1 AND lower(name) = $2 RETURNING id",
        )
        .bind(cx.id)
        .bind(SCHEMA)
        .fetch_optional(&mut *cx.conn)
        .await?;
        if let Some(id) = gone {
            cx.changed("api_schemas", id);
        }
        return Ok(());
    }
    let stored: Option<Uuid> = sqlx::query_scalar(
        "INSERT INTO api_schemas AS s (id, parent_id, name, rev, created_at, updated_at, content_type, document, provisioning_state) \
         VALUES ($1, $2, $3, 1, $4, $4, $5, $6, 'Succeeded') \
         ON CONFLICT (parent_id, lower(name)) DO UPDATE SET rev = s.rev + 1, updated_at = excluded.updated_at, \
         content_type = excluded.content_type, document = excluded.document \
         WHERE (s.content_type, s.document) IS DISTINCT FROM (excluded.content_type, excluded.document) RETURNING id",
    )
    .bind(cx.engine.new_id())
    .bind(cx.id)
    .bind(SCHEMA)
    .bind(cx.now)
    .bind(SCHEMA_TYPE)
    .bind(json!({"components": {"schemas": found.schemas}}))
    .fetch_optional(&mut *cx.conn)
    .await?;
    if let Some(id) = stored {
        cx.changed("api_schemas", id);
    }
    Ok(())
}

/// Tags the operations as the document does, with tags of the service that are made where they are missing.
/// Tags that somebody else put on an operation stay.
async fn tags(cx: &mut Cx<'_>, found: &Description, ids: &HashMap<&str, Uuid>) -> Result<()> {
    let mut wanted: HashMap<String, String> = HashMap::new();
    let (mut operations, mut names) = (Vec::new(), Vec::new());
    for operation in &found.operations {
        for tag in &operation.tags {
            let name = tag_name(tag);
            let Some(id) = ids
                .get(operation.name.as_str())
                .filter(|_| !name.is_empty())
            else {
                continue;
            };
            operations.push(*id);
            names.push(name.to_lowercase());
            wanted
                .entry(name)
                .or_insert_with(|| tag.chars().take(160).collect());
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let (tag_names, titles): (Vec<String>, Vec<String>) = wanted.into_iter().unzip();
    let tag_ids: Vec<Uuid> = tag_names.iter().map(|_| cx.engine.new_id()).collect();
    sqlx::query(
        "INSERT INTO tags (id, parent_id, name, rev, created_at, updated_at, display_name) \
         SELECT r.id, $1, r.name, 1, $2, $2, r.title FROM unnest($3::uuid[], $4::text[], $5::text[]) AS r(id, name, title) \
         ON CONFLICT DO NOTHING",
    )
    .bind(cx.service.id)
    .bind(cx.now)
    .bind(tag_ids)
    .bind(tag_names)
    .bind(titles)
    .execute(&mut *cx.conn)
    .await?;
    sqlx::query(
        "INSERT INTO operation_tags (operation_id, tag_id) \
         SELECT r.operation, t.id FROM unnest($2::uuid[], $3::text[]) AS r(operation, tag) \
         JOIN tags t ON t.parent_id = $1 AND lower(t.name) = r.tag ON CONFLICT DO NOTHING",
    )
    .bind(cx.service.id)
    .bind(operations)
    .bind(names)
    .execute(&mut *cx.conn)
    .await?;
    Ok(())
}

/// The resource name of a tag: its letters and digits, with single hyphens between.
fn tag_name(tag: &str) -> String {
    let mut name = String::new();
    for c in tag.chars() {
        if c.is_alphanumeric() || c == '_' {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name: String = name.chars().take(80).collect();
    name.trim_end_matches('-').to_owned()
}

fn report<'a>(cx: &'a mut Cx<'_>, _: &'a dyn Entity) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move {
        let found: Option<(chrono::DateTime<chrono::Utc>, String, Value)> =
            sqlx::query_as("SELECT imported_at, format, report FROM api_sources WHERE api_id = $1")
                .bind(cx.id)
                .fetch_optional(&mut *cx.conn)
                .await?;
        let Some((imported_at, format, mut report)) = found else {
            return Err(Error::not_found("Import"));
        };
        report["importedAt"] = imported_at
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            .into();
        report["format"] = format.into();
        Ok(Reply::ok(report))
    })
}
