//! The two portals' pages, embedded in the binary, and the publishers' session.
//!
//! The publisher portal lives at `/publisher/` of the management API's origin, of which it is a client like
//! any other; a developer portal at `/{service}/` of an origin of its own, so that no page of it can act
//! with a publisher's session. Both are built from `portal/` by `scripts/portal.sh`; a Portico that was
//! built without them answers with a page that says so.
//!
//! A publisher's session is a management token in a cookie that scripts cannot read. A cookie travels by
//! itself, so it counts only with [`PORTAL_HEADER`], which no other origin can send without a preflight
//! that is never granted, and from the own origin where the browser names one.

use crate::{
    State,
    client_address::of as address,
    management::{base_url, fail},
    sign_in::{parsed, refused},
};
use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time},
    http::header,
    web,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{Error, Result};
use identity::{SignInError, Token};
use serde::Deserialize;
use serde_json::json;

/// Required beside a session's cookie; its value does not matter.
pub const PORTAL_HEADER: &str = "x-portico-portal";

/// Cookie of a publisher's session.
const COOKIE: &str = "portico_publisher";

const NOT_BUILT: &str = include_str!("portal/not_built.html");

/// What Vite writes where a nonce belongs.
const NONCE: &str = "__PORTICO_NONCE__";

/// Debug builds read the folder at run time, so that a portal can be worked on without compiling this crate.
#[derive(rust_embed::RustEmbed)]
#[folder = "../../portal/dist"]
#[allow_missing = true]
struct Dist;

/// Registers the publisher portal.
pub fn publisher_routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(to_publisher))
        .route("/publisher", web::get().to(to_publisher))
        .service(
            web::resource("/publisher/session")
                .route(web::post().to(begin))
                .route(web::get().to(renew))
                .route(web::delete().to(end)),
        )
        .route(
            "/publisher/assets/{path:.*}",
            web::get().to(publisher_asset),
        )
        .route("/publisher/{path:.*}", web::get().to(publisher_page));
}

/// Registers the developer portals' pages; their API must be registered before.
pub fn developer_routes(config: &mut web::ServiceConfig) {
    config
        .route("/-/assets/{path:.*}", web::get().to(developer_asset))
        .route("/{service}", web::get().to(to_developer))
        .route("/{service}/{path:.*}", web::get().to(developer_page));
}

async fn to_publisher() -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, "/publisher/"))
        .finish()
}

async fn to_developer(service: web::Path<String>) -> HttpResponse {
    // A path as the router matched it has no slash and no scheme, so this cannot lead elsewhere.
    HttpResponse::Found()
        .insert_header((
            header::LOCATION,
            format!("/{}/", arm_id::to_url_path(&service)),
        ))
        .finish()
}

async fn publisher_page(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    page(&state, &http, "publisher", None)
}

/// A WebSocket cannot go through the relay, so the page may open one to the service's own gateway.
async fn developer_page(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    let gateway = sqlx::query_scalar::<_, Option<String>>(
        "SELECT gateway_url FROM services WHERE lower(name) = lower($1) AND deleted_at IS NULL AND workspace_of IS NULL",
    )
    .bind(http.match_info().get("service").unwrap_or_default())
    .fetch_optional(&state.engine.pool)
    .await;
    match gateway {
        Ok(gateway) => {
            let sockets = gateway
                .flatten()
                .and_then(|url| url.strip_prefix("http").map(|rest| format!("ws{rest}")));
            page(&state, &http, "developer", sockets.as_deref())
        }
        Err(error) => fail(&http, &error.into()),
    }
}

async fn publisher_asset(path: web::Path<String>) -> HttpResponse {
    asset("publisher", &path)
}

async fn developer_asset(path: web::Path<String>) -> HttpResponse {
    asset("developer", &path)
}

/// Files whose names hold a digest of their content.
fn asset(portal: &str, path: &str) -> HttpResponse {
    match Dist::get(&format!("{portal}/assets/{path}")) {
        Some(file) => HttpResponse::Ok()
            .content_type(file.metadata.mimetype())
            .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .body(file.data.into_owned()),
        None => HttpResponse::NotFound().finish(),
    }
}

/// Every address of a portal is the same page; its script reads the address. It connects to its own origin, and to one
/// for WebSockets where that is named.
fn page(state: &State, http: &HttpRequest, portal: &str, sockets: Option<&str>) -> HttpResponse {
    let nonce = match state.engine.random::<16>() {
        Ok(bytes) => BASE64_STANDARD.encode(bytes),
        Err(error) => return fail(http, &error),
    };
    let html = match Dist::get(&format!("{portal}/index.html")) {
        Some(file) => String::from_utf8_lossy(&file.data).replace(NONCE, &nonce),
        None => NOT_BUILT.to_owned(),
    };
    let sockets = sockets.unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self' {sockets}; manifest-src 'self'; worker-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .body(html)
}

/// Refuses what a page of another origin could have sent with the visitor's cookie.
///
/// # Errors
/// `Unauthenticated` without [`PORTAL_HEADER`] or from another origin.
pub fn own_origin(http: &HttpRequest, seen_as: &str) -> Result<()> {
    let text = |name: &str| http.headers().get(name).and_then(|v| v.to_str().ok());
    let from_elsewhere = text("sec-fetch-site").is_some_and(|site| site != "same-origin")
        || text("origin")
            .is_some_and(|origin| origin != base_url(http) && origin != origin_of(seen_as));
    if text(PORTAL_HEADER).is_none() || from_elsewhere {
        return Err(Error::Unauthenticated(format!(
            "A session's cookie counts only in requests of the portal itself, which send {PORTAL_HEADER}."
        )));
    }
    Ok(())
}

/// Scheme, host and port of a URL.
fn origin_of(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    url.get(authority..)
        .and_then(|rest| rest.find('/'))
        .map_or(url, |slash| &url[..authority + slash])
}

/// The management token of a publisher's session, if the request has one that counts.
///
/// # Errors
/// As [`own_origin`], when there is a cookie.
pub fn session_token(state: &State, http: &HttpRequest) -> Result<Option<String>> {
    match http.cookie(COOKIE) {
        Some(cookie) => {
            own_origin(http, &state.engine.settings().management_url)?;
            Ok(Some(cookie.value().to_owned()))
        }
        None => Ok(None),
    }
}

/// A cookie that scripts cannot read and that other sites' pages do not send; it ends after `seconds`.
#[must_use]
pub fn cookie<'a>(
    http: &HttpRequest,
    name: &'a str,
    value: String,
    path: String,
    seconds: i64,
) -> Cookie<'a> {
    Cookie::build(name, value)
        .path(path)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(http.connection_info().scheme() == "https")
        .max_age(time::Duration::seconds(seconds))
        .finish()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: Option<String>,
    /// The one-time secret of a first start, instead of the address.
    secret: Option<String>,
    password: String,
}

async fn begin(state: web::Data<State>, http: HttpRequest, body: web::Bytes) -> HttpResponse {
    let work = async {
        own_origin(&http, &state.engine.settings().management_url)?;
        let given: Credentials = parsed(&body)?;
        let from = address(&http);
        let outcome: std::result::Result<Token, SignInError> = match (&given.email, &given.secret) {
            (Some(email), None) => state.identity.sign_in(email, &given.password, from).await,
            (None, Some(secret)) => {
                state
                    .identity
                    .redeem_bootstrap(secret, &given.password, from)
                    .await
            }
            _ => return Err(Error::invalid("email", "or secret is required, not both")),
        };
        described(&state, &http, outcome.map_err(refused)?).await
    };
    work.await.unwrap_or_else(|error| fail(&http, &error))
}

/// Tells whose session it is and prolongs it, for as long as the account may sign in.
async fn renew(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    let work = async {
        let token = session_token(&state, &http)?
            .ok_or_else(|| Error::Unauthenticated("There is no session.".into()))?;
        let principal = state
            .identity
            .verify(&token)
            .await
            .map_err(|e| crate::sign_in::token_error(&e))?;
        let token = state.identity.issue(principal.id).await.map_err(refused)?;
        described(&state, &http, token).await
    };
    work.await.unwrap_or_else(|error| fail(&http, &error))
}

async fn described(state: &State, http: &HttpRequest, token: Token) -> Result<HttpResponse> {
    let principal = state
        .identity
        .verify(&token.access_token)
        .await
        .map_err(|e| crate::sign_in::token_error(&e))?;
    let seconds = token.expires_in_seconds;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .cookie(cookie(
            http,
            COOKIE,
            token.access_token,
            "/".into(),
            seconds,
        ))
        .json(json!({"name": principal.name, "expiresAt": token.expires_at})))
}

async fn end(state: web::Data<State>, http: HttpRequest) -> HttpResponse {
    match own_origin(&http, &state.engine.settings().management_url) {
        Ok(()) => HttpResponse::NoContent()
            .cookie(cookie(&http, COOKIE, String::new(), "/".into(), 0))
            .finish(),
        Err(error) => fail(&http, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn counts(headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = TestRequest::default().insert_header((header::HOST, "portico.example"));
        for header in headers {
            request = request.insert_header(*header);
        }
        own_origin(&request.to_http_request(), "https://seen.example/base").is_ok()
    }

    #[test]
    fn a_cookie_counts_only_in_requests_of_the_own_origin_that_carry_the_header() {
        assert!(counts(&[(PORTAL_HEADER, "1")]));
        assert!(counts(&[
            (PORTAL_HEADER, "1"),
            ("origin", "http://portico.example")
        ]));
        assert!(counts(&[
            (PORTAL_HEADER, "1"),
            ("origin", "https://seen.example")
        ]));
        assert!(counts(&[
            (PORTAL_HEADER, "1"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!counts(&[]));
        assert!(!counts(&[
            (PORTAL_HEADER, "1"),
            ("origin", "http://evil.example")
        ]));
        assert!(!counts(&[(PORTAL_HEADER, "1"), ("origin", "null")]));
        assert!(!counts(&[
            (PORTAL_HEADER, "1"),
            ("sec-fetch-site", "same-site")
        ]));
        assert!(!counts(&[("origin", "http://portico.example")]));
    }
}
