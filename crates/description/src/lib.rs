//! Descriptions of APIs, in and out: the documents that publishers import and export.
//!
//! [`read`] takes OpenAPI 2.0, 3.0 and 3.1 in JSON or YAML and WSDL 1.1, and gives one [`Description`]: what the
//! contract stores for an API and its operations. [`write`] is the way back, to OpenAPI 3.0 and Swagger 2.0.
//! The structs print the same JSON as the contract's resources, so a caller converts by serde.
//!
//! A document passes through three steps. `source` parses text into a tree in which every key and value
//! knows its line and column (serde_json and a YAML parser do the syntax). `openapi` and `wsdl` walk the tree
//! and collect every [`Problem`] instead of stopping at the first. `export` prints.
//!
//! An existing OpenAPI model such as `roas` was rejected: its types lose the positions, differ for each
//! version, and refuse documents that the rest of the world accepts.
//!
//! Nothing here does input or output, and nothing is unbounded: a document has at most [`MAX_BYTES`], its tree
//! at most [`MAX_NODES`] values (so that YAML aliases cannot multiply) and [`MAX_DEPTH`] levels.

mod export;
mod openapi;
mod source;
mod wsdl;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use export::write;

/// Largest document, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most values in a document, aliases expanded.
pub const MAX_NODES: usize = 2_000_000;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 100;
/// Most problems that are reported for one document.
pub const MAX_PROBLEMS: usize = 50;

/// The language of a document, by the contract's names of formats (rules §7), without `-link`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `openapi`: YAML or JSON. Written as YAML.
    Openapi,
    /// `openapi+json`
    OpenapiJson,
    /// `swagger-json`: OpenAPI 2.0.
    SwaggerJson,
    /// `wsdl`
    Wsdl,
    /// `wadl-xml`; neither read nor written.
    Wadl,
    /// `graphql`; neither read nor written.
    Graphql,
    /// `odata`; neither read nor written.
    Odata,
    /// `grpc`; neither read nor written.
    Grpc,
}

impl Format {
    /// The format that the contract calls so, and whether the value is a link to the document.
    #[must_use]
    pub fn named(name: &str) -> Option<(Self, bool)> {
        Some(match name.to_ascii_lowercase().as_str() {
            "openapi" => (Self::Openapi, false),
            "openapi-link" => (Self::Openapi, true),
            "openapi+json" => (Self::OpenapiJson, false),
            "openapi+json-link" => (Self::OpenapiJson, true),
            "swagger-json" => (Self::SwaggerJson, false),
            "swagger-link-json" | "swagger-link" => (Self::SwaggerJson, true),
            "wsdl" => (Self::Wsdl, false),
            "wsdl-link" => (Self::Wsdl, true),
            "wadl-xml" => (Self::Wadl, false),
            "wadl-link-json" | "wadl-link" => (Self::Wadl, true),
            "graphql" => (Self::Graphql, false),
            "graphql-link" => (Self::Graphql, true),
            "odata" => (Self::Odata, false),
            "odata-link" => (Self::Odata, true),
            "grpc" => (Self::Grpc, false),
            "grpc-link" => (Self::Grpc, true),
            _ => return None,
        })
    }

    /// Media type of a document of this format.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Openapi => "application/vnd.oai.openapi",
            Self::OpenapiJson => "application/vnd.oai.openapi+json",
            Self::SwaggerJson => "application/vnd.swagger.doc+json",
            Self::Wsdl => "application/wsdl+xml",
            Self::Wadl => "application/vnd.sun.wadl+xml",
            Self::Graphql => "application/graphql",
            Self::Odata => "application/xml",
            Self::Grpc => "text/plain",
        }
    }
}

/// What becomes of required query parameters (`translateRequiredQueryParameters`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequiredQuery {
    /// They become part of the URL template: `/pets?limit={limit}`.
    #[default]
    Template,
    /// They stay query parameters.
    Query,
}

/// How to read a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What becomes of required query parameters.
    pub translate_required_query_parameters: RequiredQuery,
    /// Counts instead of the document's own web service.
    pub service_url_override: Option<String>,
    /// Id of the schema resource that will hold the types; representations refer to it.
    pub schema_id: String,
    /// `wsdlServiceName` of the contract's selector: the service of the WSDL; the first one when absent.
    pub wsdl_service: Option<String>,
    /// `wsdlEndpointName` of the contract's selector: the port of that service; its first SOAP port when absent.
    pub wsdl_endpoint: Option<String>,
}

/// Something wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// Where, as keys: `paths./pets.get.parameters[0]`; empty for the document itself.
    pub path: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Whether operations are plain HTTP or SOAP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiType {
    /// REST.
    #[default]
    Http,
    /// SOAP, passed through.
    Soap,
}

/// Names under which callers send a subscription key. In documents these are the security schemes `apiKeyHeader` and
/// `apiKeyQuery`, as Azure writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyNames {
    /// Header.
    pub header: String,
    /// Query parameter.
    pub query: String,
}

/// An API, as a document describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Title.
    pub display_name: String,
    /// Description; may hold CommonMark.
    pub description: Option<String>,
    /// Absolute URL of the web service.
    pub service_url: Option<String>,
    /// URL suffix that the document's own address suggests, without slashes around it.
    pub path_suggestion: Option<String>,
    /// Schemes that the document offers: `http`, `https`, `ws`, `wss`.
    pub protocols: Vec<String>,
    /// Version of the API.
    pub version: Option<String>,
    /// Terms of service.
    pub terms_of_service_url: Option<String>,
    /// `{name, url, email}`
    pub contact: Option<Value>,
    /// `{name, url}`
    pub license: Option<Value>,
    /// REST or SOAP.
    pub api_type: ApiType,
    /// Where callers put a subscription key; `None` where they need none.
    pub subscription_key: Option<KeyNames>,
    /// Operations in the order of the document; names, and method with template, are unique without case.
    pub operations: Vec<Operation>,
    /// JSON schemas by type name; they refer to each other as `#/components/schemas/{name}`.
    pub schemas: Map<String, Value>,
}

/// An operation, in the shape of the contract's resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Resource name, at most 80 characters.
    pub name: String,
    /// Name that people see, at most 300 characters.
    pub display_name: String,
    /// HTTP method in capitals.
    pub method: String,
    /// URL template below the API.
    pub url_template: String,
    /// Parameters that the template names, in its order.
    pub template_parameters: Vec<Parameter>,
    /// Description, at most 1,000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The request; `None` where there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// Responses; every status code once.
    pub responses: Vec<Response>,
    /// Names of tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Name.
    pub name: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Value where the caller gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_value: Option<String>,
    /// `Some(true)` where the caller must give one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Values to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// Schema resource that holds its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<String>,
    /// Its type in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Examples by name: `{"default": {"value": 1}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<Value>,
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Query parameters that the template does not name.
    #[serde(default)]
    pub query_parameters: Vec<Parameter>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<Parameter>,
    /// Bodies by content type.
    #[serde(default)]
    pub representations: Vec<Representation>,
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Status code.
    pub status_code: i32,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Bodies by content type.
    #[serde(default)]
    pub representations: Vec<Representation>,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<Parameter>,
}

/// A body of one content type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Representation {
    /// Content type.
    pub content_type: String,
    /// Schema resource that holds its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<String>,
    /// Its type in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Fields of a form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form_parameters: Option<Vec<Parameter>>,
    /// Examples by name: `{"default": {"value": {}}}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<Value>,
}

/// Reads a document.
///
/// # Errors
/// Everything that is wrong with it, at most [`MAX_PROBLEMS`], each with line and column.
pub fn read(text: &str, format: Format, options: &Options) -> Result<Description, Vec<Problem>> {
    let refused = |message: String| {
        Err(vec![Problem {
            line: 1,
            column: 1,
            message,
            path: String::new(),
        }])
    };
    if text.len() > MAX_BYTES {
        return refused(format!(
            "The document has {} bytes; at most {MAX_BYTES} are read.",
            text.len()
        ));
    }
    // Editors on Windows begin files with a byte order mark, which JSON and WSDL parsers refuse.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let unsupported = |name: &str| {
        refused(format!(
            "{name} documents cannot be imported; OpenAPI 2.0, 3.0 and 3.1 and WSDL 1.1 can."
        ))
    };
    match format {
        Format::Openapi => openapi::read(&source::any(text)?, options),
        Format::OpenapiJson | Format::SwaggerJson => openapi::read(&source::json(text)?, options),
        Format::Wsdl => wsdl::read(text, options),
        Format::Wadl => unsupported("WADL"),
        Format::Graphql => unsupported("GraphQL"),
        Format::Odata => unsupported("OData"),
        Format::Grpc => unsupported("gRPC"),
    }
}

/// The language of an OpenAPI document as an export would name it; `None` where it cannot be told, and for OpenAPI 2.0
/// in YAML, which has no name.
#[must_use]
pub fn language(text: &str) -> Option<Format> {
    let is_json = text.trim_start().starts_with('{');
    let root = if is_json {
        source::json(text)
    } else {
        source::any(text)
    }
    .ok()?;
    match (root.get("swagger").is_some(), is_json) {
        (true, true) => Some(Format::SwaggerJson),
        (true, false) => None,
        (false, true) => Some(Format::OpenapiJson),
        (false, false) => Some(Format::Openapi),
    }
}

/// A schema whose references are those of version 3, whatever version it was written for.
#[must_use]
pub fn modern(schema: &Value) -> Value {
    export::redirected(schema, "#/definitions/", "#/components/schemas/")
}

/// Shortens to a number of characters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => text[..at].to_owned(),
    }
}

/// Gives operations names that are unique without case.
#[derive(Default)]
struct Names(std::collections::HashSet<String>);

impl Names {
    /// The resource name for an operation id, or for what describes the operation where it has none.
    ///
    /// An id of letters, digits, hyphens and underscores stays as it is. Others follow the rule that Azure
    /// documents for imports: lower case, other characters become single hyphens, none at the ends, and
    /// 76 of the 80 characters, because `-1` to `-999` are for those that are taken.
    fn name(&mut self, wanted: &str) -> String {
        let plain = wanted.len() <= 80
            && wanted
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && wanted.starts_with(|c: char| c.is_ascii_alphanumeric());
        let base = if plain {
            wanted.to_owned()
        } else {
            let mut base = String::new();
            for c in wanted.chars() {
                if c.is_ascii_alphanumeric() {
                    base.push(c.to_ascii_lowercase());
                } else if !base.is_empty() && !base.ends_with('-') {
                    base.push('-');
                }
            }
            base.truncate(76);
            match base.trim_end_matches('-') {
                "" => "operation".to_owned(),
                base => base.to_owned(),
            }
        };
        let short = &base[..base.len().min(76)];
        let mut name = base.clone();
        let mut count = 0_usize;
        while !self.0.insert(name.to_ascii_lowercase()) {
            count += 1;
            name = format!("{short}-{count}");
        }
        name
    }
}

/// The parameters that a URL template names, in order; `None` where its braces do not match.
fn template_names(template: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        let inner = rest[open..].strip_prefix('{')?;
        let close = inner.find(['{', '}'])?;
        if inner.as_bytes()[close] != b'}' {
            return None;
        }
        let name = inner[..close].trim_start_matches('*');
        if name.is_empty() {
            return None;
        }
        names.push(name);
        rest = &inner[close + 1..];
    }
    Some(names)
}

/// Scheme and the rest of an absolute URL of HTTP or WebSocket.
fn scheme(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    ["http", "https", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
        .then_some((scheme, rest))
        .filter(|(_, rest)| !rest.is_empty())
}

/// The path of a URL or of a relative reference, without slashes around it.
fn path_of(url: &str) -> Option<String> {
    let path = match scheme(url) {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim_matches('/');
    (!path.is_empty() && !path.contains(['{', '}'])).then(|| path.to_owned())
}
