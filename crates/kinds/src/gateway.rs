//! Gateways apart from the control plane, their hosts and certificate authorities.
//!
//! A gateway serves the APIs that it is associated with. The one named `managed` stands for the built-in gateway and serves all
//! APIs of its service; it is made like any other, when processes of it are to run apart from the database.

use crate::{service::Service, tenant_access::new_key};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use engine::{
    Access, Action, BoxFuture, Codec, Contract, Cx, Error, Filter, Json, NameRule, PgConnection,
    Reply, Resource, Result, Secret, Value, Violations, json, link::Edit, sqlx, typed,
};
use identity::gateway_token;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A gateway.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct GatewayContract {
    /// Where it is.
    pub location_data: Option<Json<ResourceLocationData>>,
    /// Name of the location, for filters.
    #[contract(internal)]
    pub region: Option<String>,
    /// Description.
    #[contract(length(0..=1000))]
    pub description: Option<String>,
    /// First key of its tokens.
    #[contract(internal)]
    pub primary_key: Secret,
    /// Second key of its tokens.
    #[contract(internal)]
    pub secondary_key: Secret,
    /// Seals what the gateway keeps on its disk: base64 of 32 bytes, in every token of the gateway.
    #[contract(internal)]
    pub file_secret: Secret,
}

/// Where a gateway is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceLocationData {
    /// Name of the place.
    pub name: String,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// District.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// Country or region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_or_region: Option<String>,
}

/// Whether a gateway of this name stands for the built-in one, which serves every API.
#[must_use]
pub fn is_managed(name: &str) -> bool {
    name.eq_ignore_ascii_case("managed")
}

/// Which of the two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    Primary,
    Secondary,
}

/// The key that signs configuration for gateways: made at the first use, one for the installation.
///
/// # Errors
/// When the database fails, or the key was sealed under another secret key.
pub async fn signing_key(conn: &mut PgConnection, codec: &Codec) -> Result<Ed25519KeyPair> {
    let stored: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM signing_key")
        .fetch_optional(&mut *conn)
        .await?;
    let sealed = match stored {
        Some(sealed) => sealed,
        None => {
            let mut seed = [0; 32];
            aws_lc_rs::rand::fill(&mut seed)
                .map_err(|_| Error::internal("the system gave no randomness"))?;
            let sealed = codec.seal(&Secret::new(BASE64_STANDARD.encode(seed)))?;
            // Of two that make one at the same time the first wins, and both use that.
            sqlx::query(
                "INSERT INTO signing_key (singleton, sealed) VALUES (true, $1) ON CONFLICT DO NOTHING",
            )
            .bind(&sealed)
            .execute(&mut *conn)
            .await?;
            sqlx::query_scalar("SELECT sealed FROM signing_key")
                .fetch_one(&mut *conn)
                .await?
        }
    };
    let seed = BASE64_STANDARD
        .decode(codec.open(&sealed)?.expose())
        .map_err(Error::internal)?;
    Ed25519KeyPair::from_seed_unchecked(&seed)
        .map_err(|_| Error::internal("the signing key is none"))
}

/// The public half of the signing key.
///
/// # Errors
/// When it has another length than Ed25519 keys have.
pub fn public_key(key: &Ed25519KeyPair) -> Result<[u8; 32]> {
    key.public_key()
        .as_ref()
        .try_into()
        .map_err(Error::internal)
}

/// The kind.
pub struct Gateway;

impl Resource for Gateway {
    type Parent = Service;
    type Contract = GatewayContract;
    const TITLE: &'static str = "Gateway";
    const SEGMENT: &'static str = "gateways";
    const PARAMETER: &'static str = "gatewayId";
    const TABLE: &'static str = "gateways";
    const NAME: NameRule = NameRule::id(80);
    const SERVED: bool = true;
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("region", "region"),
        Filter::text("description", "description"),
    ];
    const ACTIONS: &'static [Action] = &[
        Action {
            name: "listKeys",
            operation: "Gateway_ListKeys",
            summary: "Gives the gateway's keys.",
            access: Access::Secret,
            status: 200,
            run: |_, gateway| {
                Box::pin(async move {
                    let gateway: &GatewayContract = typed(gateway)?;
                    Ok(Reply::ok(json!({
                        "primary": gateway.primary_key.expose(),
                        "secondary": gateway.secondary_key.expose(),
                    })))
                })
            },
        },
        Action {
            name: "regenerateKey",
            operation: "Gateway_RegenerateKey",
            summary: "Replaces one of the gateway's keys; tokens made with it end.",
            access: Access::Secret,
            status: 204,
            run: |cx, _| Box::pin(regenerate(cx)),
        },
        Action {
            name: "generateToken",
            operation: "Gateway_GenerateToken",
            summary: "Gives a token with which `portico gateway` gets its configuration, for 30 days at most.",
            access: Access::Secret,
            status: 200,
            run: |cx, gateway| {
                Box::pin(async move {
                    let gateway: &GatewayContract = typed(gateway)?;
                    generate_token(cx, gateway).await
                })
            },
        },
    ];

    fn example() -> Value {
        json!({
            "locationData": {"name": "my location", "city": "Enschede", "countryOrRegion": "Netherlands"},
            "description": "The gateway at the plant."
        })
    }

    fn validate(gateway: &GatewayContract, violations: &mut Violations) {
        let Some(Json(location)) = &gateway.location_data else {
            return;
        };
        for (field, text) in [
            ("locationData.name", Some(&location.name)),
            ("locationData.city", location.city.as_ref()),
            ("locationData.district", location.district.as_ref()),
            (
                "locationData.countryOrRegion",
                location.country_or_region.as_ref(),
            ),
        ] {
            if text.is_some_and(|text| text.chars().count() > 256) {
                violations.add(field, "must have at most 256 characters");
            }
        }
        if location.name.is_empty() {
            violations.add("locationData.name", "must not be empty");
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a GatewayContract>,
        new: &'a mut GatewayContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            new.region = new
                .location_data
                .as_ref()
                .map(|location| location.0.name.clone());
            for key in [&mut new.primary_key, &mut new.secondary_key] {
                if key.expose().is_empty() {
                    *key = new_key(cx.engine)?;
                }
            }
            if new.file_secret.expose().is_empty() {
                new.file_secret = Secret::new(BASE64_STANDARD.encode(cx.engine.random::<32>()?));
            }
            Ok(())
        })
    }
}

/// Reads `keyType`, which both actions with a body need.
fn key_type(body: &serde_json::Map<String, Value>, violations: &mut Violations) -> KeyType {
    match body.get("keyType").map(|value| value.as_str()) {
        Some(Some("primary")) => return KeyType::Primary,
        Some(Some("secondary")) => return KeyType::Secondary,
        Some(_) => violations.add("keyType", "must be primary or secondary"),
        None => violations.add("keyType", "is required"),
    }
    KeyType::Primary
}

async fn regenerate(cx: &mut Cx<'_>) -> Result<Reply> {
    let mut violations = Violations::default();
    let which = key_type(&cx.body, &mut violations);
    violations.into_result()?;
    let column = match which {
        KeyType::Primary => "primary_key",
        KeyType::Secondary => "secondary_key",
    };
    let sealed = cx.engine.codec.seal(&new_key(cx.engine)?)?;
    // `column` is one of the two constants above.
    let sql =
        format!("UPDATE gateways SET {column} = $2, rev = rev + 1, updated_at = $3 WHERE id = $1");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(cx.id)
        .bind(sealed)
        .bind(cx.now)
        .execute(&mut *cx.conn)
        .await?;
    let id = cx.id;
    cx.changed("gateways", id);
    Ok(Reply::empty(204))
}

async fn generate_token(cx: &mut Cx<'_>, gateway: &GatewayContract) -> Result<Reply> {
    let mut violations = Violations::default();
    let which = key_type(&cx.body, &mut violations);
    let expires_at = match cx.body.get("expiry").map(|value| value.as_str()) {
        None => {
            violations.add("expiry", "is required");
            None
        }
        Some(text) => {
            let time = text
                .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
                .map(|time| time.with_timezone(&Utc));
            match time {
                None => violations.add("expiry", "must be a time such as 2026-12-31T23:59:00Z"),
                Some(time) if time <= cx.now => violations.add("expiry", "must be in the future"),
                Some(time) if time > cx.now + gateway_token::LONGEST => {
                    violations.add("expiry", "must be at most 30 days ahead");
                }
                Some(_) => {}
            }
            time
        }
    };
    violations.into_result()?;
    let expires_at = expires_at.unwrap_or(cx.now);
    let key = signing_key(cx.conn.open().await?, &cx.engine.codec).await?;
    let file_secret = BASE64_STANDARD
        .decode(gateway.file_secret.expose())
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or_else(|| Error::internal("the file secret is no 32 bytes"))?;
    let own = match which {
        KeyType::Primary => &gateway.primary_key,
        KeyType::Secondary => &gateway.secondary_key,
    };
    let token = gateway_token::issue(
        cx.id,
        expires_at,
        &file_secret,
        &public_key(&key)?,
        own.expose(),
    );
    Ok(Reply::ok(json!({"value": token})))
}

/// The built-in gateway serves every API: there is nothing to associate.
///
/// # Errors
/// For edits of that gateway.
pub fn association(edit: Edit<'_>) -> Result<()> {
    if is_managed(edit.parent) {
        return Err(Error::invalid(
            "gatewayId",
            "names the built-in gateway, which serves every API of the service",
        ));
    }
    Ok(())
}

/// A host of a gateway.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct GatewayHostnameConfigurationContract {
    /// The host; `*` in front stands for any.
    pub hostname: Option<String>,
    /// Certificate for TLS: a resource id that ends in `/certificates/{certificateId}`.
    pub certificate_id: Option<String>,
    /// Whether callers are asked for a certificate.
    pub negotiate_client_certificate: Option<bool>,
    /// Whether TLS 1.0 is offered. It never is; kept for clients that send it.
    pub tls10_enabled: Option<bool>,
    /// Whether TLS 1.1 is offered. It never is; kept for clients that send it.
    pub tls11_enabled: Option<bool>,
    /// Whether HTTP/2 is offered.
    pub http2_enabled: Option<bool>,
}

/// The kind of gateways' hosts.
pub struct GatewayHostnameConfiguration;

impl Resource for GatewayHostnameConfiguration {
    type Parent = Gateway;
    type Contract = GatewayHostnameConfigurationContract;
    const TITLE: &'static str = "GatewayHostnameConfiguration";
    const SEGMENT: &'static str = "hostnameConfigurations";
    const PARAMETER: &'static str = "hcId";
    const TABLE: &'static str = "gateway_hostname_configurations";
    const NAME: NameRule = NameRule::id(80);
    const VERBS: engine::Verbs = engine::Verbs {
        patch: false,
        ..engine::Verbs::ALL
    };
    const FILTERS: &'static [Filter] = &[Filter::name(), Filter::text("hostname", "hostname")];

    fn example() -> Value {
        json!({"hostname": "*.plant.example.org", "negotiateClientCertificate": false, "http2Enabled": true})
    }

    fn validate(host: &GatewayHostnameConfigurationContract, violations: &mut Violations) {
        if let Some(name) = &host.hostname {
            let plain = name.strip_prefix("*.").unwrap_or(name);
            if name != "*" && (name.len() > 253 || !is_host(plain)) {
                violations.add(
                    "hostname",
                    "must be a host such as api.example.org, *.example.org or *",
                );
            }
        }
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a GatewayHostnameConfigurationContract>,
        _: &'a GatewayHostnameConfigurationContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { parent_changed(cx) })
    }

    fn deleting<'a>(
        cx: &'a mut Cx<'_>,
        _: &'a GatewayHostnameConfigurationContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { parent_changed(cx) })
    }
}

/// Whether this can be the name of a host.
pub(crate) fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn parent_changed(cx: &mut Cx<'_>) -> Result<()> {
    let gateway = *cx
        .parents
        .last()
        .ok_or_else(|| Error::internal("a part of a gateway without one"))?;
    cx.changed("gateways", gateway);
    Ok(())
}

/// A certificate authority of a gateway: the certificate of the same name, as an issuer of callers' certificates.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct GatewayCertificateAuthorityContract {
    /// Whether its certificates are accepted.
    pub is_trusted: Option<bool>,
}

/// The kind of gateways' certificate authorities.
pub struct GatewayCertificateAuthority;

impl Resource for GatewayCertificateAuthority {
    type Parent = Gateway;
    type Contract = GatewayCertificateAuthorityContract;
    const TITLE: &'static str = "GatewayCertificateAuthority";
    const SEGMENT: &'static str = "certificateAuthorities";
    const PARAMETER: &'static str = "certificateId";
    const TABLE: &'static str = "gateway_certificate_authorities";
    const NAME: NameRule = NameRule::id(80);
    const VERBS: engine::Verbs = engine::Verbs {
        patch: false,
        ..engine::Verbs::ALL
    };
    const FILTERS: &'static [Filter] = &[Filter::equal("name", "name")];

    fn example() -> Value {
        json!({"isTrusted": true})
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        _: Option<&'a GatewayCertificateAuthorityContract>,
        _: &'a GatewayCertificateAuthorityContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { parent_changed(cx) })
    }

    fn deleting<'a>(
        cx: &'a mut Cx<'_>,
        _: &'a GatewayCertificateAuthorityContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { parent_changed(cx) })
    }
}
