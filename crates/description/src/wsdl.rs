//! Reads WSDL 1.1 with SOAP 1.1 and 1.2 bindings, for pass-through.
//!
//! Every operation of the binding becomes `POST /?soapAction={action}`, as Azure imports them; the action is a literal
//! of the template, because it is what tells the operations of one address apart.

use crate::{
    ApiType, Description, Names, Operation, Options, Parameter, Problem, Representation, Request,
    Response, path_of, scheme, shortened, source::Position,
};
use roxmltree::{Document, Node};
use serde_json::json;

const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
const WSDL_2: &str = "http://www.w3.org/ns/wsdl";
const SOAP_11: &str = "http://schemas.xmlsoap.org/wsdl/soap/";
const SOAP_12: &str = "http://schemas.xmlsoap.org/wsdl/soap12/";

/// Reads a document.
pub(crate) fn read(text: &str, options: &Options) -> Result<Description, Vec<Problem>> {
    // A document type could name external entities; roxmltree refuses them all by default.
    let document = Document::parse(text).map_err(|error| {
        let at = error.pos();
        let place = Position {
            line: at.row as usize,
            column: at.col as usize,
        };
        vec![place.problem("", format!("This is not XML: {error}."))]
    })?;
    let mut reader = Reader {
        document: &document,
        options,
        problems: Vec::new(),
    };
    let found = reader.description();
    match found {
        Some(description) if reader.problems.is_empty() => Ok(description),
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    document: &'a Document<'a>,
    options: &'a Options,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn problem(&mut self, node: Node<'a, 'a>, message: impl Into<String>) {
        let at = self.document.text_pos_at(node.range().start);
        let place = Position {
            line: at.row as usize,
            column: at.col as usize,
        };
        let mut path: Vec<String> = node
            .ancestors()
            .filter(Node::is_element)
            .map(|element| match element.attribute("name") {
                Some(name) => format!("{}[{name}]", element.tag_name().name()),
                None => element.tag_name().name().to_owned(),
            })
            .collect();
        path.reverse();
        if self.problems.len() < crate::MAX_PROBLEMS {
            self.problems.push(place.problem(path.join("/"), message));
        }
    }

    /// The definition that a qualified name leads to; a problem where there is none.
    fn named(&mut self, from: Node<'a, 'a>, attribute: &str, tag: &str) -> Option<Node<'a, 'a>> {
        let Some(name) = from.attribute(attribute) else {
            self.problem(from, format!("The attribute '{attribute}' is required."));
            return None;
        };
        let root = self.document.root_element();
        let local = name.rsplit_once(':').map_or(name, |(_, local)| local);
        let found = elements(root, tag).find(|node| node.attribute("name") == Some(local));
        if found.is_none() {
            self.problem(
                from,
                format!("The {tag} '{name}' does not exist in this document."),
            );
        }
        found
    }

    fn description(&mut self) -> Option<Description> {
        let root = self.document.root_element();
        if root.tag_name().namespace() == Some(WSDL_2) {
            self.problem(root, "This is WSDL 2.0; only WSDL 1.1 can be imported.");
            return None;
        }
        if root.tag_name().name() != "definitions" || root.tag_name().namespace() != Some(WSDL) {
            self.problem(
                root,
                format!("A WSDL document begins with 'definitions' of {WSDL}."),
            );
            return None;
        }
        let wanted = self.options.wsdl_service.as_deref();
        let Some(service) = elements(root, "service")
            .find(|node| wanted.is_none_or(|wanted| node.attribute("name") == Some(wanted)))
        else {
            let message = wanted.map_or_else(
                || "The document has no service.".to_owned(),
                |wanted| format!("The document has no service '{wanted}'."),
            );
            self.problem(root, message);
            return None;
        };
        let wanted = self.options.wsdl_endpoint.as_deref();
        let mut chosen = None;
        for port in elements(service, "port")
            .filter(|port| wanted.is_none_or(|wanted| port.attribute("name") == Some(wanted)))
        {
            let address = port.children().find(|child| {
                child.has_tag_name((SOAP_11, "address")) || child.has_tag_name((SOAP_12, "address"))
            });
            if let Some(address) = address {
                chosen = Some((port, address));
                break;
            }
        }
        let Some((port, address)) = chosen else {
            let message = wanted.map_or_else(
                || "The service has no SOAP endpoint.".to_owned(),
                |wanted| format!("The service has no SOAP endpoint '{wanted}'."),
            );
            self.problem(service, message);
            return None;
        };
        let location = address.attribute("location").unwrap_or_default().trim();
        let binding = self.named(port, "binding", "binding")?;
        let port_type = self.named(binding, "type", "portType")?;
        let is_12 = binding
            .children()
            .any(|child| child.has_tag_name((SOAP_12, "binding")));
        let mut description = Description {
            display_name: service.attribute("name").unwrap_or("SOAP").to_owned(),
            description: documentation(service).or_else(|| documentation(root)),
            service_url: self
                .options
                .service_url_override
                .clone()
                .or_else(|| scheme(location).map(|_| location.to_owned())),
            path_suggestion: path_of(location),
            protocols: scheme(location)
                .map(|(scheme, _)| vec![scheme.to_ascii_lowercase()])
                .unwrap_or_default(),
            api_type: ApiType::Soap,
            ..Description::default()
        };
        let mut names = Names::default();
        for bound in elements(binding, "operation") {
            if let Some(operation) = self.operation(bound, port_type, is_12, &mut names) {
                if let Some(other) = description.operations.iter().find(|other| {
                    other
                        .url_template
                        .eq_ignore_ascii_case(&operation.url_template)
                }) {
                    let message =
                        format!("The operation '{}' has the same SOAP action.", other.name);
                    self.problem(bound, message);
                }
                description.operations.push(operation);
            }
        }
        Some(description)
    }

    fn operation(
        &mut self,
        bound: Node<'a, 'a>,
        port_type: Node<'a, 'a>,
        is_12: bool,
        names: &mut Names,
    ) -> Option<Operation> {
        let Some(id) = bound.attribute("name") else {
            self.problem(bound, "The attribute 'name' is required.");
            return None;
        };
        let abstracted =
            elements(port_type, "operation").find(|node| node.attribute("name") == Some(id));
        let Some(abstracted) = abstracted else {
            self.problem(bound, format!("The portType has no operation '{id}'."));
            return None;
        };
        let action = bound
            .children()
            .find(|child| {
                child.has_tag_name((SOAP_11, "operation"))
                    || child.has_tag_name((SOAP_12, "operation"))
            })
            .and_then(|node| node.attribute("soapAction"))
            .filter(|action| !action.is_empty());
        let content_type = if is_12 {
            "application/soap+xml"
        } else {
            "text/xml"
        };
        let mut message = |tag: &str| -> Option<(Option<String>, Representation)> {
            let node = elements(abstracted, tag).next()?;
            let element = self
                .named(node, "message", "message")
                .and_then(|message| {
                    elements(message, "part").find_map(|part| part.attribute("element"))
                })
                .map(|name| {
                    name.rsplit_once(':')
                        .map_or(name, |(_, local)| local)
                        .to_owned()
                });
            let sample = envelope(element.as_deref().unwrap_or(id), is_12);
            Some((
                documentation(node),
                Representation {
                    content_type: content_type.to_owned(),
                    type_name: element,
                    examples: Some(json!({"default": {"value": sample}})),
                    ..Representation::default()
                },
            ))
        };
        let input = message("input");
        let output = message("output");
        let fault = message("fault");
        let header = action.filter(|_| !is_12).map(|action| Parameter {
            name: "SOAPAction".to_owned(),
            kind: "string".to_owned(),
            required: Some(true),
            values: Some(vec![format!("\"{action}\"")]),
            default_value: Some(format!("\"{action}\"")),
            ..Parameter::default()
        });
        let request = input.map(|(description, representation)| Request {
            description,
            headers: header.into_iter().collect(),
            representations: vec![representation],
            ..Request::default()
        });
        let response = |status_code, found: Option<(Option<String>, Representation)>| {
            found.map(|(description, representation)| Response {
                status_code,
                description,
                representations: vec![representation],
                headers: Vec::new(),
            })
        };
        Some(Operation {
            name: names.name(id),
            display_name: shortened(id, 300),
            method: "POST".to_owned(),
            url_template: format!("/?soapAction={}", encoded(action.unwrap_or(id))),
            description: documentation(abstracted)
                .or_else(|| documentation(bound))
                .map(|text| shortened(&text, 1000)),
            request,
            // A one-way operation is answered with 202 and nothing.
            responses: match response(200, output) {
                Some(output) => std::iter::once(output)
                    .chain(response(500, fault))
                    .collect(),
                None => vec![Response {
                    status_code: 202,
                    ..Response::default()
                }],
            },
            ..Operation::default()
        })
    }
}

fn elements<'a>(parent: Node<'a, 'a>, tag: &str) -> impl Iterator<Item = Node<'a, 'a>> {
    parent
        .children()
        .filter(move |child| child.has_tag_name((WSDL, tag)))
}

fn documentation(node: Node<'_, '_>) -> Option<String> {
    let text: String = node
        .children()
        .find(|child| child.has_tag_name((WSDL, "documentation")))?
        .descendants()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn envelope(element: &str, is_12: bool) -> String {
    let namespace = if is_12 {
        "http://www.w3.org/2003/05/soap-envelope"
    } else {
        "http://schemas.xmlsoap.org/soap/envelope/"
    };
    format!(
        "<soap:Envelope xmlns:soap=\"{namespace}\">\n  <soap:Body>\n    <{element} />\n  </soap:Body>\n</soap:Envelope>"
    )
}

/// An action as a literal of a URL template: without what ends a query or begins a parameter.
fn encoded(action: &str) -> String {
    action
        .chars()
        .flat_map(|c| match c {
            '#' | '{' | '}' | ' ' | '&' | '%' | '"' | '<' | '>' => {
                format!("%{:02X}", u32::from(c)).chars().collect::<Vec<_>>()
            }
            c => vec![c],
        })
        .collect()
}
