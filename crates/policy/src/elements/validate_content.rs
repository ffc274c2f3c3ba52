//! `<validate-content>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::{Value, words};

words! {
    /// What happens to content that does not fit.
    ContentAction ("'ignore', 'prevent' or 'detect'") {
        /// Nothing.
        Ignore = "ignore",
        /// The request ends with an error.
        Prevent = "prevent",
        /// The errors are logged.
        Detect = "detect",
    }
}

words! {
    /// Language of the schema.
    ValidateAs ("'json', 'xml' or 'soap'") {
        /// JSON schema.
        Json = "json",
        /// XML schema.
        Xml = "xml",
        /// SOAP envelope with XML schema.
        Soap = "soap",
    }
}

/// Where a content type is looked up instead of the one received.
#[derive(Clone, Debug, PartialEq)]
pub enum ContentTypeFrom {
    /// This content type exactly.
    Type(String),
    /// Whenever the condition holds.
    When(Value<bool>),
}

/// Maps content types before the check.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentTypeMap {
    /// Type used for every content.
    pub any_content_type_value: Option<String>,
    /// Type used when the header is missing.
    pub missing_content_type_value: Option<String>,
    /// Single rules: from and to.
    pub types: Vec<(ContentTypeFrom, String)>,
}

/// The rule for a content type.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentRule {
    /// Content type; absent means those of the operation.
    pub content_type: Option<String>,
    /// Language of the schema.
    pub validate_as: ValidateAs,
    /// Id of a schema resource; absent means the schema of the operation.
    pub schema_id: Option<String>,
    /// Fragment inside the schema.
    pub schema_ref: Option<String>,
    /// What happens to content that does not fit.
    pub action: Value<ContentAction>,
    /// Whether properties that the schema does not mention are permitted, whatever it says.
    pub allow_additional_properties: Option<Value<bool>>,
    /// Whether names of properties are compared without case.
    pub case_insensitive_property_names: Value<bool>,
}

/// Checks size and schema of the body.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateContent {
    /// What happens to content types without a rule.
    pub unspecified_content_type_action: Value<ContentAction>,
    /// Greatest length of the body in bytes.
    pub max_size_bytes: Value<u64>,
    /// What happens to longer bodies.
    pub size_exceeded_action: Value<ContentAction>,
    /// Variable that receives the errors.
    pub errors_variable_name: Option<String>,
    /// Mapping of content types.
    pub content_type_map: Option<ContentTypeMap>,
    /// Rules of content types.
    pub rules: Vec<ContentRule>,
}

/// Greatest `max-size`, as published: 4 MiB.
const LARGEST_BODY_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) const EXAMPLE: &str = r#"<validate-content unspecified-content-type-action="prevent" max-size="102400" size-exceeded-action="prevent" errors-variable-name="requestBodyValidation">
    <content-type-map missing-content-type-value="application/json">
        <type from="application/hal+json" to="application/json" />
        <type when="@(context.Request.Headers.GetValueOrDefault(&quot;Kind&quot;, &quot;&quot;) == &quot;hal&quot;)" to="application/json" />
    </content-type-map>
    <content type="application/json" validate-as="json" schema-id="myschemaid" schema-ref="$ref/#/components/schemas/address" action="detect" />
</validate-content>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ValidateContent> {
    parser.attributes(
        element,
        &["unspecified-content-type-action", "max-size", "size-exceeded-action", "errors-variable-name"],
    );
    parser.children(element, &["content-type-map", "content"]);
    let unspecified_content_type_action = parser.value(element, "unspecified-content-type-action");
    let max_size_bytes = parser.value(element, "max-size");
    if let Some(Value::Literal(bytes)) = &max_size_bytes
        && *bytes > LARGEST_BODY_BYTES
    {
        parser.problem(element.at, element, format!("'max-size' must be at most {LARGEST_BODY_BYTES} bytes."));
    }
    let size_exceeded_action = parser.value(element, "size-exceeded-action");
    let errors_variable_name = parser.optional_literal(element, "errors-variable-name");
    let content_type_map = parser.child(element, "content-type-map").map(|child| type_map(parser, child));
    let mut rules = Vec::new();
    for child in element.elements().filter(|child| child.name == "content") {
        parser.attributes(
            child,
            &[
                "type",
                "validate-as",
                "schema-id",
                "schema-ref",
                "action",
                "allow-additional-properties",
                "case-insensitive-property-names",
            ],
        );
        parser.children(child, &[]);
        let validate_as = parser.literal(child, "validate-as");
        let action = parser.value(child, "action");
        let content_type = parser.optional_literal(child, "type");
        let schema_id = parser.optional_literal(child, "schema-id");
        let schema_ref = parser.optional_literal(child, "schema-ref");
        let allow_additional_properties = parser.optional_value(child, "allow-additional-properties");
        let case_insensitive_property_names = parser.value_or(child, "case-insensitive-property-names", false);
        if let (Some(ValidateAs::Xml | ValidateAs::Soap), Some(_)) = (validate_as, &schema_id) {
            parser.problem(
                child.at,
                child,
                "XML schemas are not supported: without 'schema-id' the content must be well-formed.",
            );
        }
        if let Some((validate_as, action)) = validate_as.zip(action) {
            rules.push(ContentRule {
                content_type,
                validate_as,
                schema_id,
                schema_ref,
                action,
                allow_additional_properties,
                case_insensitive_property_names,
            });
        }
    }
    Some(ValidateContent {
        unspecified_content_type_action: unspecified_content_type_action?,
        max_size_bytes: max_size_bytes?,
        size_exceeded_action: size_exceeded_action?,
        errors_variable_name,
        content_type_map,
        rules,
    })
}

fn type_map(parser: &mut Parser<'_>, element: &Element) -> ContentTypeMap {
    parser.attributes(element, &["any-content-type-value", "missing-content-type-value"]);
    parser.children(element, &["type"]);
    let mut types = Vec::new();
    for child in element.elements().filter(|child| child.name == "type") {
        parser.attributes(child, &["from", "when", "to"]);
        parser.children(child, &[]);
        let before = parser.problems.len();
        let from = parser.optional_literal(child, "from").map(ContentTypeFrom::Type);
        let when = parser.optional_value(child, "when").map(ContentTypeFrom::When);
        let to = parser.literal(child, "to");
        match (from, when) {
            (Some(from), None) | (None, Some(from)) => types.extend(Some(from).zip(to)),
            _ if parser.problems.len() > before => {}
            _ => parser.problem(child.at, child, "Exactly one of the attributes 'from' and 'when' is required."),
        }
    }
    ContentTypeMap {
        any_content_type_value: parser.optional_literal(element, "any-content-type-value"),
        missing_content_type_value: parser.optional_literal(element, "missing-content-type-value"),
        types,
    }
}
