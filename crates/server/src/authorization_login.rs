//! Ends logins of authorizations: takes browsers on that come back from a provider, and exchanges the code for tokens.
//!
//! What is asked of a provider, and what is kept, is `kinds::authorization_login`. The exchange is a call to an address that a publisher
//! chose, so it goes over the same guarded links as imports do.

use crate::{State, fetch::Form, management::fail};
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use chrono::Duration;
use engine::{Access, Error, Method, Request, Result, json};
use kinds::authorization_login::{
    Consent, Login, REDIRECT_PATH, Tokens, consent_code, taken_on, under_way,
};
use serde::Deserialize;

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route(REDIRECT_PATH, web::get().to(redirect));
}

/// What a provider adds to the address that it sends a browser back to (RFC 6749, 4.1.2).
#[derive(Deserialize)]
struct Returned {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
}

/// Takes a browser on to where the login's beginner wanted it, with the code or with what went wrong.
async fn redirect(
    state: web::Data<State>,
    http: HttpRequest,
    query: web::Query<Returned>,
) -> HttpResponse {
    match onward(&state, &query).await {
        Ok(location) => HttpResponse::Found()
            .insert_header((header::LOCATION, location))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .finish(),
        Err(error) => fail(&http, &error),
    }
}

async fn onward(state: &State, returned: &Returned) -> Result<String> {
    let mut connection = state.engine.pool.acquire().await?;
    let next = taken_on(&mut connection, state.engine.now(), &returned.state)
        .await?
        .ok_or_else(|| Error::not_found("Login"))?;
    let mut next: url::Url = next.parse().map_err(Error::internal)?;
    for (name, value) in [("consentCode", &returned.code), ("error", &returned.error)] {
        if let Some(value) = value {
            next.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(next.into())
}

/// `confirmConsentCode` with what the provider gave for the code in the place of whatever else the caller wrote; `None` for every
/// other request.
///
/// # Errors
/// Not allowed to write the connection, no code, and a violation that names the code when the provider gives nothing for it.
pub async fn followed(state: &State, request: &Request) -> Result<Option<Request>> {
    let ([_, (providers, provider), (authorizations, authorization)], Some(tail)) =
        (request.path.pairs.as_slice(), &request.path.tail)
    else {
        return Ok(None);
    };
    let is_meant = request.method == Method::Post
        && providers.eq_ignore_ascii_case("authorizationProviders")
        && authorizations.eq_ignore_ascii_case("authorizations")
        && tail.eq_ignore_ascii_case("confirmConsentCode");
    if !is_meant {
        return Ok(None);
    }
    let engine = &state.engine;
    let login = {
        // Given back before the provider is asked: a slow one must not hold connections to Postgres.
        let mut connection = engine.pool.acquire().await?;
        let action = "authorizationProviders/authorizations/confirmConsentCode/action";
        let at = engine
            .enter(&mut connection, request, Access::Write, action)
            .await?;
        under_way(
            &mut connection,
            &engine.codec,
            engine.now(),
            at.service.id,
            provider,
            authorization,
        )
        .await?
    };
    let given = request.json()?;
    let body = match login {
        // The action says what is missing.
        None => json!({"consentCode": given.get("consentCode")}),
        Some((state_digest, login)) => {
            let code = consent_code(&given)?;
            let tokens = exchanged(state, &login, code).await?;
            let consent = Consent {
                state_digest,
                tokens,
            };
            json!({"consentCode": code, "consent": consent})
        }
    };
    let body = serde_json::to_vec(&body).map_err(Error::internal)?;
    Ok(Some(Request {
        body: body.into(),
        ..request.clone()
    }))
}

/// A successful reply of a token endpoint (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Given {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<i64>,
}

async fn exchanged(state: &State, login: &Login, code: &str) -> Result<Tokens> {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &login.redirect_url),
        ("code_verifier", &login.verifier),
    ];
    if login.client_secret.is_none() {
        fields.push(("client_id", &login.client_id));
    }
    let form = Form {
        body: serde_urlencoded::to_string(&fields).map_err(Error::internal)?,
        credentials: login
            .client_secret
            .as_ref()
            .map(|secret| (login.client_id.as_str(), secret.as_str())),
    };
    let refused = |why: String| Error::invalid("consentCode", why);
    let reply = state
        .links
        .post(&login.token_url, &form)
        .await
        .map_err(|error| {
            refused(format!(
                "was not exchanged: the provider's tokenUrl {error}"
            ))
        })?;
    let given: Given = serde_json::from_str(&reply).map_err(|_| {
        refused("was not exchanged: the provider's tokenUrl answered without a token".into())
    })?;
    Ok(Tokens {
        access_token: given.access_token,
        refresh_token: given.refresh_token,
        expires_at: given
            .expires_in
            .and_then(Duration::try_seconds)
            .and_then(|seconds| state.engine.now().checked_add_signed(seconds)),
    })
}
