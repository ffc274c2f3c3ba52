//! Export: an API as a document.
//!
//! An API that nobody touched since its import is answered with the very document that was imported, where that is in
//! the language that is asked for. Any other is written from what is stored; as with Azure, the document's server is
//! then the gateway.

use crate::import::STATE;
use description::{ApiType, Description, Format, Operation};
use engine::{Error, PgConnection, Result, Value, sqlx};
use serde_json::{Map, json};
use sqlx::Row as _;
use uuid::Uuid;

/// A document that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Media type.
    pub media_type: &'static str,
    /// The document.
    pub text: String,
}

/// The language that `format` of an export asks for, and the contract's name of it in the reply.
///
/// # Errors
/// For formats that are not written.
pub fn format(name: &str) -> Result<(Format, &'static str)> {
    // A `+` that a client did not escape arrives as a space.
    match name.to_ascii_lowercase().replace(' ', "+").as_str() {
        "swagger-link" | "swagger-link-json" => Ok((Format::SwaggerJson, "swagger-link-json")),
        "openapi-link" => Ok((Format::Openapi, "openapi-link")),
        "openapi+json-link" => Ok((Format::OpenapiJson, "openapi+json-link")),
        "wsdl-link" | "wsdl-link+xml" => Ok((Format::Wsdl, "wsdl-link+xml")),
        _ => Err(Error::invalid(
            "format",
            "must be one of swagger-link, openapi-link, openapi+json-link and wsdl-link; WADL is not written",
        )),
    }
}

/// Writes an API. `gateway_url` is the URL of its service's gateway.
///
/// # Errors
/// When the API is gone, or cannot be written in this language.
pub async fn document(
    conn: &mut PgConnection,
    api: Uuid,
    format: Format,
    gateway_url: &str,
) -> Result<Document> {
    let source: Option<(String, String, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT format, document, state = ({STATE}) FROM api_sources WHERE api_id = $1"
    )))
    .bind(api)
    .fetch_optional(&mut *conn)
    .await?;
    if let Some((name, text, true)) = source
        && language(&name, &text) == Some(format)
    {
        return Ok(Document {
            media_type: format.media_type(),
            text,
        });
    }
    if format == Format::Wsdl {
        return Err(Error::invalid(
            "format",
            "can be wsdl-link only for an API that was imported from WSDL and not changed since",
        ));
    }
    written(conn, api, format, gateway_url).await
}

/// As [`document`], but always written from what is stored: what developers may see, because an imported document names
/// the web service behind the gateway.
///
/// # Errors
/// When the API is gone, or cannot be written in this language.
pub async fn written(
    conn: &mut PgConnection,
    api: Uuid,
    format: Format,
    gateway_url: &str,
) -> Result<Document> {
    let description = describe(conn, api, gateway_url).await?;
    let text =
        description::write(&description, format).map_err(|why| Error::invalid("format", why))?;
    Ok(Document {
        media_type: format.media_type(),
        text,
    })
}

/// The language of a stored document, which may be another version than its format said.
fn language(name: &str, text: &str) -> Option<Format> {
    match Format::named(name)?.0 {
        Format::Wsdl => Some(Format::Wsdl),
        _ => description::language(text),
    }
}

/// An API as it is stored.
async fn describe(conn: &mut PgConnection, api: Uuid, gateway_url: &str) -> Result<Description> {
    let row = sqlx::query(
        "SELECT display_name, description, path, protocols, type, api_version, terms_of_service_url, contact, license, \
         CASE WHEN subscription_required THEN subscription_key_parameter_names END AS key_names \
         FROM apis WHERE id = $1",
    )
    .bind(api)
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| Error::not_found("Api"))?;
    let path: String = row.try_get("path")?;
    let protocols: Value = row.try_get("protocols")?;
    let protocols: Vec<String> = serde_json::from_value(protocols).map_err(Error::internal)?;
    let kind: String = row.try_get("type")?;
    let service_url = format!("{}/{path}", gateway_url.trim_end_matches('/'));
    let mut description = Description {
        display_name: row.try_get("display_name")?,
        description: row.try_get("description")?,
        service_url: Some(service_url.trim_end_matches('/').to_owned()),
        path_suggestion: None,
        protocols,
        version: row.try_get("api_version")?,
        terms_of_service_url: row.try_get("terms_of_service_url")?,
        contact: row.try_get("contact")?,
        license: row.try_get("license")?,
        api_type: if kind == "soap" {
            ApiType::Soap
        } else {
            ApiType::Http
        },
        subscription_key: row
            .try_get::<Option<Value>, _>("key_names")?
            .map(serde_json::from_value)
            .transpose()
            .map_err(Error::internal)?,
        ..Description::default()
    };
    let operations = sqlx::query(
        "SELECT o.name, o.display_name, o.method, o.url_template, o.template_parameters, o.description, o.request, \
         o.responses, (SELECT coalesce(jsonb_agg(t.display_name ORDER BY t.display_name), '[]') FROM operation_tags x \
         JOIN tags t ON t.id = x.tag_id WHERE x.operation_id = o.id) AS tags \
         FROM api_operations o WHERE o.parent_id = $1 ORDER BY lower(o.url_template), o.method",
    )
    .bind(api)
    .fetch_all(&mut *conn)
    .await?;
    for row in operations {
        let operation = json!({
            "name": row.try_get::<String, _>("name")?,
            "displayName": row.try_get::<String, _>("display_name")?,
            "method": row.try_get::<String, _>("method")?,
            "urlTemplate": row.try_get::<String, _>("url_template")?,
            "templateParameters": row.try_get::<Value, _>("template_parameters")?,
            "description": row.try_get::<Option<String>, _>("description")?,
            "request": row.try_get::<Option<Value>, _>("request")?,
            "responses": row.try_get::<Value, _>("responses")?,
            "tags": row.try_get::<Value, _>("tags")?,
        });
        let operation: Operation = serde_json::from_value(operation).map_err(Error::internal)?;
        description.operations.push(operation);
    }
    let documents: Vec<Value> = sqlx::query_scalar(
        "SELECT document FROM api_schemas WHERE parent_id = $1 ORDER BY lower(name)",
    )
    .bind(api)
    .fetch_all(&mut *conn)
    .await?;
    for document in &documents {
        for types in [&document["components"]["schemas"], &document["definitions"]] {
            for (name, schema) in types.as_object().unwrap_or(&Map::new()) {
                if !description.schemas.contains_key(name) {
                    let schema = description::modern(schema);
                    description.schemas.insert(name.clone(), schema);
                }
            }
        }
    }
    Ok(description)
}
