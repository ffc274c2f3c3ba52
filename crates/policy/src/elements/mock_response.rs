//! `<mock-response>`.

use crate::parser::Parser;
use crate::xml::Element;
use crate::value::StatusCode;

/// Answers with the operation's example for a status and content type, else one made from its schema, else an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockResponse {
    /// Status of the response: 200 unless given.
    pub status_code: StatusCode,
    /// Media type of the example.
    pub content_type: Option<String>,
    /// Which of several examples, from 1.
    pub index: Option<u32>,
}

pub(crate) const EXAMPLE: &str = r#"<mock-response status-code="200" content-type="application/json" />"#;

pub(crate) fn parse(parser: &mut Parser<'_>, element: &Element) -> Option<MockResponse> {
    parser.attributes(element, &["status-code", "content-type", "index"]);
    parser.children(element, &[]);
    let index = parser.optional_literal(element, "index");
    if index == Some(0) {
        parser.problem(element.at, element, "'index' begins with 1.");
    }
    Some(MockResponse {
        status_code: parser.literal_or(element, "status-code", StatusCode(200)),
        content_type: parser.optional_literal(element, "content-type"),
        index,
    })
}
