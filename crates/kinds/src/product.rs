//! Products: what developers subscribe to. **Copy this file to add a kind.**

use crate::{group, service::Service, subscription, tag};
use engine::{
    BoxFuture, Contract, Cx, Filter, ListParameter, NameRule, Resource, Result, TextColumn, Value,
    Violations, json, sqlx,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A product bundles APIs under terms and limits; a subscription to it gives keys.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ProductContract {
    /// Name that people see.
    #[contract(length(1..=300))]
    pub display_name: String,
    /// Description; may hold HTML.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
    /// Terms of use that a developer has to accept before subscribing.
    pub terms: Option<String>,
    /// Whether calls need a subscription key.
    #[contract(default = true)]
    pub subscription_required: bool,
    /// Whether an administrator must approve a developer's subscription; only with `subscriptionRequired`.
    pub approval_required: Option<bool>,
    /// How many subscriptions one developer may have at a time; unlimited when absent; only with `subscriptionRequired`.
    pub subscriptions_limit: Option<i32>,
    /// Whether developers can see the product.
    #[contract(default = State::NotPublished)]
    pub state: State,
}

/// Whether developers can see a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Administrators only.
    NotPublished,
    /// Members of its groups.
    Published,
}

/// The kind.
pub struct Product;

impl Resource for Product {
    type Parent = Service;
    type Contract = ProductContract;
    const TITLE: &'static str = "Product";
    const SEGMENT: &'static str = "products";
    const PARAMETER: &'static str = "productId";
    const TABLE: &'static str = "products";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(256);
    const SERVED: bool = true;
    const LIST_PARAMETERS: &'static [ListParameter] = &[
        group::shown!("product_groups l ON l.group_id = g.id WHERE l.product_id = t.id"),
        tag::shown!("product_tags l ON l.tag_id = g.id WHERE l.product_id = t.id"),
        tag::tagged!("product_tags", "product_id"),
    ];
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("description", "description"),
        Filter::text("terms", "terms"),
        Filter::equal("state", "state"),
    ];

    fn example() -> Value {
        json!({
            "displayName": "Starter",
            "description": "Subscribers will be able to run 5 calls/minute up to a maximum of 100 calls/week.",
            "terms": "Be kind.",
            "subscriptionRequired": true,
            "approvalRequired": false,
            "subscriptionsLimit": 1,
            "state": "published"
        })
    }

    fn validate(product: &ProductContract, violations: &mut Violations) {
        if product.subscriptions_limit.is_some_and(|limit| limit < 1) {
            violations.add("subscriptionsLimit", "must be at least 1");
        }
        if !product.subscription_required {
            if product.subscriptions_limit.is_some() {
                violations.add(
                    "subscriptionsLimit",
                    "can be set only if subscriptionRequired is true",
                );
            }
            if product.approval_required == Some(true) {
                violations.add(
                    "approvalRequired",
                    "can be true only if subscriptionRequired is true",
                );
            }
        }
    }

    /// Administrators see every product, so each belongs to their group from the start.
    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ProductContract>,
        _: &'a ProductContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if old.is_none() {
                sqlx::query(
                    "INSERT INTO product_groups (product_id, group_id) \
                     SELECT $1, id FROM groups WHERE parent_id = $2 AND name = 'administrators' ON CONFLICT DO NOTHING",
                )
                .bind(cx.id)
                .bind(cx.service.id)
                .execute(&mut *cx.conn)
                .await?;
            }
            Ok(())
        })
    }

    /// Subscriptions go only when the caller says so with `deleteSubscriptions=true`.
    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a ProductContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            subscription::delete_with(cx, "scope_product_id", "product").await?;
            // The policy goes by cascade and must leave the gateway's configuration, too.
            let policies: Vec<Uuid> =
                sqlx::query_scalar("SELECT id FROM product_policies WHERE parent_id = $1")
                    .bind(cx.id)
                    .fetch_all(&mut *cx.conn)
                    .await?;
            for id in policies {
                cx.changed("product_policies", id);
            }
            Ok(())
        })
    }
}
