//! Links as resources: `products/{id}/apiLinks/{id}` and its like.
//!
//! The same facts as `products/{id}/apis/{id}`: the tables are views of the tables of pairs, so whatever one way makes or
//! removes the other one shows. A pair has one link. One that was made without a name takes the first that a client gives it;
//! another name for a link that has one is refused.

use crate::{api::Api, operation::Operation, product::Product, revision, tag::Tag};
use engine::{
    BoxFuture, Contract, Cx, Error, Filter, NameRule, Resource, Result, Value, Verbs,
    arm_id::ResourcePath, json, sqlx, strip_service,
};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a link leads to: its row, and its id below the service.
type Found = (Uuid, String);

/// The row that an id names, whose types must be `segments`.
async fn find(
    cx: &mut Cx<'_>,
    wire: &'static str,
    segments: &[&str],
    id: &str,
    by_revision: bool,
) -> Result<Found> {
    let path = strip_service(id, &cx.service.path)
        .and_then(|rest| ResourcePath::parse(&rest).ok())
        .filter(|path| {
            path.tail.is_none()
                && path.pairs.len() == segments.len()
                && path
                    .pairs
                    .iter()
                    .zip(segments)
                    .all(|((segment, _), wanted)| segment.eq_ignore_ascii_case(wanted))
        })
        .ok_or_else(|| {
            let shape: Vec<String> = segments.iter().map(|s| format!("/{s}/{{name}}")).collect();
            let why = format!("must be a resource id that ends in {}", shape.concat());
            Error::invalid(wire, why)
        })?;
    let names: Vec<&str> = path.pairs.iter().map(|(_, name)| name.as_str()).collect();
    let found = match (segments, names.as_slice()) {
        ([Api::SEGMENT, Operation::SEGMENT], [api, operation]) => {
            match revision::named(cx, api).await? {
                None => None,
                Some((api, _)) => {
                    sqlx::query_as(
                        "SELECT id, name FROM api_operations WHERE parent_id = $1 AND lower(name) = lower($2)",
                    )
                    .bind(api)
                    .bind(operation)
                    .fetch_optional(&mut *cx.conn)
                    .await?
                }
            }
        }
        ([Api::SEGMENT], [api]) if by_revision => revision::named(cx, api)
            .await?
            .map(|(id, _)| (id, (*api).to_owned())),
        (["groups"], [name]) => cx.find("groups", name).await?,
        (["products"], [name]) => cx.find("products", name).await?,
        (_, names) => cx.find("apis", names.first().unwrap_or(&"")).await?,
    };
    let shown: String = path
        .pairs
        .iter()
        .map(|(segment, name)| format!("/{segment}/{name}"))
        .collect();
    match found {
        Some((row, _)) => Ok((row, shown)),
        None => Err(Error::invalid(
            wire,
            format!("names {}, which does not exist", &shown[1..]),
        )),
    }
}

/// Settles what a new link means for a pair that has one.
///
/// A pair without a name of its own takes this one, and the write begins anew as that of the link which is there.
async fn adopt(cx: &mut Cx<'_>, view: &'static str, target: Uuid) -> Result<()> {
    let parent = cx.parents.last().copied().unwrap_or_default();
    let sql =
        format!("SELECT id, name, is_named FROM {view} WHERE parent_id = $1 AND target_id = $2");
    let known: Option<(Uuid, String, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(parent)
        .bind(target)
        .fetch_optional(&mut *cx.conn)
        .await?;
    match known {
        None => Ok(()),
        Some((id, _, false)) => {
            let sql = format!("UPDATE {view} SET name = $2, is_named = true WHERE id = $1");
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(id)
                .bind(&cx.name)
                .execute(&mut *cx.conn)
                .await?;
            cx.restored = true;
            Ok(())
        }
        Some((_, name, true)) => Err(Error::Conflict(format!(
            "The two are linked already, by the link '{name}'."
        ))),
    }
}

/// The contract of links that lead to one kind.
macro_rules! link_contract {
    ($(#[$doc:meta])* $contract:ident, $field:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Contract, ToSchema)]
        #[schema(rename_all = "camelCase")]
        pub struct $contract {
            /// Full id of what the link leads to.
            #[contract(computed, reference = "", length(1..))]
            pub $field: String,
            /// Its row.
            #[contract(internal)]
            pub target_id: Uuid,
            /// Whether a client gave the link its name.
            #[contract(internal, default = true)]
            pub is_named: bool,
        }
    };
}

link_contract!(
    /// A link to an API.
    ApiLinkContract, api_id
);
link_contract!(
    /// A link to a group.
    GroupLinkContract, group_id
);
link_contract!(
    /// A link to an operation.
    OperationLinkContract, operation_id
);
link_contract!(
    /// A link to a product.
    ProductLinkContract, product_id
);

/// A kind of links.
macro_rules! link_kind {
    (
        $(#[$doc:meta])* $kind:ident, $parent:ty, $contract:ident . $field:ident, $title:literal, $segment:literal,
        $parameter:literal, $view:literal, $wire:literal, [$($types:expr),+], by_revision: $by_revision:literal,
        $example:literal
    ) => {
        $(#[$doc])*
        pub struct $kind;

        impl Resource for $kind {
            type Parent = $parent;
            type Contract = $contract;
            const TITLE: &'static str = $title;
            const NOUN: &'static str = "Link";
            const SEGMENT: &'static str = $segment;
            const PARAMETER: &'static str = $parameter;
            const TABLE: &'static str = $view;
            const IN_WORKSPACES: bool = true;
            const NAME: NameRule = NameRule::id(80);
            const SINCE: &'static str = "2024-05-01";
            const RESTORABLE: bool = false;
            const IF_MATCH: bool = false;
            const VERBS: Verbs = Verbs {
                patch: false,
                ..Verbs::ALL
            };
            const FILTERS: &'static [Filter] = &[
                Filter::name(),
                Filter::ordered_path($wire, stringify!($field)),
            ];

            fn example() -> Value {
                json!({$wire: $example})
            }

            fn prepare<'a>(
                cx: &'a mut Cx<'_>,
                old: Option<&'a $contract>,
                new: &'a mut $contract,
            ) -> BoxFuture<'a, Result<()>> {
                Box::pin(async move {
                    let (target, shown) =
                        find(cx, $wire, &[$($types),+], &new.$field, $by_revision).await?;
                    (new.target_id, new.$field) = (target, shown);
                    match old {
                        None => adopt(cx, $view, target).await,
                        Some(_) => Ok(()),
                    }
                })
            }

            fn written<'a>(
                cx: &'a mut Cx<'_>,
                _: Option<&'a $contract>,
                _: &'a $contract,
            ) -> BoxFuture<'a, Result<()>> {
                changed::<$parent>(cx)
            }

            fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a $contract) -> BoxFuture<'a, Result<()>> {
                changed::<$parent>(cx)
            }
        }
    };
}

/// What has the links changes with them: the gateway knows a product's APIs by the product.
fn changed<'a, R: Resource>(cx: &'a mut Cx<'_>) -> BoxFuture<'a, Result<()>> {
    if let Some(parent) = cx.parents.last().copied() {
        cx.changed(R::TABLE, parent);
    }
    engine::ok()
}

link_kind!(
    /// APIs of a product.
    ProductApiLink, Product, ApiLinkContract.api_id, "ProductApiLink", "apiLinks", "apiLinkId", "product_api_links", "apiId",
    ["apis"], by_revision: false, "/apis/echo-api"
);
link_kind!(
    /// Groups that see a product.
    ProductGroupLink, Product, GroupLinkContract.group_id, "ProductGroupLink", "groupLinks", "groupLinkId",
    "product_group_links", "groupId", ["groups"], by_revision: false, "/groups/developers"
);
link_kind!(
    /// APIs that have a tag.
    TagApiLink, Tag, ApiLinkContract.api_id, "TagApiLink", "apiLinks", "apiLinkId", "tag_api_links", "apiId", ["apis"],
    by_revision: true, "/apis/echo-api"
);
link_kind!(
    /// Operations that have a tag.
    TagOperationLink, Tag, OperationLinkContract.operation_id, "TagOperationLink", "operationLinks", "operationLinkId",
    "tag_operation_links", "operationId", ["apis", "operations"], by_revision: true,
    "/apis/echo-api/operations/retrieve-resource"
);
link_kind!(
    /// Products that have a tag.
    TagProductLink, Tag, ProductLinkContract.product_id, "TagProductLink", "productLinks", "productLinkId",
    "tag_product_links", "productId", ["products"], by_revision: false, "/products/starter"
);
