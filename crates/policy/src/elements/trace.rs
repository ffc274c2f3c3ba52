//! `<trace>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// How important a trace message is.
    Severity ("'verbose', 'information' or 'error'") {
        /// Detail.
        Verbose = "verbose",
        /// Information.
        Information = "information",
        /// Error.
        Error = "error",
    }
}

/// Writes to the request trace and to telemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What the author calls the source.
    pub source: String,
    /// How important it is: verbose unless given.
    pub severity: Severity,
    /// The message.
    pub message: Value<String>,
    /// Names and values to keep with it.
    pub metadata: Vec<(String, Value<String>)>,
}

pub(crate) const EXAMPLE: &str = r#"<trace source="PetStore API" severity="verbose">
    <message>@((string)context.Variables["clientConnectionID"])</message>
    <metadata name="Operation Name" value="New-Order" />
</trace>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<Trace> {
    parser.attributes(element, &["source", "severity"]);
    // The first published form had the message as the text of the element itself.
    let old_form = element.elements().next().is_none();
    let source = parser.literal(element, "source");
    let severity = parser.literal_or(element, "severity", Severity::Verbose);
    if old_form {
        let message = parser.text(element);
        return Some(Trace { source: source?, severity, message: message?, metadata: Vec::new() });
    }
    parser.children(element, &["message", "metadata"]);
    let message = parser.required_child(element, "message").and_then(|child| {
        parser.attributes(child, &[]);
        parser.text(child)
    });
    let mut metadata = Vec::new();
    for child in element.elements().filter(|child| child.name == "metadata") {
        parser.attributes(child, &["name", "value"]);
        parser.children(child, &[]);
        let name = parser.literal(child, "name");
        let value = parser.value(child, "value");
        metadata.extend(name.zip(value));
    }
    Some(Trace { source: source?, severity, message: message?, metadata })
}
