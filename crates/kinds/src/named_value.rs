//! Named values: texts and secrets that policies use as `{{name}}`.

use crate::{key_vault::VaultSecret, service::Service};
use engine::{
    Access, Action, BoxFuture, Contract, Cx, Entity, Error, Filter, Json, ListEffect,
    ListParameter, NameRule, Reply, Resource, Result, Secret, Value, Violations, json, sqlx, typed,
};
use utoipa::ToSchema;

/// A named value.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NamedValueContract {
    /// Name in policies, unique in the service: letters, digits, hyphen, dot, underscore.
    #[contract(length(1..=256))]
    pub display_name: String,
    /// The value; absent from replies when it is a secret.
    #[contract(length(0..=4096), kept)]
    pub value: Option<String>,
    /// Whether the value is encrypted and hidden.
    #[contract(default = false)]
    pub secret: bool,
    /// The value of a secret.
    #[contract(internal)]
    pub secret_value: Option<Secret>,
    /// Labels.
    pub tags: Option<Vec<String>>,
    /// `Succeeded`.
    #[contract(read_only)]
    pub provisioning_state: String,
    /// The key vault that keeps the value.
    pub key_vault: Option<Json<VaultSecret>>,
}

impl NamedValueContract {
    /// The value itself, secret or not.
    #[must_use]
    pub fn plain(&self) -> &str {
        match (&self.secret_value, &self.value) {
            (Some(secret), _) if self.secret => secret.expose(),
            (_, Some(value)) => value,
            _ => "",
        }
    }
}

/// `isKeyVaultRefreshFailed=true`
pub(crate) const REFRESH_FAILED: ListParameter = ListParameter {
    name: "isKeyVaultRefreshFailed",
    summary: "Only what could not be refreshed from its key vault.",
    effect: ListEffect::Restrict(|value| match value.to_ascii_lowercase().as_str() {
        "true" => Ok(("t.key_vault->'lastStatus'->>'code' <> 'Success'", None)),
        "false" => Ok((
            "(t.key_vault->'lastStatus'->>'code') IS NOT DISTINCT FROM 'Success' OR t.key_vault IS NULL",
            None,
        )),
        _ => Err("must be true or false"),
    }),
};

/// The kind.
pub struct NamedValue;

impl Resource for NamedValue {
    type Parent = Service;
    type Contract = NamedValueContract;
    const TITLE: &'static str = "NamedValue";
    const SEGMENT: &'static str = "namedValues";
    const PARAMETER: &'static str = "namedValueId";
    const TABLE: &'static str = "named_values";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(256);
    const SERVED: bool = true;
    const LIST_PARAMETERS: &'static [ListParameter] = &[REFRESH_FAILED];
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::texts("tags", "tags"),
    ];
    const ACTIONS: &'static [Action] = &[
        Action {
            name: "listValue",
            operation: "NamedValue_ListValue",
            summary: "Gives the value, also of a secret.",
            access: Access::Secret,
            status: 200,
            run: |_, value| {
                Box::pin(async move {
                    let value: &NamedValueContract = typed(value)?;
                    Ok(Reply::ok(json!({"value": value.plain()})))
                })
            },
        },
        Action {
            name: "refreshSecret",
            operation: "NamedValue_RefreshSecret",
            summary: "Reads the secret from its key vault again; only for values that live in one.",
            access: Access::Write,
            status: 200,
            run: |_, value| Box::pin(refresh(value)),
        },
    ];

    fn example() -> Value {
        json!({"displayName": "backend-key", "value": "open-sesame", "secret": true, "tags": ["backend"]})
    }

    fn validate(value: &NamedValueContract, violations: &mut Violations) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !value.display_name.chars().all(plain) {
            violations.add(
                "displayName",
                "must be letters, digits, hyphens, dots and underscores only",
            );
        }
        if value
            .value
            .as_deref()
            .is_some_and(|value| value.trim().is_empty())
        {
            violations.add("value", "must not be blank");
        }
        if value.tags.as_ref().is_some_and(|tags| tags.len() > 32) {
            violations.add("tags", "must be 32 at most");
        }
        if let Some(Json(place)) = &value.key_vault {
            place.check(violations);
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a NamedValueContract>,
        new: &'a mut NamedValueContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            new.provisioning_state = "Succeeded".into();
            let is_given = |name: &str| cx.given.iter().any(|given| given == name);
            if is_given("value") && !is_given("keyVault") {
                // A value of its own takes the place of the vault's.
                new.key_vault = None;
            }
            let known = old.filter(|old| same_secret(old, new));
            // A body without a value keeps the stored one, whichever column holds it.
            let value = new.value.take().or_else(|| {
                known
                    .map(|old| old.plain().to_owned())
                    .filter(|v| !v.is_empty())
            });
            // What a vault keeps is a secret, and unknown as long as the vault does not give it.
            new.secret |= new.key_vault.is_some();
            match value {
                Some(value) if new.secret => new.secret_value = Some(Secret::new(value)),
                Some(value) => (new.value, new.secret_value) = (Some(value), None),
                None if new.key_vault.is_some() => new.secret_value = None,
                None => return Err(Error::invalid("value", "is required")),
            }
            let taken: Option<String> = sqlx::query_scalar(
                "SELECT name FROM named_values WHERE parent_id = $1 AND lower(display_name) = lower($2) AND id <> $3",
            )
            .bind(cx.service.id)
            .bind(&new.display_name)
            .bind(cx.id)
            .fetch_optional(&mut *cx.conn)
            .await?;
            if let Some(other) = taken {
                return Err(Error::invalid(
                    "displayName",
                    format!("is already the display name of the named value '{other}'"),
                ));
            }
            if let Some(old) =
                old.filter(|old| !old.display_name.eq_ignore_ascii_case(&new.display_name))
            {
                unused(cx, &old.display_name, "displayName").await?;
            }
            Ok(())
        })
    }

    fn deleting<'a>(cx: &'a mut Cx<'_>, old: &'a NamedValueContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(unused(cx, &old.display_name, "namedValueId"))
    }
}

/// Whether both say the same of where the value is.
fn same_secret(old: &NamedValueContract, new: &NamedValueContract) -> bool {
    match (&old.key_vault, &new.key_vault) {
        (Some(Json(old)), Some(Json(new))) => old.is_same(new),
        (None, None) => true,
        _ => false,
    }
}

/// A value that a policy uses stays under its name.
async fn unused(cx: &mut Cx<'_>, name: &str, field: &str) -> Result<()> {
    let used: Vec<String> = sqlx::query_scalar(
        "SELECT place FROM ( \
           SELECT '/policies/policy' AS place, value FROM service_policies WHERE parent_id = $1 \
           UNION ALL SELECT '/products/' || p.name, x.value FROM product_policies x JOIN products p ON p.id = x.parent_id WHERE p.parent_id = $1 \
           UNION ALL SELECT '/apis/' || a.name, x.value FROM api_policies x JOIN apis a ON a.id = x.parent_id WHERE a.parent_id = $1 \
           UNION ALL SELECT '/apis/' || a.name || '/operations/' || o.name, x.value FROM operation_policies x \
             JOIN api_operations o ON o.id = x.parent_id JOIN apis a ON a.id = o.parent_id WHERE a.parent_id = $1 \
         ) policies WHERE strpos(lower(value), lower($2)) > 0 ORDER BY place",
    )
    .bind(cx.service.id)
    .bind(format!("{{{{{name}}}}}"))
    .fetch_all(&mut *cx.conn)
    .await?;
    if used.is_empty() {
        Ok(())
    } else {
        Err(Error::invalid(
            field,
            format!(
                "names '{name}', which is used by the policies of {}",
                used.join(", ")
            ),
        ))
    }
}

async fn refresh(value: &dyn Entity) -> Result<Reply> {
    let value: &NamedValueContract = typed(value)?;
    Err(Error::invalid(
        "namedValueId",
        format!(
            "names '{}', which does not live in a key vault",
            value.display_name
        ),
    ))
}
