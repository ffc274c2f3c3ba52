//! The developer API: what the developer portal of a service asks, at `/{service}/api/…`.
//!
//! It shows what a developer may see and lets him keep an account and subscriptions. Whatever changes a
//! resource goes through the engine as a request to the management API would, so that rules, mails, the
//! gateway and the audit trail are the same whoever acts.

mod account;
mod catalogue;
mod content;
mod issues;
mod limits;
mod markdown;
pub mod operations;
mod provider;
pub(crate) mod relay;
mod session;
mod subscriptions;
mod usage;

use crate::{
    State, client_address,
    management::{base_url, fail},
    portal,
};
use actix_web::{HttpRequest, HttpResponse, http::header, middleware, web};
use arm_id::ResourcePath;
pub use limits::Limits;

use engine::{Caller, Error, IfMatch, Method, Origin, Query, Reply, Request, Result};
use serde::Serialize;
use serde_json::{Value, json};
use session::Developer;
use uuid::Uuid;

/// The contract version in which this module speaks to the engine.
const API_VERSION: &str = "2024-05-01";

/// Registers the paths of this module.
pub fn routes(config: &mut web::ServiceConfig) {
    let api = operations::OPERATIONS.iter().fold(
        web::scope("/{service}/api").wrap(middleware::from_fn(limits::wrap)),
        |api, operation| api.route(operation.path, (operation.route)()),
    );
    config
        .service(api.default_service(web::to(nothing)))
        .route("/{service}/llms.txt", web::get().to(content::llms));
}

async fn nothing(http: HttpRequest) -> HttpResponse {
    fail(&http, &Error::not_found("Path"))
}

/// The service that a portal belongs to.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Portal {
    id: Uuid,
    subscription_id: String,
    resource_group: String,
    name: String,
    publisher_name: String,
    publisher_email: String,
    gateway_url: Option<String>,
    /// Who acts, for the audit trail: the address of who is signed in, or of who is about to be.
    #[sqlx(skip)]
    acting: Option<String>,
}

impl Portal {
    /// The service's resource id.
    fn path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{}/service/{}",
            self.subscription_id,
            self.resource_group,
            arm_id::PROVIDER,
            self.name
        )
    }

    /// The portal, with somebody who acts in it.
    fn acted_in_by(mut self, email: &str) -> Self {
        self.acting = Some(email.to_owned());
        self
    }

    async fn of(state: &State, http: &HttpRequest) -> Result<Self> {
        let name = http.match_info().get("service").unwrap_or_default();
        sqlx::query_as(
            "SELECT id, subscription_id, resource_group, name, publisher_name, publisher_email, gateway_url \
             FROM services WHERE lower(name) = lower($1) AND deleted_at IS NULL AND workspace_of IS NULL",
        )
        .bind(name)
        .fetch_optional(&state.engine.pool)
        .await?
        .ok_or_else(|| Error::not_found("Service"))
    }

    /// Sends the engine a request about something of this service, with the service's own authority:
    /// callers have checked what the developer may do.
    async fn ask(
        &self,
        state: &State,
        http: &HttpRequest,
        method: Method,
        below: &str,
        body: Option<Value>,
    ) -> Result<Reply> {
        self.ask_with(state, http, method, below, &[], body).await
    }

    /// As [`ask`](Self::ask), with more of a query.
    async fn ask_with(
        &self,
        state: &State,
        http: &HttpRequest,
        method: Method,
        below: &str,
        more: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Reply> {
        let path = format!("{}{below}", self.path());
        let request = Request {
            method,
            path: ResourcePath::parse(&path).map_err(|_| Error::not_found("Resource"))?,
            query: Query(
                std::iter::once(&("api-version", API_VERSION))
                    .chain(more)
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            if_match: match method {
                Method::Patch | Method::Delete => IfMatch::parse(Some("*")),
                _ => IfMatch::parse(None),
            },
            body: body.map_or_else(web::Bytes::new, |body| body.to_string().into()),
            caller: Caller::Developer {
                service: self.id,
                email: self.acting.clone().unwrap_or_else(|| "visitor".to_owned()),
            },
            base_url: base_url(http),
            api_version: API_VERSION.to_owned(),
            origin: Origin {
                address: client_address::of(http).to_string(),
                request_id: crate::request_id::of(http),
            },
        };
        state.engine.handle(&request).await
    }
}

/// Answers a request of a portal: the service, then what `work` makes of it.
async fn answered(
    state: &State,
    http: &HttpRequest,
    work: impl AsyncFnOnce(Portal) -> Result<HttpResponse>,
) -> HttpResponse {
    let outcome = async {
        // Reads need no guard of their own; whatever changes something does, signed in or not.
        if http.method() != actix_web::http::Method::GET {
            portal::own_origin(http, &state.engine.settings().developer_portal_url)?;
        }
        work(Portal::of(state, http).await?).await
    };
    outcome.await.unwrap_or_else(|error| fail(http, &error))
}

/// As [`answered`], for who is signed in.
async fn answered_to_developer(
    state: &State,
    http: &HttpRequest,
    work: impl AsyncFnOnce(Portal, Developer) -> Result<HttpResponse>,
) -> HttpResponse {
    answered(state, http, async |portal| {
        let developer = Developer::of(state, http, &portal)
            .await?
            .ok_or_else(|| Error::Unauthenticated("Sign in first.".into()))?;
        let portal = portal.acted_in_by(&developer.email);
        work(portal, developer).await
    })
    .await
}

/// A reply that no cache keeps.
fn fresh(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}

/// What the engine refused, as the portal's own error; success goes on.
fn accepted(reply: Reply) -> Result<Value> {
    match reply.status {
        200..=299 => Ok(reply.body.unwrap_or_else(|| json!({}))),
        status => Err(Error::internal(format!(
            "the engine answered {status} to a portal's request"
        ))),
    }
}
