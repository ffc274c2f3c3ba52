//! Tags: labels of APIs, operations and products.

use crate::service::Service;
use engine::{
    Contract, Filter, ListEffect, ListParameter, NameRule, Resource, Restriction, Value, json,
};
use utoipa::ToSchema;

/// A tag.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TagContract {
    /// Name that people see.
    #[contract(length(1..=160))]
    pub display_name: String,
}

/// `tags=true` of a list: items show their tags. The SQL joins the tags `g` with the row `t`.
macro_rules! shown {
    ($joined:literal) => {
        engine::ListParameter {
            name: "tags",
            summary: "Whether items show their tags.",
            effect: engine::ListEffect::Add(
                "tags",
                concat!(
                    "(SELECT jsonb_agg(jsonb_build_object('id', '/tags/' || g.name, 'name', g.display_name) \
                     ORDER BY lower(g.name)) FROM tags g JOIN ",
                    $joined,
                    ")"
                ),
            ),
        }
    };
}
pub(crate) use shown;

/// `tag={tagId}` of a list: only items with the tag, of which a table of links knows. Portico's own addition to the contract.
macro_rules! tagged {
    ($links:literal, $column:literal) => {
        engine::ListParameter {
            name: "tag",
            summary: "Only items with this tag: its id.",
            effect: engine::ListEffect::Restrict(|tag| {
                Ok((
                    concat!(
                        "EXISTS (SELECT FROM ",
                        $links,
                        " l JOIN tags g ON g.id = l.tag_id WHERE l.",
                        $column,
                        " = t.id AND lower(g.name) = lower({}))"
                    ),
                    Some(tag.to_owned()),
                ))
            }),
        }
    };
}
pub(crate) use tagged;

/// Tags that something in a scope has: `apis`, `products`, or one of these with its operations.
fn in_scope(scope: &str) -> Restriction {
    let scope = scope.trim_matches('/');
    let (segment, name) = match scope.split_once('/') {
        Some((segment, name)) => (segment, Some(name.to_owned())),
        None => (scope, None),
    };
    match (segment.to_ascii_lowercase().as_str(), name) {
        ("apis", None) => Ok((
            "EXISTS (SELECT FROM api_tags l WHERE l.tag_id = t.id)",
            None,
        )),
        ("products", None) => Ok((
            "EXISTS (SELECT FROM product_tags l WHERE l.tag_id = t.id)",
            None,
        )),
        ("apis", name @ Some(_)) => Ok((
            "EXISTS (SELECT FROM apis a WHERE a.parent_id = t.parent_id AND lower({}) IN (lower(a.name), lower(a.revision_name)) \
             AND (EXISTS (SELECT FROM api_tags l WHERE l.tag_id = t.id AND l.api_id = a.id) OR EXISTS (SELECT FROM operation_tags l \
             JOIN api_operations o ON o.id = l.operation_id WHERE l.tag_id = t.id AND o.parent_id = a.id)))",
            name,
        )),
        ("products", name @ Some(_)) => Ok((
            "EXISTS (SELECT FROM product_tags l JOIN products p ON p.id = l.product_id \
             WHERE l.tag_id = t.id AND lower(p.name) = lower({}))",
            name,
        )),
        _ => Err("must be apis, products, apis/{apiId} or products/{productId}"),
    }
}

/// The kind.
pub struct Tag;

impl Resource for Tag {
    type Parent = Service;
    type Contract = TagContract;
    const TITLE: &'static str = "Tag";
    const SEGMENT: &'static str = "tags";
    const PARAMETER: &'static str = "tagId";
    const TABLE: &'static str = "tags";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const FILTERS: &'static [Filter] =
        &[Filter::name(), Filter::text("displayName", "display_name")];

    const LIST_PARAMETERS: &'static [ListParameter] = &[ListParameter {
        name: "scope",
        summary: "Only tags that something there has: `apis`, `products`, `apis/{apiId}` or `products/{productId}`.",
        effect: ListEffect::Restrict(in_scope),
    }];

    fn example() -> Value {
        json!({"displayName": "machine learning"})
    }
}
