//! Reads OpenAPI 2.0, 3.0 and 3.1.

use crate::{
    Description, KeyNames, MAX_PROBLEMS, Names, Operation, Options, Parameter, Problem,
    Representation, Request, RequiredQuery, Response, path_of, scheme, shortened,
    source::{Data, Node, Position},
    template_names,
};
use serde_json::{Map, Value, json};
use std::{cell::RefCell, collections::HashMap, collections::HashSet};

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// Longest chain of references from one to the next.
const MAX_HOPS: usize = 16;
const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
const SCHEMAS: &str = "#/components/schemas/";
const DEFINITIONS: &str = "#/definitions/";

/// Reads a document.
pub(crate) fn read(root: &Node, options: &Options) -> Result<Description, Vec<Problem>> {
    let old = match version(root) {
        Ok(old) => old,
        Err(problem) => return Err(vec![*problem]),
    };
    let mut reader = Reader {
        root,
        old,
        options,
        problems: Vec::new(),
        schemas: Map::new(),
        targets: RefCell::default(),
    };
    let description = reader.description();
    if reader.problems.is_empty() {
        Ok(description)
    } else {
        reader.problems.truncate(MAX_PROBLEMS);
        Err(reader.problems)
    }
}

/// Whether the document is of version 2.0.
fn version(root: &Node) -> Result<bool, Box<Problem>> {
    let refuse =
        |at: Position, path: &str, message: String| Err(Box::new(at.problem(path, message)));
    if !root.is_object() {
        return refuse(
            root.at,
            "",
            format!("An OpenAPI document is an object; this is {}.", root.noun()),
        );
    }
    for key in ["openapi", "swagger"] {
        let Some(node) = root.get(key) else { continue };
        let version = node.printed().unwrap_or_default();
        let is = |wanted: &str| version == wanted || version.starts_with(&format!("{wanted}."));
        // YAML reads `swagger: 2.0` as a number.
        return match key {
            "swagger" if is("2.0") || version == "2" => Ok(true),
            "openapi" if is("3.0") || is("3.1") || version == "3" => Ok(false),
            _ => refuse(
                node.at,
                key,
                format!("The version '{version}' is not one of 2.0, 3.0 and 3.1."),
            ),
        };
    }
    refuse(
        root.at,
        "",
        "The document names neither 'openapi' nor 'swagger' with its version.".into(),
    )
}

struct Reader<'a> {
    root: &'a Node,
    /// OpenAPI 2.0.
    old: bool,
    options: &'a Options,
    problems: Vec<Problem>,
    schemas: Map<String, Value>,
    /// What references lead to, because a document names few targets often.
    targets: RefCell<HashMap<&'a str, Option<&'a Node>>>,
}

/// One parameter object with its place.
#[derive(Clone)]
struct Given<'a> {
    node: &'a Node,
    name: &'a str,
    place: &'a str,
}

impl<'a> Reader<'a> {
    fn problem(&mut self, at: Position, path: &str, message: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(at.problem(path, message));
        }
    }

    fn text(&mut self, node: &'a Node, path: &str, key: &str) -> Option<String> {
        let value = node.get(key)?;
        if matches!(value.data, Data::Null) {
            return None;
        }
        let printed = value.printed();
        if printed.is_none() {
            let place = joined(path, key);
            self.problem(
                value.at,
                &place,
                format!("must be a string, not {}", value.noun()),
            );
        }
        printed
    }

    /// The target of a local reference.
    fn target(&self, reference: &'a str) -> Option<&'a Node> {
        if let Some(found) = self.targets.borrow().get(reference) {
            return *found;
        }
        let mut found = reference.strip_prefix('#').map(|_| self.root);
        let pointer = reference.strip_prefix("#/").unwrap_or_default();
        for part in pointer.split('/').filter(|_| !pointer.is_empty()) {
            let key = unescaped(part);
            found = found.and_then(|node| match &node.data {
                Data::List(items) => key.parse::<usize>().ok().and_then(|at| items.get(at)),
                _ => node.get(&key),
            });
        }
        self.targets.borrow_mut().insert(reference, found);
        found
    }

    /// Follows `$ref` of anything but a schema; `None` after a problem.
    fn resolved(&mut self, node: &'a Node, path: &str) -> Option<&'a Node> {
        let mut here = node;
        for _ in 0..MAX_HOPS {
            let Some(reference) = here.get("$ref") else {
                if !here.is_object() {
                    self.problem(
                        here.at,
                        path,
                        format!("must be an object, not {}", here.noun()),
                    );
                    return None;
                }
                return Some(here);
            };
            here = self.followed(reference, path)?;
        }
        self.problem(
            node.at,
            path,
            "This reference leads in a circle or through too many others.",
        );
        None
    }

    fn followed(&mut self, reference: &'a Node, path: &str) -> Option<&'a Node> {
        let Some(text) = reference.text() else {
            self.problem(reference.at, path, "'$ref' must be a string.");
            return None;
        };
        if !text.starts_with('#') {
            self.problem(
                reference.at,
                path,
                format!("'{text}' lies outside the document; only references inside it are read. Bundle the documents into one."),
            );
            return None;
        }
        let found = self.target(text);
        if found.is_none() {
            self.problem(reference.at, path, format!("'{text}' does not exist."));
        }
        found
    }

    fn description(&mut self) -> Description {
        let root = self.root;
        let mut description = Description::default();
        match root.get("info").filter(|info| info.is_object()) {
            None => self.problem(root.at, "info", "is required"),
            Some(info) => {
                description.display_name = self.text(info, "info", "title").unwrap_or_default();
                if description.display_name.trim().is_empty() {
                    self.problem(info.at, "info.title", "is required");
                }
                description.description = self.text(info, "info", "description");
                description.version = self.text(info, "info", "version");
                description.terms_of_service_url = self.text(info, "info", "termsOfService");
                for (key, kept) in [
                    ("contact", &["name", "url", "email"][..]),
                    ("license", &["name", "url"][..]),
                ] {
                    let value: Map<String, Value> = info.get(key).map_or_else(Map::new, |node| {
                        node.members()
                            .iter()
                            .filter(|member| kept.contains(&member.key.as_str()))
                            .filter_map(|member| {
                                Some((member.key.clone(), member.node.printed()?.into()))
                            })
                            .collect()
                    });
                    let value = (!value.is_empty()).then_some(Value::Object(value));
                    if key == "contact" {
                        description.contact = value;
                    } else {
                        description.license = value;
                    }
                }
            }
        }
        self.address(&mut description);
        if let Some(url) = &self.options.service_url_override {
            description.service_url = Some(url.clone());
        }
        description.subscription_key = self.subscription_key();
        self.types();
        description.operations = self.operations();
        description.schemas = std::mem::take(&mut self.schemas);
        description
    }

    /// The web service: `servers` of version 3; `schemes`, `host` and `basePath` of 2.0.
    fn address(&mut self, description: &mut Description) {
        let mut urls = Vec::new();
        if self.old {
            let schemes: Vec<String> = self.root.get("schemes").map_or_else(Vec::new, |node| {
                node.items().iter().filter_map(Node::printed).collect()
            });
            let base = self.text(self.root, "", "basePath").unwrap_or_default();
            let base = base.trim_end_matches('/');
            let slash = if base.is_empty() || base.starts_with('/') {
                ""
            } else {
                "/"
            };
            match self
                .text(self.root, "", "host")
                .filter(|host| !host.is_empty())
            {
                None => urls.push(base.to_owned()),
                // Without schemes the document's own is meant, which nobody knows here.
                Some(host) if schemes.is_empty() => {
                    urls.push(format!("https://{host}{slash}{base}"))
                }
                Some(host) => {
                    // An encrypted way is the better default for the gateway.
                    let mut ordered: Vec<&String> = schemes.iter().collect();
                    ordered.sort_by_key(|scheme| !matches!(scheme.as_str(), "https" | "wss"));
                    urls.extend(
                        ordered
                            .iter()
                            .map(|scheme| format!("{scheme}://{host}{slash}{base}")),
                    );
                }
            }
            for scheme in schemes {
                if ["http", "https", "ws", "wss"].contains(&scheme.as_str())
                    && !description.protocols.contains(&scheme)
                {
                    description.protocols.push(scheme);
                }
            }
        } else if let Some(servers) = self.root.get("servers") {
            for (at, server) in servers.items().iter().enumerate() {
                let path = format!("servers[{at}]");
                let Some(mut url) = self.text(server, &path, "url") else {
                    self.problem(server.at, &format!("{path}.url"), "is required");
                    continue;
                };
                for variable in server.get("variables").map_or(&[][..], Node::members) {
                    match variable.node.get("default").and_then(Node::printed) {
                        Some(value) => url = url.replace(&format!("{{{}}}", variable.key), &value),
                        None => self.problem(
                            variable.at,
                            &format!("{path}.variables.{}.default", variable.key),
                            "is required",
                        ),
                    }
                }
                if let Some((scheme, _)) = scheme(&url) {
                    let scheme = scheme.to_ascii_lowercase();
                    if !description.protocols.contains(&scheme) {
                        description.protocols.push(scheme);
                    }
                }
                urls.push(url);
            }
        }
        let Some(first) = urls.first() else { return };
        description.path_suggestion = path_of(first);
        description.service_url = scheme(first).map(|_| first.trim_end_matches('/').to_owned());
    }

    /// The names of the two schemes that [`write`](crate::write) makes; others are the web service's own affair.
    fn subscription_key(&self) -> Option<KeyNames> {
        let schemes = if self.old {
            self.root.get("securityDefinitions")
        } else {
            self.root
                .get("components")
                .and_then(|components| components.get("securitySchemes"))
        }?;
        let name = |scheme: &str| schemes.get(scheme)?.get("name")?.printed();
        Some(KeyNames {
            header: name("apiKeyHeader")?,
            query: name("apiKeyQuery")?,
        })
    }

    /// The document's types.
    fn types(&mut self) {
        let (node, path) = if self.old {
            (self.root.get("definitions"), "definitions")
        } else {
            (
                self.root
                    .get("components")
                    .and_then(|node| node.get("schemas")),
                "components.schemas",
            )
        };
        for member in node.map_or(&[][..], Node::members) {
            let schema = self.schema(&member.node, &joined(path, &member.key));
            self.schemas.insert(member.key.clone(), schema);
        }
    }

    /// A schema as it is stored: references checked, and those of version 2.0 written as in version 3.
    fn schema(&mut self, node: &'a Node, path: &str) -> Value {
        match &node.data {
            Data::List(items) => items.iter().map(|item| self.schema(item, path)).collect(),
            Data::Object(members) => {
                let mut out = Map::new();
                for member in members {
                    let value = match member.key.as_str() {
                        // Data, in which `$ref` is just a key.
                        "example" | "examples" | "default" | "enum" | "const" => {
                            member.node.value()
                        }
                        "$ref" => match member.node.text() {
                            Some(text) => {
                                // 3.1 also knows ids and anchors of schemas; those are not looked for.
                                if (text.starts_with("#/") || !text.starts_with('#'))
                                    && self.followed(&member.node, path).is_none()
                                {
                                    continue;
                                }
                                match text.strip_prefix(DEFINITIONS).filter(|_| self.old) {
                                    Some(name) => format!("{SCHEMAS}{name}").into(),
                                    None => text.into(),
                                }
                            }
                            // A property that happens to be called so.
                            None => self.schema(&member.node, path),
                        },
                        _ => self.schema(&member.node, path),
                    };
                    out.insert(member.key.clone(), value);
                }
                Value::Object(out)
            }
            _ => node.value(),
        }
    }

    /// The name of the type of a body: that of the reference, or a new one for a schema in place.
    fn type_name(&mut self, schema: &'a Node, path: &str, wanted: &str) -> Option<String> {
        if let Some(text) = schema.get("$ref").and_then(Node::text) {
            let prefix = if self.old { DEFINITIONS } else { SCHEMAS };
            if let Some(name) = text.strip_prefix(prefix).filter(|name| !name.contains('/')) {
                let reference = schema.get("$ref")?;
                self.followed(reference, path)?;
                return Some(unescaped(name));
            }
        }
        if schema.members().is_empty() {
            return None;
        }
        let value = self.schema(schema, path);
        let mut name = wanted.to_owned();
        let mut count = 1;
        // The same schema for another content type of the same body needs no second name.
        while self.schemas.get(&name).is_some_and(|known| *known != value) {
            count += 1;
            name = format!("{wanted}-{count}");
        }
        self.schemas.insert(name.clone(), value);
        Some(name)
    }

    fn operations(&mut self) -> Vec<Operation> {
        let mut operations = Vec::new();
        let Some(paths) = self.root.get("paths") else {
            // 3.1 allows documents of components or webhooks only.
            if self.old
                || self.root.get("webhooks").is_none() && self.root.get("components").is_none()
            {
                self.problem(self.root.at, "paths", "is required");
            }
            return operations;
        };
        if !paths.is_object() {
            self.problem(
                paths.at,
                "paths",
                format!("must be an object, not {}", paths.noun()),
            );
        }
        let mut names = Names::default();
        let mut places: HashMap<String, String> = HashMap::new();
        for member in paths.members() {
            if member.key.starts_with("x-") {
                continue;
            }
            let path = joined("paths", &member.key);
            if !member.key.starts_with('/') {
                self.problem(member.at, &path, "A path must begin with '/'.");
                continue;
            }
            if member.key.contains(['#', ' ']) {
                self.problem(member.at, &path, "A path must not contain '#' or spaces.");
                continue;
            }
            let Some(item) = self.resolved(&member.node, &path) else {
                continue;
            };
            let shared = self.parameters(item, &path);
            let mut found: Vec<(String, String, &'a Node)> = item
                .members()
                .iter()
                .filter(|member| METHODS.contains(&member.key.as_str()))
                .map(|member| {
                    (
                        member.key.to_uppercase(),
                        joined(&path, &member.key),
                        &member.node,
                    )
                })
                .collect();
            // Of OpenAPI 3.2, and under `x-` what `write` makes of methods that OpenAPI 3.0 does not know.
            for key in ["additionalOperations", "x-additionalOperations"] {
                for member in item.get(key).map_or(&[][..], Node::members) {
                    let path = format!("{path}.{key}.{}", member.key);
                    found.push((member.key.to_uppercase(), path, &member.node));
                }
            }
            for (method, path, node) in found {
                if !node.is_object() {
                    self.problem(
                        node.at,
                        &path,
                        format!("must be an object, not {}", node.noun()),
                    );
                    continue;
                }
                let Some(operation) = self.operation(
                    &method,
                    &member.key,
                    member.at,
                    &path,
                    node,
                    &shared,
                    &mut names,
                ) else {
                    continue;
                };
                let place = format!("{method} {}", operation.url_template.to_lowercase());
                if let Some(other) = places.insert(place, operation.name.clone()) {
                    self.problem(
                        member.at,
                        &path,
                        format!(
                            "'{method} {}' is also the operation '{other}'; URLs are compared without case.",
                            operation.url_template
                        ),
                    );
                }
                operations.push(operation);
            }
        }
        operations
    }

    /// The parameters of a path or of an operation; the first of a name and place counts.
    fn parameters(&mut self, owner: &'a Node, path: &str) -> Vec<Given<'a>> {
        let mut given: Vec<Given<'a>> = Vec::new();
        let Some(list) = owner.get("parameters") else {
            return given;
        };
        if !matches!(list.data, Data::List(_)) {
            let place = joined(path, "parameters");
            self.problem(
                list.at,
                &place,
                format!("must be a list, not {}", list.noun()),
            );
        }
        for (at, item) in list.items().iter().enumerate() {
            let path = format!("{path}.parameters[{at}]");
            let Some(node) = self.resolved(item, &path) else {
                continue;
            };
            let name = node.get("name").and_then(Node::text).unwrap_or_default();
            let place = node.get("in").and_then(Node::text).unwrap_or_default();
            if name.is_empty() {
                self.problem(node.at, &format!("{path}.name"), "is required");
                continue;
            }
            let known: &[&str] = if self.old {
                &["path", "query", "header", "body", "formData"]
            } else {
                &["path", "query", "header", "cookie"]
            };
            if !known.contains(&place) {
                self.problem(
                    node.get("in").unwrap_or(node).at,
                    &format!("{path}.in"),
                    format!("must be one of {}", known.join(", ")),
                );
                continue;
            }
            if given
                .iter()
                .any(|other| other.name == name && other.place == place)
            {
                self.problem(
                    item.at,
                    &path,
                    format!("The {place} parameter '{name}' is given twice."),
                );
                continue;
            }
            given.push(Given { node, name, place });
        }
        given
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "what an operation is read from, at its only caller"
    )]
    fn operation(
        &mut self,
        method: &str,
        template: &str,
        template_at: Position,
        path: &str,
        node: &'a Node,
        shared: &[Given<'a>],
        names: &mut Names,
    ) -> Option<Operation> {
        let own = self.parameters(node, path);
        let mut given: Vec<Given<'a>> = shared
            .iter()
            .filter(|outer| {
                !own.iter()
                    .any(|g| g.name == outer.name && g.place == outer.place)
            })
            .cloned()
            .collect();
        given.extend(own);

        let summary = self
            .text(node, path, "summary")
            .filter(|text| !text.trim().is_empty());
        let id = self
            .text(node, path, "operationId")
            .filter(|text| !text.trim().is_empty());
        let name = names.name(&id.clone().unwrap_or_else(|| format!("{method}-{template}")));
        let display_name = summary
            .or(id)
            .unwrap_or_else(|| format!("{method} {template}"));

        let Some(in_template) = template_names(template) else {
            self.problem(
                template_at,
                path,
                "The braces of this path do not match, or hold no name.",
            );
            return None;
        };
        let mut url_template = template.to_owned();
        let mut template_parameters = Vec::new();
        let mut seen = HashSet::new();
        for name in &in_template {
            if !seen.insert((*name).to_owned()) {
                self.problem(
                    template_at,
                    path,
                    format!("The path holds the parameter '{name}' twice."),
                );
                continue;
            }
            let found = given
                .iter()
                .find(|g| g.place == "path" && g.name.trim_start_matches('*') == *name)
                // `write` prints templates that OpenAPI cannot express as they are.
                .or_else(|| given.iter().find(|g| g.place == "query" && g.name == *name));
            match found {
                Some(found) => {
                    let mut parameter = self.parameter(found, path);
                    (*name).clone_into(&mut parameter.name);
                    parameter.required = Some(true);
                    template_parameters.push(parameter);
                }
                None => self.problem(
                    node.at,
                    path,
                    format!("The path parameter '{name}' is not defined: neither the operation nor its path has a parameter '{name}' in 'path'."),
                ),
            }
        }

        let mut request = Request::default();
        let mut form = Vec::new();
        for found in &given {
            match found.place {
                "query" if !seen.contains(found.name) => {
                    let parameter = self.parameter(found, path);
                    let fits = !found.name.contains(['{', '}', '#', ' ', '&', '=', '?'])
                        && !found.name.starts_with('*');
                    if parameter.required == Some(true)
                        && fits
                        && self.options.translate_required_query_parameters
                            == RequiredQuery::Template
                    {
                        url_template.push(if url_template.contains('?') { '&' } else { '?' });
                        url_template.push_str(&format!("{0}={{{0}}}", found.name));
                        seen.insert(found.name.to_owned());
                        template_parameters.push(parameter);
                    } else {
                        request.query_parameters.push(parameter);
                    }
                }
                "header" => {
                    let parameter = self.parameter(found, path);
                    request.headers.push(parameter);
                }
                "formData" => {
                    let is_file = found.node.get("type").and_then(Node::text) == Some("file");
                    form.push((self.parameter(found, path), is_file));
                }
                "body" => self.old_body(found.node, node, path, &name, &mut request),
                // The contract has no cookies, and a parameter that the path does not name is none.
                _ => {}
            }
        }
        if url_template.chars().count() > 1000 {
            self.problem(
                template_at,
                path,
                "The URL template is longer than 1000 characters.",
            );
        }
        if !form.is_empty() {
            let content_types = self.media_types(node, "consumes");
            let fields: Vec<Parameter> = form.iter().map(|(field, _)| field.clone()).collect();
            let mut types: Vec<String> = content_types
                .into_iter()
                .filter(|text| text == URLENCODED || text == MULTIPART)
                .collect();
            if types.is_empty() {
                let files = form.iter().any(|(_, is_file)| *is_file);
                types.push(if files { MULTIPART } else { URLENCODED }.to_owned());
            }
            request
                .representations
                .extend(types.into_iter().map(|content_type| Representation {
                    content_type,
                    form_parameters: Some(fields.clone()),
                    ..Representation::default()
                }));
        }
        if let Some(body) = node.get("requestBody").filter(|_| !self.old) {
            let place = joined(path, "requestBody");
            if let Some(body) = self.resolved(body, &place) {
                request.description = self.text(body, &place, "description");
                request.representations = self.content(body, &place, &format!("{name}-request"));
            }
        }
        let responses = self.responses(node, path, &name);
        let description = self
            .text(node, path, "description")
            .filter(|text| !text.is_empty())
            .map(|text| shortened(&text, 1000));
        let tags = node
            .get("tags")
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(Node::printed)
            .collect();
        Some(Operation {
            name,
            display_name: shortened(display_name.trim(), 300),
            method: method.to_owned(),
            url_template,
            template_parameters,
            description,
            request: (request != Request::default()).then_some(request),
            responses,
            tags,
        })
    }

    /// A parameter, a header or a field; type and values are in its schema, in 2.0 in itself.
    fn parameter(&mut self, given: &Given<'a>, path: &str) -> Parameter {
        let Given { node, name, .. } = *given;
        let place = format!("{path}.{name}");
        // A parameter of content type has the schema there.
        let inner = node
            .get("schema")
            .or_else(|| node.get("content")?.members().first()?.node.get("schema"));
        let mut parameter = Parameter {
            name: name.to_owned(),
            description: self.text(node, &place, "description"),
            required: node.get("required").filter(|r| r.is_true()).map(|_| true),
            ..Parameter::default()
        };
        let mut schema = inner.unwrap_or(node);
        for _ in 0..MAX_HOPS {
            let Some(reference) = schema.get("$ref") else {
                break;
            };
            if parameter.type_name.is_none()
                && let Some(name) = reference
                    .text()
                    .and_then(|text| text.strip_prefix(SCHEMAS))
                    .filter(|name| !name.contains('/'))
            {
                parameter.schema_id = Some(self.options.schema_id.clone());
                parameter.type_name = Some(unescaped(name));
            }
            match self.followed(reference, &place) {
                Some(next) => schema = next,
                None => break,
            }
        }
        parameter.kind = kind_of(schema);
        // A list offers the values of its items.
        let choice = schema
            .get("enum")
            .or_else(|| schema.get("items").and_then(|items| items.get("enum")));
        if let Some(choice) = choice {
            let values: Vec<String> = choice.items().iter().filter_map(Node::printed).collect();
            parameter.values = (!values.is_empty()).then_some(values);
        }
        parameter.default_value = schema.get("default").and_then(|default| {
            default.printed().or_else(|| match default.data {
                Data::Null => None,
                _ => Some(default.value().to_string()),
            })
        });
        parameter.examples = self.examples(node);
        parameter
    }

    /// Examples by name; a single one is called `default`.
    fn examples(&mut self, node: &'a Node) -> Option<Value> {
        if let Some(example) = node.get("example") {
            return Some(json!({"default": {"value": example.value()}}));
        }
        let mut out = Map::new();
        for member in node.get("examples").map_or(&[][..], Node::members) {
            let path = format!("examples.{}", member.key);
            if let Some(example) = self.resolved(&member.node, &path) {
                out.insert(member.key.clone(), example.value());
            }
        }
        (!out.is_empty()).then_some(Value::Object(out))
    }

    /// Bodies of version 3.
    fn content(&mut self, owner: &'a Node, path: &str, wanted: &str) -> Vec<Representation> {
        let mut representations = Vec::new();
        for member in owner.get("content").map_or(&[][..], Node::members) {
            let path = format!("{path}.content.{}", member.key);
            if !member.node.is_object() {
                self.problem(
                    member.node.at,
                    &path,
                    format!("must be an object, not {}", member.node.noun()),
                );
                continue;
            }
            let mut representation = Representation {
                content_type: member.key.clone(),
                examples: self.examples(&member.node),
                ..Representation::default()
            };
            if let Some(schema) = member.node.get("schema") {
                let form = schema
                    .get("properties")
                    .filter(|_| member.key == URLENCODED || member.key == MULTIPART);
                if let Some(fields) = form {
                    let required: Vec<&str> = schema
                        .get("required")
                        .map_or(&[][..], Node::items)
                        .iter()
                        .filter_map(Node::text)
                        .collect();
                    let mut parameters = Vec::new();
                    for field in fields.members() {
                        let given = Given {
                            node: &field.node,
                            name: &field.key,
                            place: "formData",
                        };
                        let mut parameter = self.parameter(&given, &path);
                        parameter.required = required.contains(&field.key.as_str()).then_some(true);
                        parameters.push(parameter);
                    }
                    representation.form_parameters = Some(parameters);
                } else if let Some(name) = self.type_name(schema, &path, wanted) {
                    representation.schema_id = Some(self.options.schema_id.clone());
                    representation.type_name = Some(name);
                }
            }
            representations.push(representation);
        }
        representations
    }

    /// `consumes` or `produces` of an operation of version 2.0, or of the document.
    fn media_types(&self, operation: &'a Node, key: &str) -> Vec<String> {
        operation
            .get(key)
            .or_else(|| self.root.get(key))
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(Node::printed)
            .collect()
    }

    fn old_body(
        &mut self,
        body: &'a Node,
        operation: &'a Node,
        path: &str,
        name: &str,
        request: &mut Request,
    ) {
        request.description = self.text(body, path, "description");
        let place = format!("{path}.body");
        let type_name = body
            .get("schema")
            .and_then(|schema| self.type_name(schema, &place, &format!("{name}-request")));
        let mut types = self.media_types(operation, "consumes");
        if types.is_empty() {
            types.push("application/json".to_owned());
        }
        for content_type in types {
            request.representations.push(Representation {
                content_type,
                schema_id: type_name.as_ref().map(|_| self.options.schema_id.clone()),
                type_name: type_name.clone(),
                ..Representation::default()
            });
        }
    }

    fn responses(&mut self, operation: &'a Node, path: &str, name: &str) -> Vec<Response> {
        let mut responses: Vec<Response> = Vec::new();
        let given: Vec<_> = operation
            .get("responses")
            .map_or(&[][..], Node::members)
            .iter()
            .filter(|member| !member.key.starts_with("x-"))
            .collect();
        for member in &given {
            let place = format!("{path}.responses.{}", member.key);
            let status_code = match member.key.as_str() {
                // The contract's responses have a number; the only response is the usual one.
                "default" if given.len() == 1 => 200,
                "default" => continue,
                key => {
                    match status(key) {
                        Some(status) => status,
                        None => {
                            self.problem(
                            member.at,
                            &place,
                            format!("'{key}' must be a status code, a range such as 4XX, or 'default'."),
                        );
                            continue;
                        }
                    }
                }
            };
            let Some(node) = self.resolved(&member.node, &place) else {
                continue;
            };
            if responses
                .iter()
                .any(|known| known.status_code == status_code)
            {
                continue;
            }
            let wanted = format!("{name}-{status_code}");
            let mut headers = Vec::new();
            for header in node.get("headers").map_or(&[][..], Node::members) {
                let place = format!("{place}.headers.{}", header.key);
                if let Some(node) = self.resolved(&header.node, &place) {
                    let given = Given {
                        node,
                        name: &header.key,
                        place: "header",
                    };
                    headers.push(self.parameter(&given, &place));
                }
            }
            let representations = if self.old {
                self.old_content(node, operation, &place, &wanted)
            } else {
                self.content(node, &place, &wanted)
            };
            responses.push(Response {
                status_code,
                description: self
                    .text(node, &place, "description")
                    .filter(|text| !text.is_empty()),
                representations,
                headers,
            });
        }
        responses
    }

    fn old_content(
        &mut self,
        response: &'a Node,
        operation: &'a Node,
        path: &str,
        wanted: &str,
    ) -> Vec<Representation> {
        let schema = response.get("schema");
        let examples = response.get("examples");
        if schema.is_none() && examples.is_none() {
            return Vec::new();
        }
        let type_name = schema.and_then(|schema| self.type_name(schema, path, wanted));
        let mut types = self.media_types(operation, "produces");
        for member in examples.map_or(&[][..], Node::members) {
            if !types.contains(&member.key) {
                types.push(member.key.clone());
            }
        }
        if types.is_empty() {
            types.push("application/json".to_owned());
        }
        types
            .into_iter()
            .map(|content_type| Representation {
                schema_id: type_name.as_ref().map(|_| self.options.schema_id.clone()),
                type_name: type_name.clone(),
                examples: examples
                    .and_then(|examples| examples.get(&content_type))
                    .map(|example| json!({"default": {"value": example.value()}})),
                content_type,
                ..Representation::default()
            })
            .collect()
    }
}

/// The status code of `200` or of a range such as `4XX`, which stands for its first.
fn status(key: &str) -> Option<i32> {
    let range = key.len() == 3 && key.to_ascii_uppercase().ends_with("XX");
    let number = if range {
        format!("{}00", key.get(..1)?)
    } else {
        key.to_owned()
    };
    number
        .parse()
        .ok()
        .filter(|code| (100..=599).contains(code))
}

/// The JSON type; of the several that 3.1 allows the first that is not null.
fn kind_of(schema: &Node) -> String {
    let kind = schema.get("type").and_then(|kind| match &kind.data {
        Data::Text(text) => Some(text.as_str()),
        Data::List(kinds) => kinds
            .iter()
            .filter_map(Node::text)
            .find(|kind| *kind != "null"),
        _ => None,
    });
    match kind {
        Some(kind) => kind.to_owned(),
        None if schema.get("properties").is_some() => "object".to_owned(),
        None => "string".to_owned(),
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A part of a JSON pointer in a URL fragment.
fn unescaped(part: &str) -> String {
    let part = part.replace("~1", "/").replace("~0", "~");
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or(part)
}
