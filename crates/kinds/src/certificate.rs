//! Certificates: the gateway's client certificates towards backends, keys of tokens, and issuers of callers' certificates.

use crate::{key_vault::VaultSecret, named_value, service::Service};
use ::certificate::Bundle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use engine::{
    Access, Action, BoxFuture, Contract, Cx, Error, Filter, Json, ListParameter, NameRule,
    Resource, Result, Secret, Value, Verbs, Violations, json, sqlx,
};
use utoipa::ToSchema;

/// A certificate.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CertificateContract {
    /// PKCS #12 in base64, or a certificate without its key.
    #[contract(write_only)]
    pub data: Option<Secret>,
    /// Password of the file.
    #[contract(write_only)]
    pub password: Option<Secret>,
    /// The key vault that keeps the file.
    pub key_vault: Option<Json<VaultSecret>>,
    /// Distinguished name of the subject.
    #[contract(read_only)]
    pub subject: String,
    /// SHA-1 in upper-case hexadecimal.
    #[contract(read_only)]
    pub thumbprint: String,
    /// When it expires.
    #[contract(read_only)]
    pub expiration_date: DateTime<Utc>,
    /// The chain in PEM, leaf first.
    #[contract(internal)]
    pub chain_pem: String,
    /// The private key in PEM.
    #[contract(internal)]
    pub key_pem: Option<Secret>,
}

/// The kind.
pub struct Certificate;

impl Resource for Certificate {
    type Parent = Service;
    type Contract = CertificateContract;
    const TITLE: &'static str = "Certificate";
    const SEGMENT: &'static str = "certificates";
    const PARAMETER: &'static str = "certificateId";
    const TABLE: &'static str = "certificates";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const VERBS: Verbs = Verbs {
        patch: false,
        ..Verbs::ALL
    };
    const SERVED: bool = true;
    const LIST_PARAMETERS: &'static [ListParameter] = &[named_value::REFRESH_FAILED];
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("subject", "subject"),
        Filter::text("thumbprint", "thumbprint"),
        Filter::date("expirationDate", "expiration_date"),
    ];
    const ACTIONS: &'static [Action] = &[Action {
        name: "refreshSecret",
        operation: "Certificate_RefreshSecret",
        summary: "Reads the certificate from its key vault again; only for certificates that live in one.",
        access: Access::Write,
        status: 200,
        run: |_, _| {
            Box::pin(async {
                Err(Error::invalid(
                    "certificateId",
                    "names a certificate that does not live in a key vault",
                ))
            })
        },
    }];

    fn example() -> Value {
        json!({"data": EXAMPLE})
    }

    fn validate(certificate: &CertificateContract, violations: &mut Violations) {
        if let Some(Json(place)) = &certificate.key_vault {
            place.check(violations);
        } else if certificate.data.is_none() {
            violations.add("data", "is required");
        }
    }

    fn prepare<'a>(
        _: &'a mut Cx<'_>,
        old: Option<&'a CertificateContract>,
        new: &'a mut CertificateContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if let (Some(Json(place)), None) = (&new.key_vault, &new.data) {
                return unread(place, old);
            }
            let data = new.data.take().unwrap_or_default();
            let password = new.password.take().unwrap_or_default();
            let refuse = |why: String| Error::invalid("data", why);
            let bundle = decode(data.expose(), password.expose()).map_err(refuse)?;
            let facts = bundle.facts().map_err(|error| refuse(error.to_string()))?;
            new.subject = facts.subject;
            new.thumbprint = facts.thumbprint;
            new.expiration_date = facts.not_after;
            new.chain_pem = bundle.chain_pem();
            new.key_pem = bundle.key_pem().map(Secret::new);
            Ok(())
        })
    }

    fn deleting<'a>(cx: &'a mut Cx<'_>, old: &'a CertificateContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(unused(cx, &old.thumbprint))
    }
}

/// What the vault did not give: the certificate stays that it gave before, and a first one is refused.
fn unread(place: &VaultSecret, old: Option<&CertificateContract>) -> Result<()> {
    let known = old.filter(|old| {
        let known = old.key_vault.as_ref();
        known.is_some_and(|Json(known)| known.is_same(place))
    });
    if known.is_none() {
        let why = place
            .last_status
            .as_ref()
            .map(|status| status.message.as_str());
        return Err(Error::invalid(
            "keyVault",
            format!("gives no certificate: {}", why.unwrap_or("it was not read")),
        ));
    }
    Ok(())
}

/// A file in base64, as bodies have it.
///
/// # Errors
/// With what follows the field's name in a message.
pub(crate) fn decode(data: &str, password: &str) -> std::result::Result<Bundle, String> {
    let compact: String = data.split_ascii_whitespace().collect();
    let bytes = STANDARD
        .decode(compact)
        .map_err(|_| "must be a file of PKCS #12 in base64".to_owned())?;
    Bundle::read(&bytes, password).map_err(|error| error.to_string())
}

/// A certificate that a backend or a policy names stays.
async fn unused(cx: &mut Cx<'_>, thumbprint: &str) -> Result<()> {
    let name = cx.name.clone();
    let used: Vec<String> = sqlx::query_scalar(
        "SELECT place FROM ( \
           SELECT '/backends/' || b.name AS place, coalesce(b.credentials->'certificateIds', '[]') AS ids, \
             coalesce(b.credentials->'certificate', '[]') AS thumbprints, '' AS value FROM backends b WHERE b.parent_id = $1 \
           UNION ALL SELECT '/policies/policy', '[]', '[]', value FROM service_policies WHERE parent_id = $1 \
           UNION ALL SELECT '/products/' || p.name, '[]', '[]', x.value FROM product_policies x JOIN products p ON p.id = x.parent_id WHERE p.parent_id = $1 \
           UNION ALL SELECT '/apis/' || a.name, '[]', '[]', x.value FROM api_policies x JOIN apis a ON a.id = x.parent_id WHERE a.parent_id = $1 \
           UNION ALL SELECT '/apis/' || a.name || '/operations/' || o.name, '[]', '[]', x.value FROM operation_policies x \
             JOIN api_operations o ON o.id = x.parent_id JOIN apis a ON a.id = o.parent_id WHERE a.parent_id = $1 \
         ) places WHERE EXISTS (SELECT FROM jsonb_array_elements_text(ids) id WHERE lower(regexp_replace(id, '^.*/', '')) = lower($2)) \
           OR EXISTS (SELECT FROM jsonb_array_elements_text(thumbprints) t WHERE lower(t) = lower($3)) \
           OR strpos(lower(value), lower('certificate-id=\"' || $2 || '\"')) > 0 OR strpos(lower(value), lower('\"' || $3 || '\"')) > 0 \
         ORDER BY place",
    )
    .bind(cx.service.id)
    .bind(&name)
    .bind(thumbprint)
    .fetch_all(&mut *cx.conn)
    .await?;
    if used.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        "certificateId",
        format!("names '{name}', which is used by {}", used.join(", ")),
    ))
}

/// A certificate without a key, made for this example: it opens nothing.
const EXAMPLE: &str = "MIIBkTCCATegAwIBAgIUJFLLMd8dkHEbtdwH5xixOdPycJ8wCgYIKoZIzj0EAwIwHTEbMBkGA1UEAwwSY2xpZW50LmV4YW1wbGUub3JnMCAXDTI2MTEyMzE2NTYwOFoYDzIxMjYxMDMwMTY1NjA4WjAdMRswGQYDVQQDDBJjbGllbnQuZXhhbXBsZS5vcmcwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQCFx901l+CqX7J7q5exQS1KWQB/hQzqLNztKuT/o5EZZmC7PmfV9G3oFzbsQKhDLsYeTLb4LwZmUNCf8XE2ypNo1MwUTAdBgNVHQ4EFgQU73Olq187ZwgZ3lWcWNdtyYJ51hEwHwYDVR0jBBgwFoAU73Olq187ZwgZ3lWcWNdtyYJ51hEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA0xxV8uCh0o8zQng7RcU6w0TBkNBUe98vYohSooQ1PWkCID0pvfY9m2G+6zqh1xzRogtUvlo3CllADjb6iYtfA3zX";
