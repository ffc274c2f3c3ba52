//! Writes OpenAPI 3.0 and Swagger 2.0.

use crate::{
    Description, Format, KeyNames, Operation, Parameter, Representation, Response, scheme,
    template_names,
};
use serde_json::{Map, Value, json};

const SCHEMAS: &str = "#/components/schemas/";

/// Writes a description: [`Format::Openapi`] as YAML and [`Format::OpenapiJson`] as JSON of OpenAPI 3.0,
/// [`Format::SwaggerJson`] as JSON of OpenAPI 2.0. Reading it again gives the same description.
///
/// A URL template that OpenAPI cannot express (two operations that differ only in the query, a value that is not a
/// parameter) is the key of the path as it is; methods that the version does not know stand under
/// `x-additionalOperations`. [`read`](crate::read) understands both.
///
/// # Errors
/// For the formats that are not written, with the reason.
pub fn write(description: &Description, format: Format) -> Result<String, String> {
    let description = &resolvable(description);
    let document = match format {
        Format::Openapi | Format::OpenapiJson => openapi(description),
        Format::SwaggerJson => swagger(description),
        Format::Wsdl | Format::Wadl | Format::Graphql | Format::Odata | Format::Grpc => {
            return Err(format!(
                "This API cannot be written as {}; openapi, openapi+json and swagger-json can.",
                format.media_type()
            ));
        }
    };
    if format == Format::Openapi {
        let mut out = String::new();
        yaml(&document, 0, &mut out);
        Ok(out)
    } else {
        serde_json::to_string_pretty(&document).map_err(|error| error.to_string())
    }
}

/// The description without names of types that it does not hold: of a WSDL, or of a schema that was deleted.
fn resolvable(description: &Description) -> Description {
    let mut description = description.clone();
    let Description {
        operations,
        schemas,
        ..
    } = &mut description;
    let check = |name: &mut Option<String>| {
        if name
            .as_ref()
            .is_some_and(|name| !schemas.contains_key(name))
        {
            *name = None;
        }
    };
    let body = |representation: &mut Representation| {
        check(&mut representation.type_name);
        for field in representation.form_parameters.iter_mut().flatten() {
            check(&mut field.type_name);
        }
    };
    for operation in operations {
        let mut named: Vec<&mut Parameter> = operation.template_parameters.iter_mut().collect();
        if let Some(request) = &mut operation.request {
            named.extend(request.query_parameters.iter_mut());
            named.extend(request.headers.iter_mut());
            request.representations.iter_mut().for_each(body);
        }
        for response in &mut operation.responses {
            named.extend(response.headers.iter_mut());
            response.representations.iter_mut().for_each(body);
        }
        for parameter in named {
            check(&mut parameter.type_name);
        }
    }
    description
}

fn set<T: Into<Value>>(map: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into());
    }
}

fn info(description: &Description) -> Value {
    let mut info = Map::new();
    set(&mut info, "title", Some(description.display_name.clone()));
    set(&mut info, "description", description.description.clone());
    set(
        &mut info,
        "termsOfService",
        description.terms_of_service_url.clone(),
    );
    set(&mut info, "contact", description.contact.clone());
    // A licence without a name is none in OpenAPI.
    set(&mut info, "license", description.license.clone());
    // Required by OpenAPI, optional here.
    let version = description
        .version
        .clone()
        .unwrap_or_else(|| "1.0".to_owned());
    set(&mut info, "version", Some(version));
    Value::Object(info)
}

fn openapi(description: &Description) -> Value {
    let mut servers = Vec::new();
    if let Some(url) = &description.service_url {
        servers.push(json!({"url": url}));
        if let Some((own, rest)) = scheme(url) {
            servers.extend(
                description
                    .protocols
                    .iter()
                    .filter(|other| !other.eq_ignore_ascii_case(own))
                    .map(|other| json!({"url": format!("{other}://{rest}")})),
            );
        }
    }
    let mut document = Map::new();
    document.insert("openapi".into(), "3.0.3".into());
    document.insert("info".into(), info(description));
    if !servers.is_empty() {
        document.insert("servers".into(), servers.into());
    }
    document.insert(
        "paths".into(),
        paths(
            description,
            &[
                "get", "put", "post", "delete", "options", "head", "patch", "trace",
            ],
            operation,
        ),
    );
    let mut components = Map::new();
    if !description.schemas.is_empty() {
        let schemas: Map<_, _> = description
            .schemas
            .iter()
            .map(|(name, schema)| (name.clone(), downgraded(schema)))
            .collect();
        components.insert("schemas".into(), schemas.into());
    }
    if let Some(names) = &description.subscription_key {
        components.insert("securitySchemes".into(), security(names));
    }
    if !components.is_empty() {
        document.insert("components".into(), components.into());
    }
    if description.subscription_key.is_some() {
        document.insert("security".into(), either());
    }
    Value::Object(document)
}

fn security(names: &KeyNames) -> Value {
    json!({
        "apiKeyHeader": {"type": "apiKey", "name": names.header, "in": "header"},
        "apiKeyQuery": {"type": "apiKey", "name": names.query, "in": "query"}
    })
}

/// One of the two is enough.
fn either() -> Value {
    json!([{"apiKeyHeader": []}, {"apiKeyQuery": []}])
}

/// The key of the path and the parameters of the query that the template names.
fn place(template: &str) -> (&str, Option<Vec<&str>>) {
    let Some((path, query)) = template.split_once('?') else {
        return (template, Some(Vec::new()));
    };
    let names = query
        .split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (value.strip_prefix('{')?.strip_suffix('}')? == name).then_some(name)
        })
        .collect();
    (path, names)
}

fn paths(
    description: &Description,
    methods: &[&str],
    print: impl Fn(&Operation, &[&str]) -> Map<String, Value>,
) -> Value {
    let mut paths = Map::new();
    for operation in &description.operations {
        let method = operation.method.to_lowercase();
        let (path, in_query) = place(&operation.url_template);
        let plain = methods.contains(&method.as_str());
        let taken = paths.get(path).is_some_and(|item: &Value| {
            item.get(&method).is_some()
                || item["x-additionalOperations"]
                    .get(&operation.method)
                    .is_some()
        });
        let (key, in_query) = match in_query {
            Some(names) if !taken => (path, names),
            _ => (operation.url_template.as_str(), Vec::new()),
        };
        let printed = print(operation, &in_query);
        let item = paths.entry(key).or_insert_with(|| json!({}));
        if plain {
            item[method] = Value::Object(printed);
        } else {
            item["x-additionalOperations"][operation.method.as_str()] = Value::Object(printed);
        }
    }
    Value::Object(paths)
}

fn head(operation: &Operation) -> Map<String, Value> {
    let mut out = Map::new();
    if !operation.tags.is_empty() {
        out.insert("tags".into(), json!(operation.tags));
    }
    set(&mut out, "summary", Some(operation.display_name.clone()));
    set(&mut out, "description", operation.description.clone());
    set(&mut out, "operationId", Some(operation.name.clone()));
    out
}

/// All parameters with their places, those of the template first.
fn parameters<'a>(
    operation: &'a Operation,
    in_query: &[&str],
) -> Vec<(&'static str, &'a Parameter)> {
    let in_path = template_names(place(&operation.url_template).0).unwrap_or_default();
    let mut out: Vec<_> = operation
        .template_parameters
        .iter()
        .map(|parameter| {
            let name = parameter.name.as_str();
            let queried = in_query.contains(&name) || !in_path.contains(&name);
            (if queried { "query" } else { "path" }, parameter)
        })
        .collect();
    if let Some(request) = &operation.request {
        out.extend(request.query_parameters.iter().map(|p| ("query", p)));
        out.extend(request.headers.iter().map(|p| ("header", p)));
    }
    out
}

fn operation(operation: &Operation, in_query: &[&str]) -> Map<String, Value> {
    let mut out = head(operation);
    let parameters: Vec<Value> = parameters(operation, in_query)
        .into_iter()
        .map(|(place, parameter)| {
            let mut out = Map::new();
            set(&mut out, "name", Some(parameter.name.clone()));
            set(&mut out, "in", Some(place));
            let required = parameter.required == Some(true) || place == "path";
            described(parameter, required, &mut out);
            Value::Object(out)
        })
        .collect();
    if !parameters.is_empty() {
        out.insert("parameters".into(), parameters.into());
    }
    if let Some(request) = &operation.request
        && (!request.representations.is_empty() || request.description.is_some())
    {
        let mut body = Map::new();
        set(&mut body, "description", request.description.clone());
        body.insert("content".into(), content(&request.representations));
        out.insert("requestBody".into(), body.into());
    }
    let responses: Map<_, _> = operation
        .responses
        .iter()
        .map(|response| {
            let mut out = Map::new();
            set(
                &mut out,
                "description",
                Some(response.description.clone().unwrap_or_default()),
            );
            if !response.headers.is_empty() {
                let headers: Map<_, _> = response
                    .headers
                    .iter()
                    .map(|header| {
                        let mut out = Map::new();
                        described(header, header.required == Some(true), &mut out);
                        (header.name.clone(), out.into())
                    })
                    .collect();
                out.insert("headers".into(), headers.into());
            }
            if !response.representations.is_empty() {
                out.insert("content".into(), content(&response.representations));
            }
            (response.status_code.to_string(), out.into())
        })
        .collect();
    out.insert("responses".into(), Value::Object(responses));
    out
}

/// What parameters and headers have in common in version 3.
fn described(parameter: &Parameter, required: bool, out: &mut Map<String, Value>) {
    set(out, "description", parameter.description.clone());
    set(out, "required", required.then_some(true));
    let schema = match &parameter.type_name {
        Some(name) => json!({"$ref": format!("{SCHEMAS}{}", escaped(name))}),
        None => Value::Object(typed(parameter)),
    };
    out.insert("schema".into(), schema);
    examples(parameter.examples.as_ref(), out);
}

fn examples(examples: Option<&Value>, out: &mut Map<String, Value>) {
    if let Some(Value::Object(examples)) = examples {
        match examples.get("default").and_then(Value::as_object) {
            Some(one) if examples.len() == 1 && one.len() == 1 && one.contains_key("value") => {
                set(out, "example", one.get("value").cloned());
            }
            _ => {
                out.insert("examples".into(), examples.clone().into());
            }
        }
    }
}

/// Type, values and default of a parameter. The contract has texts; JSON has the type's own values.
fn typed(parameter: &Parameter) -> Map<String, Value> {
    let known = ["string", "integer", "number", "boolean", "array", "object"];
    let kind = if known.contains(&parameter.kind.as_str()) {
        parameter.kind.as_str()
    } else {
        "string"
    };
    let value = |text: &String| -> Value {
        let parsed = serde_json::from_str::<Value>(text)
            .ok()
            .filter(|value| match kind {
                "integer" | "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                _ => false,
            });
        // Only what prints as the same text again.
        parsed
            .filter(|value| serde_json::to_string(value).is_ok_and(|printed| printed == *text))
            .unwrap_or_else(|| text.clone().into())
    };
    let mut out = Map::new();
    out.insert("type".into(), kind.into());
    let values: Option<Vec<Value>> = parameter
        .values
        .as_ref()
        .map(|values| values.iter().map(value).collect());
    if kind == "array" {
        let items = values.map_or_else(
            || json!({"type": "string"}),
            |values| json!({"type": "string", "enum": values}),
        );
        out.insert("items".into(), items);
    } else {
        set(&mut out, "enum", values);
    }
    set(
        &mut out,
        "default",
        parameter.default_value.as_ref().map(value),
    );
    out
}

fn content(representations: &[Representation]) -> Value {
    representations
        .iter()
        .map(|representation| {
            let mut out = Map::new();
            if let Some(name) = &representation.type_name {
                out.insert(
                    "schema".into(),
                    json!({"$ref": format!("{SCHEMAS}{}", escaped(name))}),
                );
            } else if let Some(fields) = &representation.form_parameters {
                let properties: Map<_, _> = fields
                    .iter()
                    .map(|field| {
                        let mut schema = typed(field);
                        set(&mut schema, "description", field.description.clone());
                        examples(field.examples.as_ref(), &mut schema);
                        (field.name.clone(), Value::Object(schema))
                    })
                    .collect();
                let required: Vec<_> = fields
                    .iter()
                    .filter(|field| field.required == Some(true))
                    .map(|field| field.name.clone())
                    .collect();
                let mut schema = Map::new();
                schema.insert("type".into(), "object".into());
                schema.insert("properties".into(), properties.into());
                set(
                    &mut schema,
                    "required",
                    (!required.is_empty()).then_some(required),
                );
                out.insert("schema".into(), schema.into());
            }
            examples(representation.examples.as_ref(), &mut out);
            (representation.content_type.clone(), Value::Object(out))
        })
        .collect::<Map<_, _>>()
        .into()
}

fn escaped(name: &str) -> String {
    name.replace('%', "%25")
        .replace('~', "~0")
        .replace('/', "~1")
}

/// What 3.1 says differently from 3.0: several types, limits, constants.
fn downgraded(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(downgraded).collect(),
        Value::Object(members) => {
            let mut out = Map::new();
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("example" | "default" | "enum", _) => {
                        out.insert(key.clone(), value.clone());
                    }
                    ("type", Value::Array(kinds)) => {
                        let mut real = kinds.iter().filter(|kind| *kind != "null");
                        let first = real.next().cloned();
                        let rest: Vec<_> = real.cloned().collect();
                        match (first, rest.is_empty()) {
                            (Some(first), true) => {
                                out.insert("type".into(), first);
                            }
                            (Some(first), false) => {
                                let any: Vec<_> = std::iter::once(first)
                                    .chain(rest)
                                    .map(|kind| json!({"type": kind}))
                                    .collect();
                                out.insert("anyOf".into(), any.into());
                            }
                            (None, _) => {}
                        }
                        if kinds.iter().any(|kind| kind == "null") {
                            out.insert("nullable".into(), true.into());
                        }
                    }
                    ("exclusiveMinimum" | "exclusiveMaximum", Value::Number(limit)) => {
                        let bound = if key == "exclusiveMinimum" {
                            "minimum"
                        } else {
                            "maximum"
                        };
                        out.insert(bound.into(), limit.clone().into());
                        out.insert(key.clone(), true.into());
                    }
                    ("const", _) => {
                        out.insert("enum".into(), json!([value]));
                    }
                    _ => {
                        out.insert(key.clone(), downgraded(value));
                    }
                }
            }
            Value::Object(out)
        }
        value => value.clone(),
    }
}

fn swagger(description: &Description) -> Value {
    let mut document = Map::new();
    document.insert("swagger".into(), "2.0".into());
    document.insert("info".into(), info(description));
    if let Some((own, rest)) = description.service_url.as_deref().and_then(scheme) {
        let (host, base) = rest
            .split_once('/')
            .map_or((rest, ""), |(host, base)| (host, base));
        document.insert("host".into(), host.into());
        if !base.is_empty() {
            document.insert("basePath".into(), format!("/{base}").into());
        }
        let mut schemes = description.protocols.clone();
        if !schemes.iter().any(|known| known.eq_ignore_ascii_case(own)) {
            schemes.push(own.to_ascii_lowercase());
        }
        document.insert("schemes".into(), json!(schemes));
    } else if !description.protocols.is_empty() {
        document.insert("schemes".into(), json!(description.protocols));
    }
    document.insert(
        "paths".into(),
        paths(
            description,
            &["get", "put", "post", "delete", "options", "head", "patch"],
            old_operation,
        ),
    );
    if !description.schemas.is_empty() {
        let definitions: Map<_, _> = description
            .schemas
            .iter()
            .map(|(name, schema)| (name.clone(), redefined(schema)))
            .collect();
        document.insert("definitions".into(), definitions.into());
    }
    if let Some(names) = &description.subscription_key {
        document.insert("securityDefinitions".into(), security(names));
        document.insert("security".into(), either());
    }
    Value::Object(document)
}

/// References of version 3 as those of 2.0.
fn redefined(schema: &Value) -> Value {
    redirected(schema, SCHEMAS, "#/definitions/")
}

/// A schema whose references begin with `to` where they began with `from`.
pub(crate) fn redirected(schema: &Value, from: &str, to: &str) -> Value {
    match schema {
        Value::Array(items) => items
            .iter()
            .map(|item| redirected(item, from, to))
            .collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let value = match (key.as_str(), value.as_str()) {
                    ("example" | "default" | "enum", _) => value.clone(),
                    ("$ref", Some(text)) => match text.strip_prefix(from) {
                        Some(name) => format!("{to}{name}").into(),
                        None => value.clone(),
                    },
                    _ => redirected(value, from, to),
                };
                (key.clone(), value)
            })
            .collect::<Map<_, _>>()
            .into(),
        value => value.clone(),
    }
}

fn old_operation(operation: &Operation, in_query: &[&str]) -> Map<String, Value> {
    let mut out = head(operation);
    let representations = operation
        .request
        .as_ref()
        .map_or(&[][..], |request| &request.representations);
    if !representations.is_empty() {
        let types: Vec<_> = representations
            .iter()
            .map(|r| r.content_type.clone())
            .collect();
        out.insert("consumes".into(), json!(types));
    }
    let mut produces: Vec<&str> = Vec::new();
    for representation in operation.responses.iter().flat_map(|r| &r.representations) {
        if !produces.contains(&representation.content_type.as_str()) {
            produces.push(&representation.content_type);
        }
    }
    if !produces.is_empty() {
        out.insert("produces".into(), json!(produces));
    }
    let mut printed: Vec<Value> = parameters(operation, in_query)
        .into_iter()
        .map(|(place, parameter)| old_parameter(parameter, Some(place)).into())
        .collect();
    let form = representations
        .iter()
        .find_map(|r| r.form_parameters.as_ref());
    if let Some(form) = form {
        printed.extend(
            form.iter()
                .map(|field| Value::from(old_parameter(field, Some("formData")))),
        );
    } else if let Some(request) = &operation.request
        && let Some(first) = representations.first()
    {
        // One body for all content types: 2.0 knows no more.
        let named = representations
            .iter()
            .find(|r| r.type_name.is_some())
            .unwrap_or(first);
        let mut body = Map::new();
        set(&mut body, "name", Some("body"));
        set(&mut body, "in", Some("body"));
        set(&mut body, "description", request.description.clone());
        body.insert("schema".into(), old_schema(named));
        printed.push(body.into());
    }
    if !printed.is_empty() {
        out.insert("parameters".into(), printed.into());
    }
    let responses: Map<_, _> = operation
        .responses
        .iter()
        .map(|response| (response.status_code.to_string(), old_response(response)))
        .collect();
    out.insert("responses".into(), Value::Object(responses));
    out
}

fn old_schema(representation: &Representation) -> Value {
    match &representation.type_name {
        Some(name) => json!({"$ref": format!("#/definitions/{}", escaped(name))}),
        None => json!({}),
    }
}

fn old_parameter(parameter: &Parameter, place: Option<&str>) -> Map<String, Value> {
    let mut out = Map::new();
    set(&mut out, "name", place.map(|_| parameter.name.clone()));
    set(&mut out, "in", place);
    set(&mut out, "description", parameter.description.clone());
    let required = parameter.required == Some(true) || place == Some("path");
    set(&mut out, "required", required.then_some(true));
    let mut kind = typed(parameter);
    // 2.0 has no objects outside bodies.
    if kind.get("type").is_some_and(|kind| kind == "object") {
        kind.insert("type".into(), "string".into());
    }
    out.extend(kind);
    out
}

fn old_response(response: &Response) -> Value {
    let mut out = Map::new();
    set(
        &mut out,
        "description",
        Some(response.description.clone().unwrap_or_default()),
    );
    if let Some(first) = response
        .representations
        .iter()
        .find(|r| r.type_name.is_some())
    {
        out.insert("schema".into(), old_schema(first));
    } else if !response.representations.is_empty() {
        out.insert("schema".into(), json!({}));
    }
    if !response.headers.is_empty() {
        let headers: Map<_, _> = response
            .headers
            .iter()
            .map(|header| (header.name.clone(), old_parameter(header, None).into()))
            .collect();
        out.insert("headers".into(), headers.into());
    }
    let given: Map<_, _> = response
        .representations
        .iter()
        .filter_map(|representation| {
            let examples = representation.examples.as_ref()?.as_object()?;
            let first = examples
                .get("default")
                .or_else(|| examples.values().next())?;
            Some((
                representation.content_type.clone(),
                first.get("value")?.clone(),
            ))
        })
        .collect();
    if !given.is_empty() {
        out.insert("examples".into(), given.into());
    }
    out.into()
}

/// JSON values as YAML in block style. Every JSON string is also a YAML string, so only harmless ones lose the quotes.
fn yaml(value: &Value, indent: usize, out: &mut String) {
    let pad = |out: &mut String| out.extend(std::iter::repeat_n(' ', indent));
    let nested = |value: &Value| {
        value.as_object().is_some_and(|map| !map.is_empty())
            || value.as_array().is_some_and(|list| !list.is_empty())
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                pad(out);
                out.push_str(&scalar(key));
                if nested(value) {
                    out.push_str(":\n");
                    yaml(value, indent + 2, out);
                } else {
                    out.push_str(": ");
                    yaml(value, 0, out);
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                pad(out);
                if nested(item) {
                    // The dash takes the place of the first line's indentation.
                    let mut inner = String::new();
                    yaml(item, indent + 2, &mut inner);
                    out.push_str("- ");
                    out.push_str(inner.get(indent + 2..).unwrap_or_default());
                } else {
                    out.push_str("- ");
                    yaml(item, 0, out);
                }
            }
        }
        Value::String(text) => {
            out.push_str(&scalar(text));
            out.push('\n');
        }
        value => {
            out.push_str(&value.to_string());
            out.push('\n');
        }
    }
}

fn scalar(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(' ')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-/. {}$".contains(&b))
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        text.to_owned()
    } else {
        // JSON leaves DEL and the line separators of Unicode as they are; YAML folds or refuses them.
        Value::from(text)
            .to_string()
            .chars()
            .map(|c| match c {
                '\u{7f}'..='\u{9f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}' => {
                    format!("\\u{:04x}", u32::from(c))
                }
                c => c.to_string(),
            })
            .collect()
    }
}
