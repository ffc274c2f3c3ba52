//! Signing in with an identity provider: OpenID Connect's code flow with PKCE, state and nonce.
//!
//! What must be remembered between the two redirects travels in a sealed cookie, so that strangers who begin a thousand
//! sign-ins leave nothing behind. The cookie binds the answer to the browser that asked; the provider's code works once.
//! The certified client crate for this was rejected: it brings `rsa`, which is banned here (RUSTSEC-2023-0071).

use super::{
    Portal, accepted, account, answered, catalogue, content::Presentation, session::Developer,
};
use crate::{State, fetch::Form};
use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time},
    http::header,
    web,
};
use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use engine::{Error, Method, Result, Secret};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::FromRow;
use uuid::Uuid;

const COOKIE: &str = "portico_sign_in";
/// How long somebody may take at the provider, in seconds.
const PATIENCE_SECONDS: i64 = 600;
/// How much two clocks may differ, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// Signatures that need no shared secret.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// A provider with which developers may sign in.
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) display_name: String,
    metadata: String,
    client_id: String,
    client_secret: Option<Secret>,
    /// Tenants whose users may sign in, where the provider has tenants.
    tenants: Vec<String>,
}

#[derive(FromRow)]
struct IdentityProvider {
    name: String,
    signin_tenant: Option<String>,
    allowed_tenants: Option<Vec<String>>,
    authority: Option<String>,
    signin_policy_name: Option<String>,
    client_id: String,
    client_secret: Vec<u8>,
}

impl IdentityProvider {
    /// Name and address of the metadata; `None` for providers that do not speak OpenID Connect.
    fn described(&self) -> Option<(&'static str, String)> {
        let tenant = self.signin_tenant.as_deref();
        let host = self
            .authority
            .as_deref()
            .map(|host| host.trim_end_matches('/').trim_start_matches("https://"));
        let configuration = ".well-known/openid-configuration";
        Some(match self.name.as_str() {
            "aad" => (
                "Microsoft Entra ID",
                format!(
                    "https://{}/{}/v2.0/{configuration}",
                    host.unwrap_or("login.microsoftonline.com"),
                    tenant.unwrap_or("organizations")
                ),
            ),
            "aadB2C" => (
                "Azure AD B2C",
                format!(
                    "https://{}/{}/{}/v2.0/{configuration}",
                    host?,
                    tenant?,
                    self.signin_policy_name.as_deref()?
                ),
            ),
            "google" => (
                "Google",
                format!("https://accounts.google.com/{configuration}"),
            ),
            "microsoft" => (
                "Microsoft",
                format!("https://login.microsoftonline.com/consumers/v2.0/{configuration}"),
            ),
            _ => return None,
        })
    }
}

/// The providers of a portal: the service's identity providers, and the OpenID Connect providers that its publisher chose.
pub(super) async fn all(
    state: &State,
    portal: &Portal,
    shown: &Presentation,
) -> Result<Vec<Provider>> {
    let identity: Vec<IdentityProvider> = sqlx::query_as(
        "SELECT name, signin_tenant, allowed_tenants, authority, signin_policy_name, client_id, client_secret \
         FROM identity_providers WHERE parent_id = $1 ORDER BY name",
    )
    .bind(portal.id)
    .fetch_all(&state.engine.pool)
    .await?;
    let mut out = Vec::new();
    for provider in identity {
        let Some((display_name, metadata)) = provider.described() else {
            continue;
        };
        out.push(Provider {
            display_name: display_name.into(),
            metadata,
            client_secret: Some(state.engine.codec.open(&provider.client_secret)?),
            name: provider.name,
            client_id: provider.client_id,
            tenants: provider.allowed_tenants.unwrap_or_default(),
        });
    }
    /// Name, display name, address of the metadata, client id, and the sealed secret.
    type Chosen = (String, String, String, String, Option<Vec<u8>>);
    let chosen: Vec<Chosen> = sqlx::query_as(
        "SELECT p.name, p.display_name, p.metadata_endpoint, p.client_id, p.client_secret \
         FROM unnest($2::text[]) WITH ORDINALITY AS w (name, place) JOIN openid_connect_providers p \
         ON p.parent_id = $1 AND lower(p.name) = lower(w.name) ORDER BY w.place",
    )
    .bind(portal.id)
    .bind(shown.sign_in_providers.clone().unwrap_or_default())
    .fetch_all(&state.engine.pool)
    .await?;
    for (name, display_name, metadata, client_id, secret) in chosen {
        // A contract's own name is its identity provider's.
        if out.iter().any(|p| p.name.eq_ignore_ascii_case(&name)) {
            continue;
        }
        out.push(Provider {
            name,
            display_name,
            metadata,
            client_id,
            client_secret: secret.map(|s| state.engine.codec.open(&s)).transpose()?,
            tenants: Vec::new(),
        });
    }
    Ok(out)
}

async fn addressed(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
) -> Result<(Provider, Presentation)> {
    let shown = Presentation::of(state, portal).await?;
    let name = http.match_info().get("provider").unwrap_or_default();
    let provider = all(state, portal, &shown)
        .await?
        .into_iter()
        .find(|p| p.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| Error::not_found("Provider"))?;
    Ok((provider, shown))
}

/// What a provider says about itself (OpenID Connect Discovery 1.0, 3).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// What went wrong at a provider, for the log; visitors hear only that it did.
fn failed(what: impl std::fmt::Display) -> Error {
    Error::Conflict(what.to_string())
}

impl Provider {
    async fn metadata(&self, state: &State) -> Result<Metadata> {
        let text = state
            .links
            .document(&self.metadata)
            .await
            .map_err(|e| failed(format!("the metadata's address {e}")))?;
        serde_json::from_str(&text).map_err(|e| failed(format!("the metadata is not valid: {e}")))
    }
}

/// What is remembered while somebody is at the provider.
#[derive(Serialize, Deserialize)]
struct Flow {
    service: Uuid,
    provider: String,
    state: String,
    nonce: String,
    verifier: String,
    consents: bool,
    /// Seconds since 1970.
    until: i64,
}

fn path(portal: &Portal) -> String {
    format!("/{}/api/sign-in", portal.name.to_lowercase())
}

/// The portal's own cookies are `Strict`; this one must come along when the provider sends the browser back.
fn flow_cookie(
    http: &HttpRequest,
    portal: &Portal,
    value: String,
    seconds: i64,
) -> Cookie<'static> {
    Cookie::build(COOKIE, value)
        .path(path(portal))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(http.connection_info().scheme() == "https")
        .max_age(time::Duration::seconds(seconds))
        .finish()
}

fn redirect_uri(state: &State, portal: &Portal, provider: &Provider) -> String {
    format!(
        "{}/api/sign-in/{}/callback",
        state.engine.settings().portal_url(&portal.name),
        arm_id::to_url_path(&provider.name)
    )
}

fn to(location: String) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

pub(super) async fn begin(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let (provider, _) = addressed(&state, &http, &portal).await?;
        let metadata = match provider.metadata(&state).await {
            Ok(metadata) => metadata,
            Err(error) => return Ok(sent_back(&state, &http, &portal, &provider, &error)),
        };
        let random = || -> Result<String> {
            Ok(BASE64_URL_SAFE_NO_PAD.encode(state.engine.random::<32>()?))
        };
        let flow = Flow {
            service: portal.id,
            provider: provider.name.clone(),
            state: random()?,
            nonce: random()?,
            verifier: random()?,
            consents: catalogue::query(&http, "consent").as_deref() == Some("1"),
            until: state.engine.now().timestamp() + PATIENCE_SECONDS,
        };
        let challenge = digest::digest(&digest::SHA256, flow.verifier.as_bytes());
        let mut location = url::Url::parse(&metadata.authorization_endpoint)
            .map_err(|e| failed(format!("the authorization endpoint is no URL: {e}")))?;
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &redirect_uri(&state, &portal, &provider))
            .append_pair("scope", "openid email profile")
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair(
                "code_challenge",
                &BASE64_URL_SAFE_NO_PAD.encode(challenge.as_ref()),
            )
            .append_pair("code_challenge_method", "S256");
        let text = serde_json::to_string(&flow).map_err(Error::internal)?;
        let sealed = state.engine.codec.seal(&Secret::new(text))?;
        let cookie = flow_cookie(
            &http,
            &portal,
            BASE64_URL_SAFE_NO_PAD.encode(sealed),
            PATIENCE_SECONDS,
        );
        let mut reply = to(location.into());
        reply.add_cookie(&cookie).map_err(Error::internal)?;
        Ok(reply)
    })
    .await
}

/// Back to the sign-in page, which says what `problem` is; the log says why.
fn sent_back(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    provider: &Provider,
    error: &Error,
) -> HttpResponse {
    let problem = match error {
        Error::Forbidden(problem) => problem.as_str(),
        _ => "provider",
    };
    tracing::warn!(
        request_id = crate::request_id::of(http),
        service = portal.name,
        provider = provider.name,
        %error,
        "signing in with a provider failed"
    );
    let base = state.engine.settings().portal_url(&portal.name);
    let mut reply = to(format!("{base}/signin?problem={problem}"));
    if reply
        .add_removal_cookie(&flow_cookie(http, portal, String::new(), 0))
        .is_err()
    {
        // Ours is a valid cookie; and without the removal it ends by itself.
        tracing::debug!("the cookie of a sign-in could not be removed");
    }
    reply
}

pub(super) async fn end(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    answered(&state, &http, async |portal| {
        let (provider, shown) = addressed(&state, &http, &portal).await?;
        match signed_in(&state, &http, &portal, &provider, &shown).await {
            Ok(user) => {
                let session = Developer::begin(&state, &http, &portal, user).await?;
                let base = state.engine.settings().portal_url(&portal.name);
                let mut reply = to(format!("{base}/"));
                reply.add_cookie(&session).map_err(Error::internal)?;
                reply
                    .add_removal_cookie(&flow_cookie(&http, &portal, String::new(), 0))
                    .map_err(Error::internal)?;
                Ok(reply)
            }
            Err(error @ (Error::Internal(_) | Error::Unavailable(_))) => Err(error),
            Err(error) => Ok(sent_back(&state, &http, &portal, &provider, &error)),
        }
    })
    .await
}

/// The account of who comes back from a provider.
async fn signed_in(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    provider: &Provider,
    shown: &Presentation,
) -> Result<Uuid> {
    let now = state.engine.now().timestamp();
    let flow = http
        .cookie(COOKIE)
        .and_then(|cookie| BASE64_URL_SAFE_NO_PAD.decode(cookie.value()).ok())
        .and_then(|sealed| state.engine.codec.open(&sealed).ok())
        .and_then(|text| serde_json::from_str::<Flow>(text.expose()).ok())
        .filter(|flow| {
            flow.service == portal.id && flow.provider == provider.name && now < flow.until
        })
        .ok_or_else(|| failed("this browser began no sign-in, or too long ago"))?;
    if catalogue::query(http, "state").as_deref() != Some(flow.state.as_str()) {
        return Err(failed("the state is another"));
    }
    if let Some(error) = catalogue::query(http, "error") {
        return Err(failed(format!("the provider says {error}")));
    }
    let code = catalogue::query(http, "code").ok_or_else(|| failed("the provider gave no code"))?;
    let metadata = provider.metadata(state).await?;
    let token = redeemed(state, portal, provider, &metadata, &flow, &code).await?;
    let keys = state
        .links
        .document(&metadata.jwks_uri)
        .await
        .map_err(|e| failed(format!("the keys' address {e}")))?;
    let claims =
        verified(&token, &keys, &metadata.issuer, provider, &flow.nonce, now).map_err(failed)?;
    account_of(state, http, portal, provider, shown, &flow, &claims).await
}

/// The id token that a code stands for.
async fn redeemed(
    state: &State,
    portal: &Portal,
    provider: &Provider,
    metadata: &Metadata,
    flow: &Flow,
    code: &str,
) -> Result<String> {
    let redirect = redirect_uri(state, portal, provider);
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect),
        ("code_verifier", &flow.verifier),
    ];
    let secret = provider.client_secret.as_ref().map(Secret::expose);
    let methods = &metadata.token_endpoint_auth_methods_supported;
    // `client_secret_basic` is what a provider that says nothing takes (Discovery 1.0, 3).
    let basic = secret.is_some()
        && (methods.is_empty() || methods.iter().any(|m| m == "client_secret_basic"));
    if !basic {
        fields.push(("client_id", &provider.client_id));
        fields.extend(secret.map(|secret| ("client_secret", secret)));
    }
    let body = serde_urlencoded::to_string(&fields).map_err(Error::internal)?;
    let credentials = basic.then(|| (provider.client_id.as_str(), secret.unwrap_or_default()));
    let reply = state
        .links
        .post(&metadata.token_endpoint, &Form { body, credentials })
        .await
        .map_err(|e| failed(format!("the token endpoint's address {e}")))?;
    let reply: Value =
        serde_json::from_str(&reply).map_err(|e| failed(format!("the token is not JSON: {e}")))?;
    reply["id_token"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| failed("the provider gave no id token"))
}

/// The claims of an id token (OpenID Connect Core 1.0, 3.1.3.7).
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nonce: Option<String>,
    tid: Option<String>,
    email: Option<String>,
    /// Some providers write it as a text.
    email_verified: Option<Value>,
    given_name: Option<String>,
    family_name: Option<String>,
    name: Option<String>,
}

fn verified(
    token: &str,
    keys: &str,
    issuer: &str,
    provider: &Provider,
    nonce: &str,
    now: i64,
) -> std::result::Result<Claims, String> {
    let head = jsonwebtoken::decode_header(token).map_err(|e| format!("the id token: {e}"))?;
    if !ALGORITHMS.contains(&head.alg) {
        return Err(format!("the id token is signed by {:?}", head.alg));
    }
    let keys: Value =
        serde_json::from_str(keys).map_err(|e| format!("the keys are not JSON: {e}"))?;
    // Keys of a type that nobody here knows must not spoil the others.
    let keys: Vec<_> = keys["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| serde_json::from_value(key.clone()).ok())
        .collect();
    let keys = JwkSet { keys };
    let key = match &head.kid {
        Some(kid) => keys.find(kid),
        None => keys.keys.first().filter(|_| keys.keys.len() == 1),
    };
    let key = key.ok_or("no key of the provider is the id token's")?;
    let key = DecodingKey::from_jwk(key).map_err(|e| format!("the key: {e}"))?;
    let mut validation = Validation::new(head.alg);
    // Judged below: time by the injected clock, the issuer by its tenant.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let claims: Claims = jsonwebtoken::decode(token, &key, &validation)
        .map_err(|e| format!("the id token: {e}"))?
        .claims;
    // One configuration serves all tenants of Microsoft's; it names the issuer with a placeholder.
    let expected = issuer.replace("{tenantid}", claims.tid.as_deref().unwrap_or_default());
    if claims.iss != expected {
        return Err(format!("the issuer is {}, not {expected}", claims.iss));
    }
    if !provider.tenants.is_empty()
        && !claims
            .tid
            .iter()
            .any(|tid| provider.tenants.iter().any(|t| t.eq_ignore_ascii_case(tid)))
    {
        return Err("the tenant is not one of those allowed".into());
    }
    let audience: Vec<&str> = match &claims.aud {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&provider.client_id.as_str())
        || (audience.len() > 1 && claims.azp.is_none())
        || claims
            .azp
            .as_ref()
            .is_some_and(|azp| *azp != provider.client_id)
    {
        return Err("the id token is for somebody else".into());
    }
    if now >= claims.exp + LEEWAY_SECONDS || claims.iat > now + LEEWAY_SECONDS {
        return Err("the id token is too old or of the future".into());
    }
    if claims.nonce.as_deref() != Some(nonce) {
        return Err("the id token belongs to another sign-in".into());
    }
    Ok(claims)
}

/// The account that a provider's user has here, made where there is none.
///
/// # Errors
/// `Forbidden` with the word that the sign-in page explains.
async fn account_of(
    state: &State,
    http: &HttpRequest,
    portal: &Portal,
    provider: &Provider,
    shown: &Presentation,
    flow: &Flow,
    claims: &Claims,
) -> Result<Uuid> {
    let refused = |problem: &str| Err(Error::Forbidden(problem.to_owned()));
    let identity = json!([{"provider": provider.name, "id": claims.sub}]);
    let known: Option<(Uuid, String)> =
        sqlx::query_as("SELECT id, state FROM users WHERE parent_id = $1 AND identities @> $2")
            .bind(portal.id)
            .bind(&identity)
            .fetch_optional(&state.engine.pool)
            .await?;
    match known {
        Some((id, account)) if account == "active" => return Ok(id),
        Some(_) => return refused("blocked"),
        None => {}
    }
    let Some(email) = claims.email.as_deref() else {
        return refused("email");
    };
    let is_verified = match &claims.email_verified {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    };
    let same_address: Option<(Uuid, String, String, Value)> = sqlx::query_as(
        "SELECT id, name, state, identities FROM users WHERE parent_id = $1 AND lower(email) = lower($2)",
    )
    .bind(portal.id)
    .bind(email)
    .fetch_optional(&state.engine.pool)
    .await?;
    if let Some((id, name, account, identities)) = same_address {
        // Only who proved the address gets the account that has it.
        if !is_verified {
            return refused("exists");
        }
        if account != "active" && account != "pending" {
            return refused("blocked");
        }
        if account == "pending" {
            // Whoever signed up with this address never proved that it is theirs: their password must not stay.
            let mut connection = state.engine.pool.acquire().await?;
            account::forget_password(&mut connection, state, id).await?;
        }
        let mut identities = identities.as_array().cloned().unwrap_or_default();
        identities.extend(identity.as_array().cloned().unwrap_or_default());
        let body = json!({"properties": {"identities": identities, "state": "active"}});
        let below = format!("/users/{name}");
        accepted(
            portal
                .ask(state, http, Method::Patch, &below, Some(body))
                .await?,
        )?;
        return Ok(id);
    }
    if !shown.sign_up_enabled {
        return refused("closed");
    }
    if shown.requires_consent() && !flow.consents {
        return refused("consent");
    }
    let (first, last) = names(claims, email);
    let name = state.engine.new_id().simple().to_string();
    let body = json!({"properties": {
        "firstName": first, "lastName": last, "email": email, "state": "active", "identities": identity,
    }});
    let below = format!("/users/{name}");
    accepted(
        portal
            .ask(state, http, Method::Put, &below, Some(body))
            .await?,
    )?;
    let id: Uuid = sqlx::query_scalar("SELECT id FROM users WHERE parent_id = $1 AND name = $2")
        .bind(portal.id)
        .bind(&name)
        .fetch_one(&state.engine.pool)
        .await?;
    if flow.consents {
        account::note_consent(state, shown, id).await?;
    }
    Ok(id)
}

/// First and last name; every account has both.
fn names(claims: &Claims, email: &str) -> (String, String) {
    let whole = claims.name.as_deref().unwrap_or_default().trim();
    let (head, tail) = whole.split_once(' ').unwrap_or((whole, ""));
    let mailbox = email.split('@').next().unwrap_or_default();
    let chosen = |given: &Option<String>, otherwise: &str| {
        let text = given.as_deref().map_or(otherwise, str::trim);
        let text = if text.is_empty() { mailbox } else { text };
        text.chars().take(100).collect::<String>()
    };
    (
        chosen(&claims.given_name, head),
        chosen(&claims.family_name, tail.trim()),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn everybody_gets_two_names() {
        for (given, expected) in [
            (
                json!({"given_name": "Ann", "family_name": "Novak"}),
                ("Ann", "Novak"),
            ),
            (json!({"name": "Ann van Novak"}), ("Ann", "van Novak")),
            (json!({"name": "Ann"}), ("Ann", "ann.n")),
            (json!({}), ("ann.n", "ann.n")),
        ] {
            let mut whole = json!({"iss": "", "sub": "", "aud": "", "exp": 0, "iat": 0});
            for (name, value) in given.as_object().unwrap() {
                whole[name] = value.clone();
            }
            let (first, last) = names(&claims(whole), "ann.n@example.org");
            assert_eq!((first.as_str(), last.as_str()), expected);
        }
    }

    #[test]
    fn identity_providers_of_the_contract_have_their_usual_addresses() {
        let provider = |name: &str,
                        tenant: Option<&str>,
                        authority: Option<&str>,
                        policy: Option<&str>| IdentityProvider {
            name: name.into(),
            signin_tenant: tenant.map(Into::into),
            allowed_tenants: None,
            authority: authority.map(Into::into),
            signin_policy_name: policy.map(Into::into),
            client_id: "portal".into(),
            client_secret: Vec::new(),
        };
        let address = |p: IdentityProvider| p.described().map(|(_, metadata)| metadata);
        assert_eq!(
            address(provider("aad", Some("contoso.example"), None, None)).as_deref(),
            Some(
                "https://login.microsoftonline.com/contoso.example/v2.0/.well-known/openid-configuration"
            )
        );
        assert_eq!(
            address(provider(
                "aadB2C",
                Some("t"),
                Some("login.b2c.example"),
                Some("B2C_1_in")
            ))
            .as_deref(),
            Some("https://login.b2c.example/t/B2C_1_in/v2.0/.well-known/openid-configuration")
        );
        assert_eq!(
            address(provider("google", None, None, None)).as_deref(),
            Some("https://accounts.google.com/.well-known/openid-configuration")
        );
        assert_eq!(address(provider("twitter", None, None, None)), None);
        assert_eq!(address(provider("aadB2C", None, None, None)), None);
    }
}
