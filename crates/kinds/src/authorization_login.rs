//! Logins for connections with the code grant: somebody signs in at the provider and consents, and the connection gets tokens.
//!
//! `getLoginLinks` begins a login: it gives the provider's own page (RFC 6749, 4.1.1) with a state and a PKCE challenge (RFC 7636),
//! of which this installation keeps the digest and the verifier. The provider sends the browser back with a code. Whoever has the
//! code *and* may write the connection ends the login with `confirmConsentCode`, so that a link that was sent to somebody else
//! gives its sender nothing without a second step by someone of the service. Only then the code is exchanged, by the server
//! (`server::authorization_login`), which may call providers; this file keeps what they gave. One login is under way at a time.

use crate::authorization::{
    Authorization, AuthorizationContract, AuthorizationProvider, AuthorizationProviderContract,
    OAuth2Grant, Parameters, opened,
};
use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use engine::{
    Access, Action, ActionDetail, Codec, Cx, Entity, Error, Json, PgConnection, Reply,
    Resource as _, Result, Secret, Value, Violations, json, sqlx, typed,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use url::Url;
use uuid::Uuid;

/// Where Portico itself takes people on who come back from a provider whose `redirectUrl` is not set.
pub const REDIRECT_PATH: &str = "/authorizations/redirect";
/// How long somebody may take at the provider.
const PATIENCE: Duration = Duration::minutes(10);
/// Longest consent code.
const LONGEST_CODE: usize = 8192;

/// `POST …/authorizations/{name}/{action}`
pub const ACTIONS: &[Action] = &[
    Action {
        name: "getLoginLinks",
        operation: "AuthorizationLoginLinks_Post",
        summary: "Begins a login and gives the link to the provider's page; a login that was under way ends.",
        access: Access::Write,
        status: 200,
        run: |cx, authorization| Box::pin(begin(cx, authorization)),
    },
    Action {
        name: "confirmConsentCode",
        operation: "Authorization_ConfirmConsentCode",
        summary: "Ends a login: the code that the provider gave is exchanged for tokens.",
        access: Access::Write,
        status: 200,
        run: |cx, authorization| Box::pin(end(cx, authorization)),
    },
];

/// Bodies of the actions, for OpenAPI.
pub const DETAILS: &[ActionDetail] = &[
    ActionDetail {
        operation: "AuthorizationLoginLinks_Post",
        parameters: Vec::new,
        body: Some(|| {
            json!({"type": "object", "properties": {"postLoginRedirectUrl": {
                "type": "string", "format": "uri",
                "description": "Where people are taken on with the code; required where the provider has no redirectUrl, and only there."}}})
        }),
        reply: || json!({"type": "object", "required": ["loginLink"], "properties": {"loginLink": {"type": "string", "format": "uri"}}}),
    },
    ActionDetail {
        operation: "Authorization_ConfirmConsentCode",
        parameters: Vec::new,
        body: Some(|| {
            json!({"type": "object", "required": ["consentCode"], "properties": {"consentCode": {
                "type": "string", "minLength": 1, "maxLength": LONGEST_CODE}}})
        }),
        reply: || Value::Null,
    },
];

/// What a login needs to be ended: the request for tokens, but for the code.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// Where tokens are asked for.
    pub token_url: String,
    /// The client at the provider.
    pub client_id: String,
    /// Its secret; none for a public client.
    pub client_secret: Option<String>,
    /// Where the provider sent the browser.
    pub redirect_url: String,
    /// RFC 7636
    pub verifier: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(redacted)")
    }
}

/// What a provider gave.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// For calls.
    pub access_token: String,
    /// For the next access token.
    pub refresh_token: Option<String>,
    /// When the access token ends, where the provider says so.
    pub expires_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(redacted)")
    }
}

/// The end of a login, as the server hands it to the action: never a caller's own words.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// Which login the code was exchanged for.
    pub state_digest: String,
    /// What was given.
    pub tokens: Tokens,
}

/// SHA-256 of a state, of which nobody but the provider and the browser keeps the text.
#[must_use]
pub fn state_digest(state: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, state.as_bytes())
        .as_ref()
        .to_vec()
}

/// What of the settings of a provider a login needs.
struct CodeGrant {
    client_id: String,
    client_secret: Option<String>,
    authorization_url: Url,
    token_url: String,
    scopes: Option<String>,
    redirect_url: Option<String>,
}

impl CodeGrant {
    /// Reads the parameters of the connection and of its provider; the former count before the latter.
    fn of(
        provider: &AuthorizationProviderContract,
        authorization: &AuthorizationContract,
    ) -> Result<Self> {
        let mut parameters = Parameters::new();
        let oauth2 = provider.oauth2.as_ref().map(|Json(oauth2)| oauth2);
        let shown = oauth2
            .and_then(|oauth2| oauth2.grant_types.as_ref())
            .and_then(|grants| grants.authorization_code.clone());
        let mut secrets: BTreeMap<String, Parameters> = opened(provider.sealed_secrets.as_ref())?;
        parameters.extend(shown.unwrap_or_default());
        parameters.extend(secrets.remove("authorizationCode").unwrap_or_default());
        if let Some(Json(own)) = &authorization.parameters {
            parameters.extend(own.clone());
        }
        parameters.extend(opened::<Parameters>(
            authorization.sealed_parameters.as_ref(),
        )?);
        let take = |name: &str| {
            let found = parameters
                .iter()
                .find(|(known, value)| known.eq_ignore_ascii_case(name) && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let known = known_pages(
            provider.identity_provider.as_deref().unwrap_or_default(),
            &take,
        );
        let (authorization_url, token_url) = known.unzip();
        let mut violations = Violations::default();
        let mut required = |name: &str, value: Option<String>| {
            let field = format!("oauth2.grantTypes.authorizationCode.{name}");
            match value {
                None => {
                    violations.add(field, "of the provider is required for a login");
                    None
                }
                Some(text) => Some((field, text)),
            }
        };
        let client_id = required("clientId", take("clientId")).map(|(_, id)| id);
        let page = required(
            "authorizationUrl",
            take("authorizationUrl").or(authorization_url),
        );
        let token_url = required("tokenUrl", take("tokenUrl").or(token_url));
        let mut web_page = |page: Option<(String, String)>| {
            let (field, text) = page?;
            let url = web_url(&text);
            if url.is_none() {
                violations.add(field, "must be an absolute http or https URL");
            }
            url
        };
        let (page, token_page) = (web_page(page), web_page(token_url));
        violations.into_result()?;
        let (Some(client_id), Some(authorization_url), Some(token_url)) =
            (client_id, page, token_page)
        else {
            return Err(Error::internal("a login was refused without a violation"));
        };
        Ok(Self {
            client_id,
            client_secret: take("clientSecret"),
            authorization_url,
            token_url: token_url.into(),
            scopes: take("scopes").or_else(|| {
                // A resource of Entra ID without scopes means all that the application may do there.
                Some(format!(
                    "{}/.default",
                    take("resourceUri")?.trim_end_matches('/')
                ))
            }),
            redirect_url: oauth2.and_then(|oauth2| oauth2.redirect_url.clone()),
        })
    }
}

/// An absolute URL of the web.
fn web_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    (is_web && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// The pages for logins and tokens of providers that need not name them.
fn known_pages(
    identity_provider: &str,
    parameter: &dyn Fn(&str) -> Option<String>,
) -> Option<(String, String)> {
    match identity_provider {
        "aad" => {
            let base = parameter("loginUri")
                .unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
            let tenant = parameter("tenantId").unwrap_or_else(|| "common".to_owned());
            let page =
                |last: &str| format!("{}/{tenant}/oauth2/v2.0/{last}", base.trim_end_matches('/'));
            Some((page("authorize"), page("token")))
        }
        "google" => Some((
            "https://accounts.google.com/o/oauth2/v2/auth".to_owned(),
            "https://oauth2.googleapis.com/token".to_owned(),
        )),
        _ => None,
    }
}

async fn begin(cx: &mut Cx<'_>, authorization: &dyn Entity) -> Result<Reply> {
    let authorization: &AuthorizationContract = typed(authorization)?;
    if authorization.oauth2grant_type != OAuth2Grant::AuthorizationCode {
        return Err(Error::invalid(
            Authorization::PARAMETER,
            "names a connection with the grant ClientCredentials, for which nobody signs in",
        ));
    }
    let provider = *cx
        .parents
        .last()
        .ok_or_else(|| Error::internal("a connection without a provider"))?;
    let provider = cx.read::<AuthorizationProvider>(provider).await?;
    let grant = CodeGrant::of(&provider, authorization)?;
    let own = format!("{}{REDIRECT_PATH}", cx.engine.settings().management_url);
    let is_own = grant.redirect_url.as_ref().is_none_or(|url| *url == own);
    let next = match cx.body.get("postLoginRedirectUrl") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(given) => Some(given.as_str().and_then(web_url).ok_or_else(|| {
            Error::invalid(
                "postLoginRedirectUrl",
                "must be an absolute http or https URL",
            )
        })?),
    };
    match (&next, is_own) {
        (None, true) => {
            return Err(Error::invalid(
                "postLoginRedirectUrl",
                "is required where the provider has no oauth2.redirectUrl: the code is taken there",
            ));
        }
        (Some(_), false) => {
            return Err(Error::invalid(
                "postLoginRedirectUrl",
                format!(
                    "can be given only where the provider's oauth2.redirectUrl is {own} or absent: nobody else would go there"
                ),
            ));
        }
        (Some(_), true) | (None, false) => {}
    }
    let random =
        || -> Result<String> { Ok(BASE64_URL_SAFE_NO_PAD.encode(cx.engine.random::<32>()?)) };
    let (state, verifier) = (random()?, random()?);
    let challenge = digest::digest(&digest::SHA256, verifier.as_bytes());
    let login = Login {
        token_url: grant.token_url,
        client_id: grant.client_id,
        client_secret: grant.client_secret,
        redirect_url: grant.redirect_url.unwrap_or(own),
        verifier,
    };
    let mut link = grant.authorization_url;
    link.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &login.client_id)
        .append_pair("redirect_uri", &login.redirect_url)
        .append_pair("state", &state)
        .append_pair(
            "code_challenge",
            &BASE64_URL_SAFE_NO_PAD.encode(challenge.as_ref()),
        )
        .append_pair("code_challenge_method", "S256");
    if let Some(scopes) = &grant.scopes {
        link.query_pairs_mut().append_pair("scope", scopes);
    }
    let text = serde_json::to_string(&login).map_err(Error::internal)?;
    let sealed = cx.engine.codec.seal(&Secret::new(text))?;
    sqlx::query(
        "INSERT INTO authorization_logins (authorization_id, state_digest, sealed, post_login_redirect_url, expires_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (authorization_id) DO UPDATE SET state_digest = $2, sealed = $3, \
         post_login_redirect_url = $4, expires_at = $5",
    )
    .bind(cx.id)
    .bind(state_digest(&state))
    .bind(sealed)
    .bind(next.map(String::from))
    .bind(cx.now + PATIENCE)
    .execute(&mut *cx.conn)
    .await?;
    Ok(Reply::ok(json!({"loginLink": String::from(link)})))
}

/// The login of a connection that is under way, with the digest of its state.
///
/// # Errors
/// When the database fails, or the login was sealed under another key.
pub async fn under_way(
    conn: &mut PgConnection,
    codec: &Codec,
    now: DateTime<Utc>,
    service: Uuid,
    provider: &str,
    authorization: &str,
) -> Result<Option<(String, Login)>> {
    let found: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT l.state_digest, l.sealed FROM authorization_providers p JOIN authorizations a ON a.parent_id = p.id \
         JOIN authorization_logins l ON l.authorization_id = a.id \
         WHERE p.parent_id = $1 AND lower(p.name) = lower($2) AND lower(a.name) = lower($3) AND l.expires_at > $4",
    )
    .bind(service)
    .bind(provider)
    .bind(authorization)
    .bind(now)
    .fetch_optional(conn)
    .await?;
    found
        .map(|(digest, sealed)| {
            let login = codec.open(&sealed)?;
            let login = serde_json::from_str(login.expose()).map_err(Error::internal)?;
            Ok((hex::encode(digest), login))
        })
        .transpose()
}

/// Where a browser goes on that comes back from a provider with this state.
///
/// # Errors
/// When the database fails.
pub async fn taken_on(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    state: &str,
) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(
        "SELECT post_login_redirect_url FROM authorization_logins WHERE state_digest = $1 AND expires_at > $2 \
         AND post_login_redirect_url IS NOT NULL",
    )
    .bind(state_digest(state))
    .bind(now)
    .fetch_optional(conn)
    .await?)
}

/// The code in the body of `confirmConsentCode`.
///
/// # Errors
/// A violation that names it.
pub fn consent_code(body: &serde_json::Map<String, Value>) -> Result<&str> {
    let refuse = |why: &str| Err(Error::invalid("consentCode", why));
    let given = body.get("consentCode").filter(|code| !code.is_null());
    match given.map(Value::as_str) {
        None => refuse("is required"),
        Some(Some(code)) if (1..=LONGEST_CODE).contains(&code.len()) => Ok(code),
        Some(_) => refuse("must be a text of 1 to 8192 characters"),
    }
}

/// Keeps what the server got for the code.
async fn end(cx: &mut Cx<'_>, _: &dyn Entity) -> Result<Reply> {
    consent_code(&cx.body)?;
    let no_login = || {
        Error::invalid(
            "consentCode",
            "belongs to no login that is under way; get a new login link",
        )
    };
    let consent = cx.body.remove("consent").ok_or_else(no_login)?;
    let consent: Consent = serde_json::from_value(consent).map_err(Error::internal)?;
    // A code is exchanged once, and a login that began meanwhile is another one.
    let ended = sqlx::query(
        "DELETE FROM authorization_logins WHERE authorization_id = $1 AND encode(state_digest, 'hex') = $2",
    )
    .bind(cx.id)
    .bind(&consent.state_digest)
    .execute(&mut *cx.conn)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(no_login());
    }
    let tokens = serde_json::to_string(&consent.tokens).map_err(Error::internal)?;
    let sealed = cx.engine.codec.seal(&Secret::new(tokens))?;
    let rev: i64 = sqlx::query_scalar(
        "UPDATE authorizations SET sealed_tokens = $2, status = 'Connected', error = NULL, rev = rev + 1, updated_at = $3 \
         WHERE id = $1 RETURNING rev",
    )
    .bind(cx.id)
    .bind(sealed)
    .bind(cx.now)
    .fetch_one(&mut *cx.conn)
    .await?;
    let id = cx.id;
    cx.changed(Authorization::TABLE, id);
    Ok(Reply::empty(200).with("ETag", engine::etag(rev)))
}
