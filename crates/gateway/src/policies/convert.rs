//! `<json-to-xml>`, `<xml-to-json>` and Liquid templates: bodies in another form.

use std::fmt::Write;

use http::{HeaderValue, header};
use policy::elements::json_to_xml::{ApplyToJson, JsonToXml};
use policy::elements::set_body::XsiNil;
use policy::elements::xml_to_json::{ApplyToXml, JsonKind, XmlToJson};
use policy::expression::Side;
use serde_json::{Map, Value};

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

fn content_type(x: &Exchange) -> String {
    let value = x.headers().get(header::CONTENT_TYPE);
    value.map_or_else(String::new, |value| {
        String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase()
    })
}

/// Whether the caller's Accept header asks for a form, and not for the other.
fn wants(x: &Exchange, form: &str, other: &str) -> bool {
    let accept = x.request.headers.get_all(header::ACCEPT).iter();
    let accept: Vec<String> = accept
        .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
        .collect();
    accept.iter().any(|value| value.contains(form))
        && !accept.iter().any(|value| value.contains(other))
}

fn unreadable(source: &'static str, side: Side, message: String) -> Fault {
    match side {
        Side::Request => Fault::new(
            http::StatusCode::BAD_REQUEST,
            source,
            "ContentFormatError",
            message,
        ),
        Side::Response => Fault::internal(source, "ContentFormatError", message),
    }
}

pub(super) async fn json_to_xml(x: &mut Exchange, policy: &JsonToXml) -> Result<Flow, Fault> {
    const SOURCE: &str = "json-to-xml";
    let side = x.side();
    let consider_accept = *x.value(&policy.consider_accept_header, SOURCE).await?;
    let separator = x
        .value(&policy.namespace_separator, SOURCE)
        .await?
        .into_owned();
    let prefix = x
        .value(&policy.namespace_prefix, SOURCE)
        .await?
        .into_owned();
    let block = x
        .optional(policy.attribute_block_name.as_ref(), SOURCE)
        .await?;
    let block = block.map(std::borrow::Cow::into_owned);
    if policy.apply == ApplyToJson::ContentTypeJson && !content_type(x).contains("json") {
        return Ok(Flow::Next);
    }
    if side == Side::Response && consider_accept && wants(x, "json", "xml") {
        return Ok(Flow::Next);
    }
    let body = x.buffer(side, SOURCE).await?;
    if body.is_empty() {
        return Ok(Flow::Next);
    }
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| unreadable(SOURCE, side, format!("The body is not JSON: {error}")))?;
    let writer = Writer {
        separator,
        prefix,
        block,
    };
    let mut xml = String::with_capacity(body.len() * 2);
    writer.element("Document", &value, &[], &mut xml);
    x.set_body(side, xml);
    x.headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    Ok(Flow::Next)
}

struct Writer {
    separator: String,
    /// Property that declares a namespace.
    prefix: String,
    /// Property whose members become attributes.
    block: Option<String>,
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML cannot hold other control characters at all.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// A name that XML permits: other characters are written as `_xHHHH_`, as .NET does.
fn name(text: &str, out: &mut String) {
    for (at, c) in text.chars().enumerate() {
        let fits = c.is_alphabetic()
            || matches!(c, '_' | ':')
            || (at > 0 && (c.is_numeric() || matches!(c, '-' | '.')));
        if fits {
            out.push(c);
        } else if write!(out, "_x{:04X}_", u32::from(c)).is_err() {
            // Writing to a String does not fail.
            return;
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Writer {
    /// `ns_name` is `ns:name` where `ns` is declared.
    fn qualified(&self, text: &str, declared: &[String]) -> String {
        match text
            .split_once(&*self.separator)
            .filter(|_| !self.separator.is_empty())
        {
            Some((prefix, local)) if prefix == self.prefix => format!("xmlns:{local}"),
            Some((prefix, local)) if declared.iter().any(|known| known == prefix) => {
                format!("{prefix}:{local}")
            }
            _ => text.to_owned(),
        }
    }

    fn is_declaration(&self, key: &str) -> bool {
        key == self.prefix
            || key.strip_prefix(&*self.prefix).is_some_and(|rest| {
                !self.separator.is_empty() && rest.starts_with(&*self.separator)
            })
    }

    fn element(&self, tag: &str, value: &Value, declared: &[String], out: &mut String) {
        if let Value::Array(items) = value {
            for item in items {
                self.element(tag, item, declared, out);
            }
            return;
        }
        let mut declared = declared.to_vec();
        let mut attributes: Vec<(String, String)> = Vec::new();
        let empty = Map::new();
        let members = value.as_object().unwrap_or(&empty);
        for (key, member) in members {
            if self.is_declaration(key) {
                if let Some((_, local)) = key.split_once(&*self.separator) {
                    declared.push(local.to_owned());
                }
                attributes.push((self.qualified(key, &declared), scalar(member)));
            } else if let Some(attribute) = key.strip_prefix('@') {
                attributes.push((attribute.to_owned(), scalar(member)));
            } else if self.block.as_ref() == Some(key) {
                for (key, member) in member.as_object().unwrap_or(&empty) {
                    attributes.push((key.clone(), scalar(member)));
                }
            }
        }
        let tag = self.qualified(tag, &declared);
        out.push('<');
        name(&tag, out);
        for (key, value) in &attributes {
            out.push(' ');
            name(key, out);
            out.push_str("=\"");
            escape(value, out);
            out.push('"');
        }
        let mut content = String::new();
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    let is_attribute = self.is_declaration(key)
                        || key.starts_with('@')
                        || self.block.as_ref() == Some(key);
                    if key == "#text" {
                        escape(&scalar(member), &mut content);
                    } else if !is_attribute {
                        self.element(key, member, &declared, &mut content);
                    }
                }
            }
            other => escape(&scalar(other), &mut content),
        }
        if content.is_empty() {
            out.push_str(" />");
        } else {
            out.push('>');
            out.push_str(&content);
            out.push_str("</");
            name(&tag, out);
            out.push('>');
        }
    }
}

pub(super) async fn xml_to_json(x: &mut Exchange, policy: &XmlToJson) -> Result<Flow, Fault> {
    const SOURCE: &str = "xml-to-json";
    let side = x.side();
    let consider_accept = *x.value(&policy.consider_accept_header, SOURCE).await?;
    let arrays = *x.value(&policy.always_array_child_elements, SOURCE).await?;
    if policy.apply == ApplyToXml::ContentTypeXml && !content_type(x).contains("xml") {
        return Ok(Flow::Next);
    }
    if side == Side::Response && consider_accept && wants(x, "xml", "json") {
        return Ok(Flow::Next);
    }
    let body = x.buffer(side, SOURCE).await?;
    if body.is_empty() {
        return Ok(Flow::Next);
    }
    let reader = Reader {
        friendly: policy.kind == JsonKind::JavascriptFriendly,
        arrays,
        nil: Value::Null,
    };
    let value = reader
        .document(&body)
        .map_err(|message| unreadable(SOURCE, side, format!("The body is not XML: {message}")))?;
    x.set_body(side, value.to_string());
    x.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(Flow::Next)
}

struct Reader {
    /// Attributes without `@`, text as `text`.
    friendly: bool,
    /// Whether elements always become arrays.
    arrays: bool,
    /// What `xsi:nil` elements become.
    nil: Value,
}

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

impl Reader {
    fn document(&self, bytes: &[u8]) -> Result<Value, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        // Without a DTD there are no entities to blow up.
        let document = roxmltree::Document::parse(text.trim_start_matches('\u{feff}'))
            .map_err(|error| error.to_string())?;
        let root = document.root_element();
        let mut members = Map::new();
        members.insert(qualified(&root), self.element(&root));
        Ok(Value::Object(members))
    }

    fn element(&self, element: &roxmltree::Node<'_, '_>) -> Value {
        if element.attribute((XSI, "nil")) == Some("true") {
            return self.nil.clone();
        }
        let mut members = Map::new();
        for namespace in element.namespaces().filter(|_| !self.friendly) {
            let declared = element
                .parent()
                .is_some_and(|parent| parent.namespaces().any(|known| known == namespace));
            if !declared && namespace.name() != Some("xml") {
                let key = namespace
                    .name()
                    .map_or_else(|| "@xmlns".to_owned(), |name| format!("@xmlns:{name}"));
                members.insert(key, namespace.uri().into());
            }
        }
        for attribute in element.attributes() {
            let name = attribute.name();
            let key = if self.friendly {
                name.to_owned()
            } else {
                format!("@{name}")
            };
            members.insert(key, attribute.value().into());
        }
        let mut text = String::new();
        for child in element.children() {
            if child.is_text() {
                text.push_str(child.text().unwrap_or_default());
            }
            if !child.is_element() {
                continue;
            }
            let value = self.element(&child);
            match members.get_mut(&qualified(&child)) {
                Some(Value::Array(items)) => items.push(value),
                Some(known) => *known = Value::Array(vec![known.take(), value]),
                None => {
                    let value = if self.arrays {
                        Value::Array(vec![value])
                    } else {
                        value
                    };
                    members.insert(qualified(&child), value);
                }
            }
        }
        let text = text.trim();
        if members.is_empty() {
            return if text.is_empty() && !self.friendly {
                Value::Null
            } else {
                text.into()
            };
        }
        if !text.is_empty() {
            let key = if self.friendly { "text" } else { "#text" };
            members.insert(key.to_owned(), text.into());
        }
        Value::Object(members)
    }
}

/// Name with its prefix, as it is written.
fn qualified(element: &roxmltree::Node<'_, '_>) -> String {
    let name = element.tag_name();
    let prefix = name.namespace().and_then(|uri| element.lookup_prefix(uri));
    match prefix {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}:{}", name.name()),
        _ => name.name().to_owned(),
    }
}

/// Renders a Liquid template over `body` and `context`.
pub(super) fn liquid(
    x: &Exchange,
    template: &str,
    nil: XsiNil,
    body: &[u8],
) -> Result<Vec<u8>, Fault> {
    const SOURCE: &str = "set-body";
    let failed = |message: String| Fault::internal(SOURCE, "LiquidTemplateError", message);
    let reader = Reader {
        friendly: true,
        arrays: false,
        nil: match nil {
            XsiNil::Blank => "".into(),
            XsiNil::Null => Value::Null,
        },
    };
    let is_xml = content_type(x).contains("xml");
    let value = if body.is_empty() {
        Value::Null
    } else if is_xml {
        reader
            .document(body)
            .map_err(|error| failed(format!("The body is not XML: {error}")))?
    } else {
        match serde_json::from_slice(body) {
            Ok(value) => value,
            // Templates over plain text see the text.
            Err(_) => String::from_utf8_lossy(body).into(),
        }
    };
    let parser = liquid::ParserBuilder::with_stdlib()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let template = parser
        .parse(template)
        .map_err(|error| failed(error.to_string()))?;
    let globals = serde_json::json!({ "body": value, "context": context(x) });
    let globals = liquid::to_object(&globals).map_err(|error| failed(error.to_string()))?;
    let rendered = template
        .render(&globals)
        .map_err(|error| failed(error.to_string()))?;
    Ok(rendered.into_bytes())
}

/// The members of the context that templates can see, as published.
fn context(x: &Exchange) -> Value {
    let headers = |headers: &http::HeaderMap| -> Value {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), Value::from(text(value))))
            .collect::<Map<_, _>>()
            .into()
    };
    serde_json::json!({
        "Request": {
            "Url": x.original.path,
            "Method": x.request.method.as_str(),
            "OriginalMethod": x.original.method.as_str(),
            "IpAddress": x.client_ip.to_string(),
            "MatchedParameters": x.parameters().into_iter().map(|(name, value)| (name, value.into())).collect::<Map<_, _>>(),
            "Headers": headers(&x.request.headers),
        },
        "Response": {
            "StatusCode": x.response.status.as_u16(),
            "Headers": headers(&x.response.headers),
        },
        "Api": { "Name": x.api.as_ref().map(|api| &api.display_name) },
        "Operation": { "Name": x.operation.as_ref().map(|state| &state.operation.display_name) },
        "User": { "Id": x.access.user.as_ref().map(|user| &user.name), "Email": x.access.user.as_ref().map(|user| &user.email) },
        "Variables": x.variables.iter().map(|(name, value)| (name.clone(), value.to_text().into())).collect::<Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Reader, Writer};
    use serde_json::{Value, json};

    fn xml(value: &Value) -> String {
        let writer = Writer {
            separator: "_".to_owned(),
            prefix: "xmlns".to_owned(),
            block: None,
        };
        let mut out = String::new();
        writer.element("Document", value, &[], &mut out);
        out
    }

    #[test]
    fn json_becomes_xml_with_attributes_arrays_and_namespaces() {
        assert_eq!(
            xml(
                &json!({"a": 1, "b": [true, "x<y"], "c": null, "d": {"@id": "7", "#text": "t"}, "first_name": "Ada"})
            ),
            "<Document><a>1</a><b>true</b><b>x&lt;y</b><c /><d id=\"7\">t</d><first_name>Ada</first_name></Document>"
        );
        assert_eq!(
            xml(&json!({"xmlns_n": "urn:n", "n_x": 1, "1 y": 2})),
            "<Document xmlns:n=\"urn:n\"><n:x>1</n:x><_x0031__x0020_y>2</_x0031__x0020_y></Document>"
        );
    }

    fn json_of(xml: &str, friendly: bool, arrays: bool) -> Value {
        let reader = Reader {
            friendly,
            arrays,
            nil: Value::Null,
        };
        reader.document(xml.as_bytes()).unwrap_or_else(Value::from)
    }

    #[test]
    fn xml_becomes_json_in_both_forms() {
        let text = r#"<r id="1"><a>x</a><a>y</a><b><c/></b><d k="v">t</d></r>"#;
        assert_eq!(
            json_of(text, false, false),
            json!({"r": {"@id": "1", "a": ["x", "y"], "b": {"c": null}, "d": {"@k": "v", "#text": "t"}}})
        );
        assert_eq!(
            json_of(text, true, false),
            json!({"r": {"id": "1", "a": ["x", "y"], "b": {"c": ""}, "d": {"k": "v", "text": "t"}}})
        );
        assert_eq!(
            json_of("<r><a>x</a></r>", false, true),
            json!({"r": {"a": ["x"]}})
        );
    }
}
