//! Ways to a token: sign-in, bootstrap, OAuth 2.0 client credentials, managed-identity style, and
//! SharedAccessSignatures of a service's tenant access.

use crate::{
    State, arm,
    client_address::of as address,
    management::{base_url, fail},
};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use engine::{Caller, Error, Result};
use identity::{SignInError, Token, TokenError, sas};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/sign-in", web::post().to(sign_in))
        .route("/bootstrap", web::post().to(bootstrap))
        .route("/.well-known/jwks.json", web::get().to(jwks))
        .route(
            "/metadata/identity/oauth2/token",
            web::get().to(managed_identity),
        )
        .route("/oauth2/token", web::post().to(token))
        .route("/{tenant}/oauth2/token", web::post().to(token))
        .route("/{tenant}/oauth2/v2.0/token", web::post().to(token))
        .route(
            "/{tenant}/.well-known/openid-configuration",
            web::get().to(openid_configuration),
        )
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            web::get().to(openid_configuration),
        );
}

/// A refused sign-in as an error of the contract.
pub(crate) fn refused(error: SignInError) -> Error {
    match error {
        SignInError::Wrong => {
            Error::Unauthenticated("The account or the password is wrong.".into())
        }
        SignInError::Slowed {
            retry_after_seconds,
        } => Error::TooManyRequests(retry_after_seconds),
        SignInError::Password(problems) => {
            let mut violations = engine::Violations::default();
            for problem in problems {
                violations.add("password", problem);
            }
            Error::Invalid(violations)
        }
        other => Error::Internal(Box::new(other)),
    }
}

/// A refused token as an error of the contract.
#[must_use]
pub fn token_error(error: &TokenError) -> Error {
    match error {
        TokenError::Unavailable(source) => Error::Unavailable(source.to_string().into()),
        other => Error::Unauthenticated(format!("Authentication failed. {other}")),
    }
}

fn granted(http: &HttpRequest, outcome: Result<Token, SignInError>) -> HttpResponse {
    match outcome {
        Ok(token) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(described(&token, "")),
        Err(error) => fail(http, &refused(error)),
    }
}

/// The members that OAuth 2.0, MSAL and the managed-identity clients read.
fn described(token: &Token, resource: &str) -> Value {
    json!({
        "token_type": "Bearer",
        "access_token": token.access_token,
        "expires_in": token.expires_in_seconds,
        "ext_expires_in": token.expires_in_seconds,
        "expires_on": token.expires_at.timestamp().to_string(),
        "resource": resource,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    email: String,
    password: String,
}

pub(crate) fn parsed<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|e| Error::Malformed(format!("The request content was invalid: {e}")))
}

async fn sign_in(state: web::Data<State>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    match parsed::<SignIn>(&body) {
        Ok(body) => granted(
            &http,
            state
                .identity
                .sign_in(&body.email, &body.password, address(&http))
                .await,
        ),
        Err(error) => fail(&http, &error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bootstrap {
    secret: String,
    password: String,
}

async fn bootstrap(state: web::Data<State>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    match parsed::<Bootstrap>(&body) {
        Ok(body) => granted(
            &http,
            state
                .identity
                .redeem_bootstrap(&body.secret, &body.password, address(&http))
                .await,
        ),
        Err(error) => fail(&http, &error),
    }
}

#[derive(Deserialize)]
struct ClientCredentials {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// An error of RFC 6749, 5.2.
fn oauth_error(
    status: actix_web::http::StatusCode,
    error: &str,
    description: &str,
) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({"error": error, "error_description": description}))
}

async fn token(state: web::Data<State>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    use actix_web::http::StatusCode;
    let form: ClientCredentials = match serde_urlencoded::from_bytes(&body) {
        Ok(form) => form,
        Err(_) => {
            return oauth_error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "The body is not a form.",
            );
        }
    };
    if form.grant_type.as_deref() != Some("client_credentials") {
        return oauth_error(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "Only client_credentials is supported.",
        );
    }
    let (Some(id), Some(secret)) = (form.client_id, form.client_secret) else {
        return oauth_error(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "client_id and client_secret are required.",
        );
    };
    match state
        .identity
        .client_credentials(&id, &secret, address(&http))
        .await
    {
        Ok(token) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(described(&token, "")),
        Err(SignInError::Slowed {
            retry_after_seconds,
        }) => fail(&http, &Error::TooManyRequests(retry_after_seconds)),
        Err(SignInError::Wrong) => oauth_error(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            "The client or its secret is wrong.",
        ),
        Err(error) => fail(&http, &refused(error)),
    }
}

/// Managed-identity style: clients that only know an endpoint and a secret, such as
/// `az login --identity` with `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`. The secret is either a token
/// of `portico token`, or `client id:client secret` of an application.
async fn managed_identity(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    let secret = ["x-identity-header", "secret"]
        .iter()
        .find_map(|name| http.headers().get(*name))
        .and_then(|value| value.to_str().ok());
    let Some(secret) = secret else {
        return fail(
            &http,
            &Error::Unauthenticated("Send the secret in the header X-IDENTITY-HEADER.".into()),
        );
    };
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(http.query_string()).unwrap_or_default();
    let resource = query
        .iter()
        .find(|(n, _)| n == "resource")
        .map_or("", |(_, v)| v.as_str())
        .to_owned();
    let outcome = match secret.split_once(':') {
        Some((id, secret)) => state
            .identity
            .client_credentials(id, secret, address(&http))
            .await
            .map_err(refused),
        None => match state.identity.verify(secret).await {
            Ok(_) => lent(secret, state.engine.now()),
            Err(error) => Err(token_error(&error)),
        },
    };
    match outcome {
        Ok(token) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(described(&token, &resource)),
        Err(error) => fail(&http, &error),
    }
}

/// The given token itself: a token must not renew itself.
fn lent(token: &str, now: chrono::DateTime<chrono::Utc>) -> Result<Token> {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let expiry = token
        .split('.')
        .nth(1)
        .and_then(|claims| BASE64_URL_SAFE_NO_PAD.decode(claims).ok())
        .and_then(|claims| serde_json::from_slice::<Value>(&claims).ok())
        .and_then(|claims| claims["exp"].as_i64())
        .and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0))
        .ok_or_else(|| Error::internal("a verified token without an end"))?;
    Ok(Token {
        access_token: token.to_owned(),
        expires_in_seconds: (expiry - now).num_seconds(),
        expires_at: expiry,
    })
}

async fn jwks(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    match state.identity.jwks().await {
        Ok(keys) => HttpResponse::Ok().json(keys),
        Err(error) => fail(&http, &Error::Internal(Box::new(error))),
    }
}

async fn openid_configuration(http: HttpRequest) -> HttpResponse {
    let base = base_url(&http);
    HttpResponse::Ok().json(json!({
        "issuer": format!("{base}/{}/v2.0", arm::TENANT),
        "authorization_endpoint": format!("{base}/{}/oauth2/v2.0/authorize", arm::TENANT),
        "token_endpoint": format!("{base}/{}/oauth2/v2.0/token", arm::TENANT),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": ["token"],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

/// The caller behind a SharedAccessSignature: the service on the path, if its tenant access is enabled
/// and one of its keys made the signature (contract rules §9).
///
/// # Errors
/// `Unauthenticated`, with the same words whatever is wrong, so that nothing is learned about keys.
pub async fn integration(state: &State, header: &str, path: &str) -> Result<Caller> {
    let refused = || {
        Error::Unauthenticated(
            "Authentication failed. The SharedAccessSignature is not valid.".into(),
        )
    };
    let signature = sas::parse(header).map_err(|_| refused())?;
    let name = arm_id::ResourcePath::parse(path)
        .ok()
        .and_then(|path| path.name_of("service").map(str::to_owned))
        .ok_or_else(refused)?;
    let row: Option<(Uuid, Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT s.id, t.primary_key, t.secondary_key FROM services s JOIN tenant_access t ON t.parent_id = s.id \
         WHERE lower(s.name) = lower($1) AND s.deleted_at IS NULL AND t.name = 'access' AND t.enabled",
    )
    .bind(&name)
    .fetch_optional(&state.engine.pool)
    .await?;
    let (service, primary, secondary) = row.ok_or_else(refused)?;
    let now = state.engine.now();
    for sealed in [primary, secondary] {
        let key = state.engine.codec.open(&sealed)?;
        if sas::verify(&signature, key.expose(), now) {
            return Ok(Caller::Integration { service });
        }
    }
    Err(refused())
}
