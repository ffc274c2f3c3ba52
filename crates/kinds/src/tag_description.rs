//! Tag descriptions: what a tag means within one API.

use crate::{api::Api, tag::Tag};
use engine::{
    BoxFuture, Contract, Cx, Error, Filter, NameRule, Resource, Result, Value, Violations, json,
    sqlx,
};
use utoipa::ToSchema;

/// The description of a tag within an API.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TagDescriptionContract {
    /// Description.
    pub description: Option<String>,
    /// Further documentation, as a URL.
    #[contract(length(0..=2000))]
    pub external_docs_url: Option<String>,
    /// Description of the further documentation.
    pub external_docs_description: Option<String>,
    /// The tag's resource id.
    #[contract(read_only)]
    pub tag_id: Option<String>,
    /// The tag's name for people.
    #[contract(read_only)]
    pub display_name: Option<String>,
}

/// The kind.
pub struct TagDescription;

impl Resource for TagDescription {
    type Parent = Api;
    type Contract = TagDescriptionContract;
    const TITLE: &'static str = "ApiTagDescription";
    const NOUN: &'static str = "TagDescription";
    const SEGMENT: &'static str = "tagDescriptions";
    const PARAMETER: &'static str = "tagDescriptionId";
    const TABLE: &'static str = "tag_descriptions";
    const NAME: NameRule = NameRule::id(80);
    const VERBS: engine::Verbs = engine::Verbs {
        patch: false,
        ..engine::Verbs::ALL
    };
    const FILTERS: &'static [Filter] =
        &[Filter::name(), Filter::text("displayName", "display_name")];

    fn example() -> Value {
        json!({"description": "Everything that learns.", "externalDocsUrl": "https://example.org/docs"})
    }

    fn validate(description: &TagDescriptionContract, violations: &mut Violations) {
        let url = description.external_docs_url.as_deref().unwrap_or_default();
        if !url.is_empty() && !url.starts_with("https://") && !url.starts_with("http://") {
            violations.add("externalDocsUrl", "must be a URL");
        }
    }

    /// Describing a tag also puts it on the API.
    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a TagDescriptionContract>,
        new: &'a mut TagDescriptionContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let name = cx.name.clone();
            let (tag, name) = cx
                .find(Tag::TABLE, &name)
                .await?
                .ok_or_else(|| Error::not_found("Tag"))?;
            let display_name: String =
                sqlx::query_scalar("SELECT display_name FROM tags WHERE id = $1")
                    .bind(tag)
                    .fetch_one(&mut *cx.conn)
                    .await?;
            new.tag_id = Some(format!("{}/tags/{name}", cx.service.path));
            new.display_name = Some(display_name);
            sqlx::query(
                "INSERT INTO api_tags (api_id, tag_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(cx.parents.last())
            .bind(tag)
            .execute(&mut *cx.conn)
            .await?;
            Ok(())
        })
    }
}
