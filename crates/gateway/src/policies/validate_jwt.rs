//! `<validate-jwt>`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey};
use policy::elements::validate_jwt::{
    ClaimMatch, KeySource, RequiredClaim, TokenSource, ValidateJwt,
};
use policy::expression::{Data, Jwt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::set_status::status;
use crate::body::{Body, read_whole};
use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;
use crate::listen::Inner;
use crate::target::Target;
use crate::upstream::Route;
use crate::uri;

const SOURCE: &str = "validate-jwt";
/// How long an issuer's keys are used before they are fetched again.
const FRESH: Duration = Duration::from_secs(3600);
/// An unknown key id leads to another fetch, but not more often than this.
const PATIENCE: Duration = Duration::from_secs(60);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const DOCUMENT_BYTES: usize = 1024 * 1024;

/// What an OpenID configuration document says.
#[derive(Debug)]
struct Issuer {
    name: Option<String>,
    keys: JwkSet,
    fetched_at_ms: u64,
}

/// Issuers by the address of their configuration document.
#[derive(Debug, Default)]
pub(crate) struct Issuers {
    known: Mutex<HashMap<String, Arc<Issuer>>>,
    /// One fetch at a time: others wait for its result.
    fetching: tokio::sync::Mutex<()>,
}

impl Issuers {
    fn cached(&self, url: &str) -> Option<Arc<Issuer>> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(url)
            .cloned()
    }

    /// The issuer, fetched unless it is known and younger than `age`. A stale one is better than none.
    async fn get(&self, gateway: &Inner, url: &str, age: Duration) -> Result<Arc<Issuer>, String> {
        let now_ms = || gateway.options.clock.monotonic_ms();
        let young = |issuer: &Arc<Issuer>| {
            Duration::from_millis(now_ms().saturating_sub(issuer.fetched_at_ms)) < age
        };
        if let Some(issuer) = self.cached(url).filter(young) {
            return Ok(issuer);
        }
        let _turn = self.fetching.lock().await;
        if let Some(issuer) = self.cached(url).filter(young) {
            return Ok(issuer);
        }
        match fetch_issuer(gateway, url).await {
            Ok((name, keys)) => {
                let issuer = Arc::new(Issuer {
                    name,
                    keys,
                    fetched_at_ms: now_ms(),
                });
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(url.to_owned(), Arc::clone(&issuer));
                Ok(issuer)
            }
            Err(message) => match self.cached(url) {
                Some(issuer) => {
                    tracing::warn!(url, message, "issuer not refreshed");
                    Ok(issuer)
                }
                None => Err(message),
            },
        }
    }
}

async fn fetch(gateway: &Inner, url: &str) -> Result<Vec<u8>, String> {
    let target = Target::parse(url).map_err(|error| format!("'{url}' is not a URL: {error}"))?;
    let mut request = http::Request::new(Body::empty());
    request.headers_mut().insert(
        http::header::ACCEPT,
        HeaderValue::from_static("application/json"),
    );
    let fetched = async {
        let response = gateway
            .upstreams
            .send(&Route::default(), &target, request, FETCH_TIMEOUT)
            .await
            .map_err(|error| format!("'{url}' could not be read: {error}"))?;
        if !response.status().is_success() {
            return Err(format!(
                "'{url}' answered with status {}.",
                response.status().as_u16()
            ));
        }
        let body = read_whole(response.into_body(), DOCUMENT_BYTES).await;
        body.map(Vec::from)
            .map_err(|error| format!("'{url}' could not be read: {error}"))
    };
    tokio::time::timeout(FETCH_TIMEOUT, fetched)
        .await
        .unwrap_or_else(|_| Err(format!("'{url}' did not answer in time.")))
}

async fn fetch_issuer(gateway: &Inner, url: &str) -> Result<(Option<String>, JwkSet), String> {
    let document: Value = serde_json::from_slice(&fetch(gateway, url).await?)
        .map_err(|error| format!("'{url}' is not JSON: {error}"))?;
    let Some(keys_url) = document["jwks_uri"].as_str() else {
        return Err(format!("'{url}' has no jwks_uri."));
    };
    let keys: Value = serde_json::from_slice(&fetch(gateway, keys_url).await?)
        .map_err(|error| format!("'{keys_url}' is not JSON: {error}"))?;
    // Keys of a type that nobody here knows must not spoil the others.
    let keys = keys["keys"].as_array().into_iter().flatten();
    let keys = keys
        .filter_map(|key| serde_json::from_value(key.clone()).ok())
        .collect();
    Ok((
        document["issuer"].as_str().map(str::to_owned),
        JwkSet { keys },
    ))
}

struct Refusal {
    reason: &'static str,
    message: String,
}

fn refuse<T>(reason: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        reason,
        message: message.into(),
    })
}

/// Either the token is to blame or the policy.
enum Failure {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A tenant of Microsoft Entra, whose tokens are looked at more closely.
pub(super) struct Tenant {
    /// Address of its configuration document.
    pub(super) configuration: String,
    /// Applications that may have asked for the token; any when empty.
    pub(super) clients: Vec<String>,
    /// Further permitted audiences.
    pub(super) audiences: Vec<String>,
}

impl Tenant {
    /// The issuer of tokens of the older version, of the tenant whose newer ones have this issuer: the same keys sign both.
    fn older(issuer: &str) -> Option<String> {
        let id = issuer.strip_suffix("/v2.0")?.rsplit('/').next()?;
        Some(format!("https://sts.windows.net/{id}/"))
    }

    /// Whether the token was asked for by one of the applications: `azp`, or `appid` in the older version.
    fn check(&self, payload: &Value) -> Result<(), Refusal> {
        let client = payload["azp"].as_str().or(payload["appid"].as_str());
        let is_known = |client| self.clients.iter().any(|known| known == client);
        if !self.clients.is_empty() && !client.is_some_and(is_known) {
            refuse(
                "TokenClaimValueNotAllowed",
                "JWT is of an application that is not allowed.",
            )?;
        }
        Ok(())
    }
}

pub(super) async fn apply(
    x: &mut Exchange,
    policy: &ValidateJwt,
    tenant: Option<&Tenant>,
) -> Result<Flow, Fault> {
    match validate(x, policy, tenant).await {
        Ok(token) => {
            if let Some(name) = &policy.output_token_variable_name {
                x.variables.insert(name.clone(), Data::Jwt(Arc::new(token)));
            }
            Ok(Flow::Next)
        }
        Err(Failure::Fault(fault)) => Err(fault),
        Err(Failure::Refused(refusal)) => {
            let code = status(
                SOURCE,
                *x.value(&policy.failed_validation_httpcode, SOURCE).await?,
            )?;
            let own = x
                .optional(policy.failed_validation_error_message.as_ref(), SOURCE)
                .await?;
            let message = own.map_or(refusal.message, std::borrow::Cow::into_owned);
            Err(Fault::new(code, SOURCE, refusal.reason, message))
        }
    }
}

async fn find_token(x: &mut Exchange, policy: &ValidateJwt) -> Result<Option<String>, Fault> {
    Ok(match &policy.token {
        TokenSource::Header(name) => {
            let name = x.value(name, SOURCE).await?;
            let value = x.request.headers.get(&*name);
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        }
        TokenSource::QueryParameter(name) => {
            let name = x.value(name, SOURCE).await?;
            uri::query_value(&x.original.query, &name)
        }
        TokenSource::Token(value) => Some(x.value(value, SOURCE).await?.into_owned()),
    })
}

async fn validate(
    x: &mut Exchange,
    policy: &ValidateJwt,
    tenant: Option<&Tenant>,
) -> Result<Jwt, Failure> {
    let text = find_token(x, policy).await?;
    let Some(text) = text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
    else {
        return Err(Refusal {
            reason: "TokenNotPresent",
            message: "JWT not present.".to_owned(),
        }
        .into());
    };
    let scheme = x.optional(policy.require_scheme.as_ref(), SOURCE).await?;
    let encoded = match (text.split_once(' '), scheme) {
        (Some((given, token)), Some(wanted)) if given.eq_ignore_ascii_case(&wanted) => {
            token.trim().to_owned()
        }
        (_, Some(wanted)) => refuse(
            "TokenSchemeNotAllowed",
            format!("The token must have the scheme '{wanted}'."),
        )?,
        (Some((_, token)), None) => token.trim().to_owned(),
        (None, None) => text,
    };
    let token = decode(&encoded)?;
    let mut issuers_permitted = Vec::new();
    for issuer in &policy.issuers {
        issuers_permitted.push(x.value(issuer, SOURCE).await?.into_owned());
    }
    let mut known_issuers: Vec<String> = tenant
        .map(|tenant| tenant.configuration.clone())
        .into_iter()
        .collect();
    for url in &policy.openid_configs {
        known_issuers.push(x.value(url, SOURCE).await?.into_owned());
    }
    let require_signed = *x.value(&policy.require_signed_tokens, SOURCE).await?;
    check_signature(x, policy, &token, &known_issuers, require_signed).await?;

    let skew =
        i64::try_from(x.value(&policy.clock_skew, SOURCE).await?.as_secs()).unwrap_or(i64::MAX);
    let now = x.gateway.options.clock.now().timestamp();
    let require_expiry = *x.value(&policy.require_expiration_time, SOURCE).await?;
    let seconds = |name: &str| token.payload[name].as_f64().map(|seconds| seconds as i64);
    match seconds("exp") {
        None if require_expiry => refuse("TokenExpirationMissing", "JWT has no expiration time.")?,
        Some(expiry) if expiry.saturating_add(skew) <= now => {
            refuse("TokenExpired", "JWT expired.")?
        }
        _ => {}
    }
    if seconds("nbf").is_some_and(|begin| begin.saturating_sub(skew) > now) {
        refuse("TokenNotYetValid", "JWT is not yet valid.")?;
    }
    let mut audiences = tenant.map_or_else(Vec::new, |tenant| tenant.audiences.clone());
    for audience in &policy.audiences {
        audiences.push(x.value(audience, SOURCE).await?.into_owned());
    }
    let given = claim_values(&token.payload["aud"], None);
    if !audiences.is_empty() && !given.iter().any(|audience| audiences.contains(audience)) {
        refuse("TokenAudienceNotAllowed", "JWT audience is not allowed.")?;
    }
    if issuers_permitted.is_empty() {
        for url in &known_issuers {
            if let Some(issuer) = x.gateway.issuers.cached(url) {
                // Azure's multi-tenant documents hold a placeholder for the tenant.
                let id = token.payload["tid"].as_str().unwrap_or_default();
                let name = issuer.name.as_ref();
                let name = name.map(|name| name.replace("{tenantid}", id));
                if tenant.is_some() {
                    issuers_permitted.extend(name.as_deref().and_then(Tenant::older));
                }
                issuers_permitted.extend(name);
            }
        }
    }
    let issuer = token.payload["iss"].as_str().unwrap_or_default();
    if !issuers_permitted.is_empty() && !issuers_permitted.iter().any(|known| known == issuer) {
        refuse("TokenIssuerNotAllowed", "JWT issuer is not allowed.")?;
    }
    if let Some(tenant) = tenant {
        if issuers_permitted.is_empty() {
            refuse("TokenIssuerNotAllowed", "JWT issuer is not allowed.")?;
        }
        tenant.check(&token.payload)?;
    }
    for claim in &policy.required_claims {
        check_claim(x, claim, &token.payload).await?;
    }
    Ok(token)
}

fn decode(encoded: &str) -> Result<Jwt, Refusal> {
    let parts: Vec<&str> = encoded.split('.').collect();
    let [header, payload, _] = parts[..] else {
        return refuse("TokenInvalid", "Invalid JWT.");
    };
    let part = |text: &str| -> Option<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&bytes).ok().filter(Value::is_object)
    };
    match (part(header), part(payload)) {
        (Some(header), Some(payload)) => Ok(Jwt {
            header,
            payload,
            encoded: encoded.to_owned(),
        }),
        _ => refuse("TokenInvalid", "Invalid JWT."),
    }
}

/// Keys that the policy itself names, with their ids.
async fn own_keys(
    x: &mut Exchange,
    policy: &ValidateJwt,
) -> Result<Vec<(Option<String>, DecodingKey)>, Fault> {
    let wrong = |message: String| Fault::internal(SOURCE, "SigningKeyInvalid", message);
    let mut keys = Vec::new();
    for key in &policy.issuer_signing_keys {
        let decoded = match &key.source {
            KeySource::Symmetric(secret) => {
                let secret = x.value(secret, SOURCE).await?;
                let bytes = STANDARD
                    .decode(secret.trim())
                    .or_else(|_| URL_SAFE_NO_PAD.decode(secret.trim().trim_end_matches('=')))
                    .map_err(|error| wrong(format!("A signing key is not base64: {error}")))?;
                DecodingKey::from_secret(&bytes)
            }
            KeySource::Rsa { n, e } => {
                let n = x.value(n, SOURCE).await?;
                let e = x.value(e, SOURCE).await?;
                DecodingKey::from_rsa_components(n.trim(), e.trim())
                    .map_err(|error| wrong(format!("A signing key is not an RSA key: {error}")))?
            }
            KeySource::CertificateId(id) => {
                let id = x.value(id, SOURCE).await?;
                let certificate = x
                    .service
                    .certificate(&id)
                    .ok_or_else(|| wrong(format!("Certificate '{id}' could not be found.")))?;
                certificate_key(&certificate.chain_pem)
                    .ok_or_else(|| wrong(format!("Certificate '{id}' holds no RSA or EC key.")))?
            }
        };
        keys.push((key.id.clone(), decoded));
    }
    Ok(keys)
}

/// Whether one of the keys signed the token. The algorithm must belong to the key's family: an RSA key is never a secret.
fn signed_by<'k>(
    token: &Jwt,
    algorithm: Algorithm,
    mut keys: impl Iterator<Item = &'k DecodingKey>,
) -> bool {
    let Some((message, signature)) = token.encoded.rsplit_once('.') else {
        return false;
    };
    keys.any(|key| {
        key.family() == algorithm.family()
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm)
                .unwrap_or(false)
    })
}

async fn check_signature(
    x: &mut Exchange,
    policy: &ValidateJwt,
    token: &Jwt,
    issuers: &[String],
    require_signed: bool,
) -> Result<(), Failure> {
    let named = token.header["alg"].as_str().unwrap_or("none");
    if named.eq_ignore_ascii_case("none") {
        if require_signed {
            refuse("TokenSignatureMissing", "JWT is not signed.")?;
        }
        return Ok(());
    }
    let Ok(algorithm) = named.parse::<Algorithm>() else {
        return Err(Failure::Refused(Refusal {
            reason: "TokenAlgorithmNotSupported",
            message: "JWT algorithm is not supported.".to_owned(),
        }));
    };
    let kid = token.header["kid"].as_str();
    let own = own_keys(x, policy).await?;
    let fitting = own
        .iter()
        .filter(|(id, _)| id.is_none() || kid.is_none() || id.as_deref() == kid)
        .map(|(_, key)| key);
    let mut any_key = fitting.clone().next().is_some();
    if signed_by(token, algorithm, fitting) {
        return Ok(());
    }
    for age in [FRESH, PATIENCE] {
        for url in issuers {
            let issuer = x
                .gateway
                .issuers
                .get(&x.gateway, url, age)
                .await
                .map_err(|message| {
                    Fault::internal(SOURCE, "OpenIdConfigurationNotAvailable", message)
                })?;
            let keys: Vec<DecodingKey> = issuer
                .keys
                .keys
                .iter()
                .filter(|key| kid.is_none() || key.common.key_id.as_deref() == kid)
                .filter_map(|key| DecodingKey::from_jwk(key).ok())
                .collect();
            any_key |= !keys.is_empty();
            if signed_by(token, algorithm, keys.iter()) {
                return Ok(());
            }
        }
        if any_key {
            break;
        }
    }
    if any_key {
        refuse("TokenSignatureInvalid", "JWT signature is invalid.")?;
    }
    refuse(
        "TokenSignatureKeyNotFound",
        "Signature validation failed. The key of the JWT was not found.",
    )?;
    Ok(())
}

/// Values of a claim: items of an array, or parts of a text with a separator.
fn claim_values(claim: &Value, separator: Option<&str>) -> Vec<String> {
    match claim {
        Value::Null => Vec::new(),
        Value::Array(items) => items
            .iter()
            .flat_map(|item| claim_values(item, separator))
            .collect(),
        Value::String(text) => match separator.filter(|separator| !separator.is_empty()) {
            Some(separator) => text
                .split(separator)
                .map(|part| part.trim().to_owned())
                .collect(),
            None => vec![text.clone()],
        },
        other => vec![other.to_string()],
    }
}

async fn check_claim(
    x: &mut Exchange,
    claim: &RequiredClaim,
    payload: &Value,
) -> Result<(), Failure> {
    let name = x.value(&claim.name, SOURCE).await?;
    let matching = *x.value(&claim.matching, SOURCE).await?;
    let separator = x.optional(claim.separator.as_ref(), SOURCE).await?;
    let mut wanted = Vec::new();
    for value in &claim.values {
        wanted.push(x.value(value, SOURCE).await?.into_owned());
    }
    let given = claim_values(&payload[&**name], separator.as_deref().map(String::as_str));
    if given.is_empty() {
        refuse(
            "TokenClaimNotFound",
            format!("JWT claim '{name}' is missing."),
        )?;
    }
    let fits = match matching {
        _ if wanted.is_empty() => true,
        ClaimMatch::All => wanted.iter().all(|value| given.contains(value)),
        ClaimMatch::Any => wanted.iter().any(|value| given.contains(value)),
    };
    if !fits {
        refuse(
            "TokenClaimValueNotAllowed",
            format!("JWT claim '{name}' has a value that is not allowed."),
        )?;
    }
    Ok(())
}

/// One element of DER: tag, content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (bytes, rest) = rest.split_at(count);
        (
            bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
            rest,
        )
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

/// The public key of the first certificate, RFC 5280 section 4.1.
fn certificate_key(pem: &str) -> Option<DecodingKey> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate, _) = element(&certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = element(rest)?.2;
    }
    let (tag, info, _) = element(rest)?;
    let (_, algorithm, bits) = element(info).filter(|_| tag == SEQUENCE)?;
    let (_, algorithm, _) = element(algorithm)?;
    let (_, bits, _) = element(bits)?;
    let key = bits.get(1..)?;
    match algorithm {
        RSA => Some(DecodingKey::from_rsa_der(key)),
        EC => Some(DecodingKey::from_ec_der(key)),
        _ => None,
    }
}
