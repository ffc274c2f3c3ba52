//! `<validate-parameters>`.

use super::validate_content::ContentAction;
use crate::parser::Parser;
use crate::value::Value;
use crate::xml::Element;

/// What differs for the parameters of one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterActions {
    /// What happens to wrong values of parameters that the operation documents.
    pub specified: Option<Value<ContentAction>>,
    /// What happens to parameters that it does not document.
    pub unspecified: Option<Value<ContentAction>>,
    /// Actions for single parameters.
    pub named: Vec<(String, Value<ContentAction>)>,
}

/// Checks the parameters of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidateParameters {
    /// What happens to wrong values of parameters that the operation documents.
    pub specified_parameter_action: Value<ContentAction>,
    /// What happens to parameters that it does not document.
    pub unspecified_parameter_action: Value<ContentAction>,
    /// Variable that receives the errors.
    pub errors_variable_name: Option<String>,
    /// Headers.
    pub headers: ParameterActions,
    /// Query parameters.
    pub query: ParameterActions,
    /// Parameters of the path.
    pub path: ParameterActions,
}

pub(crate) const EXAMPLE: &str = r#"<validate-parameters specified-parameter-action="prevent" unspecified-parameter-action="prevent" errors-variable-name="requestParametersValidation">
    <headers specified-parameter-action="detect" unspecified-parameter-action="detect">
        <parameter name="Authorization" action="prevent" />
        <parameter name="User-Agent" action="ignore" />
    </headers>
    <path specified-parameter-action="prevent" />
</validate-parameters>"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<ValidateParameters> {
    parser.attributes(
        element,
        &["specified-parameter-action", "unspecified-parameter-action", "errors-variable-name"],
    );
    parser.children(element, &["headers", "query", "path"]);
    let specified_parameter_action = parser.value(element, "specified-parameter-action");
    let unspecified_parameter_action = parser.value(element, "unspecified-parameter-action");
    let errors_variable_name = parser.optional_literal(element, "errors-variable-name");
    let [headers, query, path] = ["headers", "query", "path"].map(|place| actions(parser, element, place));
    Some(ValidateParameters {
        specified_parameter_action: specified_parameter_action?,
        unspecified_parameter_action: unspecified_parameter_action?,
        errors_variable_name,
        headers,
        query,
        path,
    })
}

fn actions(parser: &mut Parser<'_>, element: &Element, place: &str) -> ParameterActions {
    let Some(child) = parser.child(element, place) else {
        return ParameterActions::default();
    };
    if place == "path" {
        // A path has no parameters but those of its template.
        parser.attributes(child, &["specified-parameter-action"]);
    } else {
        parser.attributes(child, &["specified-parameter-action", "unspecified-parameter-action"]);
    }
    parser.children(child, &["parameter"]);
    ParameterActions {
        specified: parser.optional_value(child, "specified-parameter-action"),
        unspecified: parser.optional_value(child, "unspecified-parameter-action"),
        named: named(parser, child, "parameter"),
    }
}

/// Elements with a name and the action for it.
pub(super) fn named(
    parser: &mut Parser<'_>,
    list: &Element,
    item: &str,
) -> Vec<(String, Value<ContentAction>)> {
    let mut all = Vec::new();
    for child in list.elements().filter(|child| child.name == item) {
        parser.attributes(child, &["name", "action"]);
        parser.children(child, &[]);
        let name = parser.literal(child, "name");
        let action = parser.value(child, "action");
        all.extend(name.zip(action));
    }
    all
}
