//! `<emit-metric>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::Value;

/// A label of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// Name of the label.
    pub name: Value<String>,
    /// Its value; absent means the request's value for the well-known names, such as `API ID`.
    pub value: Option<Value<String>>,
}

/// Sends a custom metric.
#[derive(Clone, Debug, PartialEq)]
pub struct EmitMetric {
    /// Name of the metric.
    pub name: Value<String>,
    /// What is added: 1 unless given.
    pub value: Value<String>,
    /// Namespace of the metric.
    pub namespace: Option<Value<String>>,
    /// Labels: one to ten.
    pub dimensions: Vec<Dimension>,
}

const WELL_KNOWN: &[&str] =
    &["API ID", "Operation ID", "Product ID", "User ID", "Subscription ID", "Location", "Gateway ID", "Backend ID"];

pub(crate) const EXAMPLE: &str = r#"<emit-metric name="Request" value="1" namespace="my-metrics">
    <dimension name="API ID" />
    <dimension name="Client IP" value="@(context.Request.IpAddress)" />
</emit-metric>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<EmitMetric> {
    parser.attributes(element, &["name", "value", "namespace"]);
    parser.children(element, &["dimension"]);
    let name = parser.value(element, "name");
    let value = parser.value_or(element, "value", "1".to_owned());
    if let Value::Literal(number) = &value
        && number.parse::<f64>().is_err()
    {
        parser.problem(element.at, element, format!("'{number}' is not valid for 'value': expected a number."));
    }
    let namespace = parser.optional_value(element, "namespace");
    let mut dimensions = Vec::new();
    for child in element.elements().filter(|child| child.name == "dimension") {
        parser.attributes(child, &["name", "value"]);
        parser.children(child, &[]);
        let name: Option<Value<String>> = parser.value(child, "name");
        let value = parser.optional_value(child, "value");
        if let (Some(Value::Literal(known)), None) = (&name, &value)
            && !WELL_KNOWN.contains(&known.as_str())
        {
            parser.problem(child.at, child, format!("Dimension '{known}' needs a value."));
        }
        dimensions.extend(name.map(|name| Dimension { name, value }));
    }
    match element.elements().filter(|child| child.name == "dimension").count() {
        0 => parser.problem(element.at, element, "Required element 'dimension' is missing."),
        1..=10 => {}
        _ => parser.problem(element.at, element, "At most 10 elements 'dimension' are allowed."),
    }
    Some(EmitMetric { name: name?, value, namespace, dimensions })
}
