//! Subscriptions: the keys with which a developer calls a product, an API, or all APIs.

use crate::{notify, service::Service};
use chrono::{DateTime, Utc};
use engine::{
    Access, Action, BoxFuture, Contract, Cx, Error, Filter, NameRule, Ref, Reply, Resource, Result,
    Secret, TextColumn, Value, Violations, arm_id, json, sqlx, strip_service, typed,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A subscription.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SubscriptionContract {
    /// The developer who owns it: `/users/{userId}`; none for the service's own.
    #[contract(reference = "users")]
    pub owner_id: Option<Ref>,
    /// What the keys open: `/products/{productId}`, `/apis/{apiId}`, `/apis` or `/`.
    #[contract(reference = "")]
    pub scope: String,
    /// The API of the scope.
    #[contract(internal)]
    pub scope_api_id: Option<Uuid>,
    /// The product of the scope.
    #[contract(internal)]
    pub scope_product_id: Option<Uuid>,
    /// Name that people see.
    #[contract(length(1..=100))]
    pub display_name: Option<String>,
    /// State; `submitted` when a create names none.
    #[contract(default = State::Submitted, kept)]
    pub state: State,
    /// When it was created.
    #[contract(read_only)]
    pub created_date: DateTime<Utc>,
    /// When it became active; informational.
    #[contract(read_only)]
    pub start_date: Option<DateTime<Utc>>,
    /// When it should end; informational.
    pub expiration_date: Option<DateTime<Utc>>,
    /// When it ended; informational.
    pub end_date: Option<DateTime<Utc>>,
    /// When its owner was told of the coming end.
    #[contract(read_only)]
    pub notification_date: Option<DateTime<Utc>>,
    /// Why it was declined, suspended or cancelled.
    pub state_comment: Option<String>,
    /// Whether calls may ask for a trace.
    #[contract(default = Some(false), kept)]
    pub allow_tracing: Option<bool>,
    /// First key; generated when a create names none.
    #[contract(secret, default = Secret::default(), length(0..=256))]
    pub primary_key: Secret,
    /// Second key; generated when a create names none.
    #[contract(secret, default = Secret::default(), length(0..=256))]
    pub secondary_key: Secret,
    /// SHA-256 of the first key: what the gateway compares.
    #[contract(internal)]
    pub primary_digest: Vec<u8>,
    /// SHA-256 of the second key.
    #[contract(internal)]
    pub secondary_digest: Vec<u8>,
}

/// State of a subscription; only `active` ones open anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Blocked by an administrator.
    Suspended,
    /// Usable.
    Active,
    /// Over.
    Expired,
    /// Waits for approval.
    Submitted,
    /// Declined.
    Rejected,
    /// Given up by its owner.
    Cancelled,
}

/// SHA-256 of a key.
#[must_use]
pub fn digest(key: &Secret) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.expose().as_bytes())
        .as_ref()
        .to_vec()
}

/// A new key: 32 hexadecimal digits.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_key(engine: &engine::Engine) -> Result<Secret> {
    Ok(Secret::new(hex::encode(engine.random::<16>()?)))
}

/// The kind.
pub struct Subscription;

impl Resource for Subscription {
    type Parent = Service;
    type Contract = SubscriptionContract;
    const TITLE: &'static str = "Subscription";
    const SEGMENT: &'static str = "subscriptions";
    const PARAMETER: &'static str = "sid";
    const TABLE: &'static str = "subscriptions";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(256);
    const SERVED: bool = true;
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name").indexed(),
        Filter::text("stateComment", "state_comment").indexed(),
        Filter::reference("ownerId", "owner_id", "users"),
        Filter::reference("userId", "owner_id", "users"),
        Filter::path("scope", "scope"),
        Filter::reference("productId", "scope_product_id", "products"),
        Filter::equal("state", "state"),
    ];
    const ACTIONS: &'static [Action] = &[
        Action {
            name: "listSecrets",
            operation: "Subscription_ListSecrets",
            summary: "Gives the subscription's keys.",
            access: Access::Secret,
            status: 200,
            run: |_, subscription| {
                Box::pin(async move {
                    let subscription: &SubscriptionContract = typed(subscription)?;
                    Ok(Reply::ok(json!({
                        "primaryKey": subscription.primary_key.expose(),
                        "secondaryKey": subscription.secondary_key.expose(),
                    })))
                })
            },
        },
        Action {
            name: "regeneratePrimaryKey",
            operation: "Subscription_RegeneratePrimaryKey",
            summary: "Replaces the subscription's first key; the second stays.",
            access: Access::Secret,
            status: 204,
            run: |cx, old| Box::pin(async move { regenerate(cx, typed(old)?, "primary").await }),
        },
        Action {
            name: "regenerateSecondaryKey",
            operation: "Subscription_RegenerateSecondaryKey",
            summary: "Replaces the subscription's second key; the first stays.",
            access: Access::Secret,
            status: 204,
            run: |cx, old| Box::pin(async move { regenerate(cx, typed(old)?, "secondary").await }),
        },
    ];

    fn example() -> Value {
        json!({"scope": "/apis", "displayName": "Ann's key", "state": "active", "allowTracing": false})
    }

    fn validate(subscription: &SubscriptionContract, violations: &mut Violations) {
        for (field, key) in [
            ("primaryKey", &subscription.primary_key),
            ("secondaryKey", &subscription.secondary_key),
        ] {
            if !key.expose().bytes().all(|b| b.is_ascii_graphic()) {
                violations.add(
                    field,
                    "must be printable ASCII without spaces, because it travels in a header",
                );
            }
        }
        let (primary, secondary) = (
            subscription.primary_key.expose(),
            subscription.secondary_key.expose(),
        );
        if !primary.is_empty() && primary == secondary {
            violations.add("secondaryKey", "must differ from primaryKey");
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a SubscriptionContract>,
        new: &'a mut SubscriptionContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            resolve_scope(cx, new).await?;
            if old.is_none() {
                if new.display_name.is_none() {
                    return Err(Error::invalid("displayName", "is required"));
                }
                new.created_date = cx.now;
            }
            if new.state == State::Active
                && old.is_none_or(|old| old.state != State::Active)
                && new.start_date.is_none()
            {
                new.start_date = Some(cx.now);
            }
            let chosen = |key: &Secret, stored: Option<&Secret>| {
                !key.expose().is_empty() && stored != Some(key)
            };
            let is_chosen = chosen(&new.primary_key, old.map(|old| &old.primary_key))
                || chosen(&new.secondary_key, old.map(|old| &old.secondary_key));
            for key in [&mut new.primary_key, &mut new.secondary_key] {
                if key.expose().is_empty() {
                    *key = new_key(cx.engine)?;
                }
            }
            new.primary_digest = digest(&new.primary_key);
            new.secondary_digest = digest(&new.secondary_key);
            if !is_chosen {
                // Generated keys cannot collide, and stored ones were looked at when they were chosen.
                return Ok(());
            }
            // No index compares a first key with second keys.
            sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('subscription keys ' || $1::text, 0))")
                .bind(cx.service.id)
                .execute(&mut *cx.conn)
                .await?;
            let taken: Option<(bool, bool)> = sqlx::query_as(
                "SELECT bool_or($3 IN (primary_digest, secondary_digest)), bool_or($4 IN (primary_digest, secondary_digest)) \
                 FROM subscriptions WHERE parent_id = $1 AND id <> $2 \
                 AND (primary_digest IN ($3, $4) OR secondary_digest IN ($3, $4)) HAVING count(*) > 0",
            )
            .bind(cx.service.id)
            .bind(cx.id)
            .bind(&new.primary_digest)
            .bind(&new.secondary_digest)
            .fetch_optional(&mut *cx.conn)
            .await?;
            let mut violations = Violations::default();
            if let Some((primary, secondary)) = taken {
                // The words tell no more than that the key cannot be had: whose it is stays secret.
                if primary {
                    violations.add("primaryKey", "is already in use; choose another key");
                }
                if secondary {
                    violations.add("secondaryKey", "is already in use; choose another key");
                }
            }
            violations.into_result()
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a SubscriptionContract>,
        new: &'a SubscriptionContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let before = old.map(|old| old.state);
            // `notify=false` silences the mails of one request (contract: parameter `notify`).
            if before == Some(new.state)
                || cx
                    .query
                    .value("notify")
                    .is_some_and(|v| v.eq_ignore_ascii_case("false"))
            {
                return Ok(());
            }
            match new.state {
                State::Submitted => notify::subscription_requested(cx, new).await,
                State::Active => notify::subscription_active(cx, new).await,
                State::Rejected => notify::subscription_declined(cx, new).await,
                State::Suspended | State::Expired | State::Cancelled => Ok(()),
            }
        })
    }
}

/// Reads the scope in every form that clients send and finds the row that it names.
async fn resolve_scope(cx: &mut Cx<'_>, new: &mut SubscriptionContract) -> Result<()> {
    const FORMS: &str = "must be /products/{productId}, /apis/{apiId}, /apis or the service itself";
    let wrong = || Error::invalid("scope", FORMS);
    let rest = strip_service(&new.scope, &cx.service.path).ok_or_else(wrong)?;
    let path = arm_id::ResourcePath::parse(&rest).ok();
    (new.scope_api_id, new.scope_product_id) = (None, None);
    if rest.is_empty() || rest == "/" {
        new.scope = "/".to_owned();
        return Ok(());
    }
    let path = path.ok_or_else(wrong)?;
    match (path.pairs.as_slice(), path.tail.as_deref()) {
        ([], Some(tail)) if tail.eq_ignore_ascii_case("apis") => new.scope = "/apis".to_owned(),
        ([(kind, name)], None) if kind.eq_ignore_ascii_case("apis") => {
            let (id, name) = cx.find("apis", name).await?.ok_or_else(|| {
                Error::invalid(
                    "scope",
                    format!("names the API {name}, which does not exist"),
                )
            })?;
            new.scope = format!("/apis/{name}");
            new.scope_api_id = Some(id);
        }
        ([(kind, name)], None) if kind.eq_ignore_ascii_case("products") => {
            let (id, name) = cx.find("products", name).await?.ok_or_else(|| {
                Error::invalid(
                    "scope",
                    format!("names the product {name}, which does not exist"),
                )
            })?;
            new.scope = format!("/products/{name}");
            new.scope_product_id = Some(id);
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

async fn regenerate(
    cx: &mut Cx<'_>,
    subscription: &SubscriptionContract,
    which: &'static str,
) -> Result<Reply> {
    let key = new_key(cx.engine)?;
    let sealed = cx.engine.codec.seal(&key)?;
    // `which` is one of two constants above.
    let sql = format!(
        "UPDATE subscriptions SET {which}_key = $2, {which}_digest = $3, rev = rev + 1, updated_at = $4 WHERE id = $1"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(cx.id)
        .bind(sealed)
        .bind(digest(&key))
        .bind(cx.now)
        .execute(&mut *cx.conn)
        .await?;
    let id = cx.id;
    cx.changed("subscriptions", id);
    notify::key_regenerated(cx, subscription, which).await?;
    Ok(Reply::empty(204))
}

/// Deletes the subscriptions of what is being deleted; only when the caller says so with `deleteSubscriptions=true`.
///
/// # Errors
/// A violation of `deleteSubscriptions` that names them, when the caller does not.
pub(crate) async fn delete_with(cx: &mut Cx<'_>, column: &'static str, what: &str) -> Result<()> {
    // `column` is one of the kinds' constants.
    let sql = format!("DELETE FROM subscriptions WHERE {column} = $1 RETURNING id, name");
    let gone: Vec<(Uuid, String)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(cx.id)
        .fetch_all(&mut *cx.conn)
        .await?;
    if !gone.is_empty() && !cx.query.switch("deleteSubscriptions")? {
        let names = gone.iter().map(|(_, name)| name.as_str()).collect();
        return Err(Error::invalid(
            "deleteSubscriptions",
            format!(
                "must be true, because the {what} has the subscriptions {}",
                first_of(names)
            ),
        ));
    }
    for (id, _) in gone {
        cx.changed("subscriptions", id);
    }
    Ok(())
}

/// Names that a message can hold.
const NAMES: usize = 20;

fn first_of(mut names: Vec<&str>) -> String {
    let more = names.len().saturating_sub(NAMES);
    names.sort_unstable();
    names.truncate(NAMES);
    let names = names.join(", ");
    match more {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// An API takes its active subscriptions along only when the caller says so: with the contract's explicit parameter
/// of the operation, `deleteRevisions=true`, which the clients can send, or with `deleteSubscriptions=true`.
///
/// # Errors
/// A violation that names the subscriptions, when the caller does not.
pub(crate) async fn kept_by_api(cx: &mut Cx<'_>, root: Uuid) -> Result<()> {
    let active: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM subscriptions WHERE scope_api_id = $1 AND state = 'active'",
    )
    .bind(root)
    .fetch_all(&mut *cx.conn)
    .await?;
    if active.is_empty()
        || cx.query.switch("deleteRevisions")?
        || cx.query.switch("deleteSubscriptions")?
    {
        return Ok(());
    }
    Err(Error::invalid(
        "deleteRevisions",
        format!(
            "or deleteSubscriptions must be true, because the API has the active subscriptions {}",
            first_of(active.iter().map(String::as_str).collect())
        ),
    ))
}
