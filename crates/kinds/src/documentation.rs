//! Documentation: Markdown pages that wikis of APIs and products gather.

use crate::service::Service;
use engine::{Contract, Filter, NameRule, Resource, Value, json};
use utoipa::ToSchema;

/// A page.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct DocumentationContract {
    /// Title.
    pub title: Option<String>,
    /// Markdown.
    pub content: Option<String>,
}

/// The kind.
pub struct Documentation;

impl Resource for Documentation {
    type Parent = Service;
    type Contract = DocumentationContract;
    const TITLE: &'static str = "Documentation";
    const SEGMENT: &'static str = "documentations";
    const PARAMETER: &'static str = "documentationId";
    const TABLE: &'static str = "documentations";
    const NAME: NameRule = NameRule::id(256);
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("title", "title"),
        Filter::text("content", "content"),
    ];

    fn example() -> Value {
        json!({"title": "Getting started", "content": "Ask for a key, then call **RRS Execute**."})
    }
}
