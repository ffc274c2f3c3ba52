//! Tenant access: keys with which SharedAccessSignatures for one service's management are made.

use crate::service::Service;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{
    Access, Action, Contract, Cx, NameRule, Reply, Resource, Result, Secret, Value, Verbs, json,
    sqlx, typed,
};
use utoipa::ToSchema;

/// Access to one service's management by keys.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TenantAccessContract {
    /// Identifier in signatures: `integration` or `git`.
    #[contract(default = "integration".to_owned(), kept)]
    pub principal_id: String,
    /// Whether signatures are accepted.
    #[contract(default = false)]
    pub enabled: bool,
    /// First key.
    #[contract(secret, default = Secret::default())]
    pub primary_key: Secret,
    /// Second key.
    #[contract(secret, default = Secret::default())]
    pub secondary_key: Secret,
}

/// Names of the two accesses.
pub const NAMES: &[&str] = &["access", "gitAccess"];

/// The kind.
pub struct TenantAccess;

impl Resource for TenantAccess {
    type Parent = Service;
    type Contract = TenantAccessContract;
    const TITLE: &'static str = "TenantAccess";
    const NOUN: &'static str = "AccessInformation";
    const SEGMENT: &'static str = "tenant";
    const PARAMETER: &'static str = "accessName";
    const TABLE: &'static str = "tenant_access";
    const NAME: NameRule = NameRule::Fixed(NAMES);
    const VERBS: Verbs = Verbs {
        get: true,
        create: false,
        put: true,
        patch: true,
        delete: false,
        list: true,
    };
    const ACTIONS: &'static [Action] = &[
        Action {
            name: "listSecrets",
            operation: "TenantAccess_ListSecrets",
            summary: "Gives the access's keys.",
            access: Access::Secret,
            status: 200,
            run: |cx, access| {
                let (id, name) = (
                    format!("{}/tenant/{}", cx.service.path, cx.name),
                    cx.name.clone(),
                );
                Box::pin(async move {
                    let access: &TenantAccessContract = typed(access)?;
                    Ok(Reply::ok(json!({
                        "id": id,
                        "principalId": access.principal_id,
                        "primaryKey": access.primary_key.expose(),
                        "secondaryKey": access.secondary_key.expose(),
                        "enabled": access.enabled,
                        "name": name,
                    })))
                })
            },
        },
        Action {
            name: "regeneratePrimaryKey",
            operation: "TenantAccess_RegeneratePrimaryKey",
            summary: "Replaces the first key; signatures made with it end.",
            access: Access::Secret,
            status: 204,
            run: |cx, _| Box::pin(regenerate(cx, "primary_key")),
        },
        Action {
            name: "regenerateSecondaryKey",
            operation: "TenantAccess_RegenerateSecondaryKey",
            summary: "Replaces the second key; signatures made with it end.",
            access: Access::Secret,
            status: 204,
            run: |cx, _| Box::pin(regenerate(cx, "secondary_key")),
        },
        Action {
            name: "git/regeneratePrimaryKey",
            operation: "TenantAccessGit_RegeneratePrimaryKey",
            summary: "Replaces the first key of access to the configuration's repository.",
            access: Access::Secret,
            status: 204,
            run: |cx, _| Box::pin(regenerate(cx, "primary_key")),
        },
        Action {
            name: "git/regenerateSecondaryKey",
            operation: "TenantAccessGit_RegenerateSecondaryKey",
            summary: "Replaces the second key of access to the configuration's repository.",
            access: Access::Secret,
            status: 204,
            run: |cx, _| Box::pin(regenerate(cx, "secondary_key")),
        },
    ];

    fn example() -> Value {
        json!({"enabled": true})
    }
}

/// A new key: base64 of 64 random bytes (contract rules §9).
///
/// # Errors
/// When the system gives no randomness.
pub fn new_key(engine: &engine::Engine) -> Result<Secret> {
    Ok(Secret::new(BASE64_STANDARD.encode(engine.random::<64>()?)))
}

async fn regenerate(cx: &mut Cx<'_>, column: &'static str) -> Result<Reply> {
    let sealed = cx.engine.codec.seal(&new_key(cx.engine)?)?;
    // `column` is one of two constants above.
    let sql = format!(
        "UPDATE tenant_access SET {column} = $2, rev = rev + 1, updated_at = $3 WHERE id = $1"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(cx.id)
        .bind(sealed)
        .bind(cx.now)
        .execute(&mut *cx.conn)
        .await?;
    let id = cx.id;
    cx.changed("tenant_access", id);
    Ok(Reply::empty(204))
}
