//! The web service's addresses.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::{Class, Rejection};
use crate::job::{INPUT, Jobs, OUTPUT, Submission, no_global_parameters};
use crate::table::{JsonTable, Table};

/// The only version of the web service's API.
const API_VERSION: &str = "2.0";

/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// The one published web service.
pub struct WebService {
    /// Id of its workspace.
    pub workspace: String,
    /// Its id.
    pub service: String,
    /// SHA-256 of its key, so that a comparison takes the same time whatever the length.
    pub key_digest: aws_lc_rs::digest::Digest,
    /// Most bytes of a request's body.
    pub max_body_bytes: usize,
    /// Its batch jobs.
    pub jobs: Arc<Jobs>,
    /// Unguessable identifiers, for requests.
    pub new_id: fn() -> uuid::Uuid,
}

/// The body of a request to `execute`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Execution {
    #[serde(rename = "Inputs", default)]
    inputs: Option<BTreeMap<String, JsonTable>>,
    #[serde(rename = "GlobalParameters", default)]
    global_parameters: Option<Map<String, Value>>,
}

/// Adds the addresses to an application whose data has the [`WebService`].
pub fn configure(app: &mut web::ServiceConfig) {
    let not_allowed = || web::to(method_not_allowed);
    app.service(
        web::resource("/healthz")
            .route(web::get().to(health))
            .default_service(not_allowed()),
    );
    app.service(
        web::scope("/workspaces/{workspace}/services/{service}")
            .service(
                web::resource("/execute")
                    .route(web::post().to(execute))
                    .default_service(not_allowed()),
            )
            .service(
                web::resource("/jobs")
                    .route(web::post().to(submit))
                    .default_service(not_allowed()),
            )
            .service(
                web::resource("/jobs/{job}/start")
                    .route(web::post().to(start))
                    .default_service(not_allowed()),
            )
            .service(
                web::resource("/jobs/{job}")
                    .route(web::get().to(status))
                    .route(web::delete().to(remove))
                    .default_service(not_allowed()),
            ),
    );
    app.default_service(web::to(unknown_address));
}

/// Gives every request an id, answers with it, and logs the request without its body, query or key.
pub async fn log_request(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = match request.headers().get(&REQUEST_ID) {
        Some(given) if given.len() <= 128 => given.clone(),
        _ => {
            let new_id = request
                .app_data::<web::Data<WebService>>()
                .map(|service| (service.new_id)());
            HeaderValue::from_str(&new_id.unwrap_or_default().to_string())?
        }
    };
    let (method, path, begun) = (
        request.method().clone(),
        request.path().to_owned(),
        Instant::now(),
    );
    let mut answer = next.call(request).await?;
    tracing::info!(
        request_id = id.to_str().unwrap_or_default(),
        %method,
        path,
        status = answer.status().as_u16(),
        elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    answer.headers_mut().insert(REQUEST_ID, id);
    Ok(answer)
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn unknown_address(request: HttpRequest) -> Result<HttpResponse, Rejection> {
    Err(Rejection::new(
        Class::NotFound,
        "ResourceNotFound",
        format!("There is nothing at {}.", request.path()),
    ))
}

async fn method_not_allowed(request: HttpRequest) -> Result<HttpResponse, Rejection> {
    Err(Rejection::new(
        Class::MethodNotAllowed,
        "MethodNotAllowed",
        format!(
            "{} is not allowed for {}.",
            request.method(),
            request.path()
        ),
    ))
}

async fn execute(
    request: HttpRequest,
    service: web::Data<WebService>,
    body: web::Payload,
) -> Result<HttpResponse, Rejection> {
    let query = admitted(&request, &service)?;
    let details = match query
        .get("details")
        .map(|value| value.to_ascii_lowercase())
        .as_deref()
    {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            return Err(Rejection::bad_argument(
                "InvalidQueryParameter",
                "Invalid query parameter 'details'. It is true or false.",
            ));
        }
    };
    let execution: Execution = body_of(body, &service).await?;
    no_global_parameters(execution.global_parameters.as_ref())?;
    let mut inputs = execution.inputs.unwrap_or_default();
    let input = inputs.remove(INPUT).ok_or_else(|| {
        Rejection::bad_argument(
            "MissingRequestInput",
            format!("The web service expects an input, but Inputs.{INPUT} was not provided."),
        )
    })?;
    if let Some(name) = inputs.keys().next() {
        return Err(Rejection::bad_argument(
            "InvalidInputNames",
            format!("The service has no input named '{name}'; its only input is '{INPUT}'."),
        ));
    }
    // Hashing a full-size body takes long enough to keep other requests of the same thread waiting.
    let value =
        web::block(move || Ok::<_, Rejection>(Table::from_json(input)?.hashed().to_json(details)))
            .await
            .map_err(|problem| {
                tracing::error!(%problem, "the experiment broke off");
                Rejection::new(
                    Class::InternalError,
                    "InternalError",
                    "The experiment broke off.",
                )
            })??;
    Ok(HttpResponse::Ok()
        .json(json!({ "Results": { OUTPUT: { "type": "table", "value": value } } })))
}

async fn submit(
    request: HttpRequest,
    service: web::Data<WebService>,
    body: web::Payload,
) -> Result<HttpResponse, Rejection> {
    admitted(&request, &service)?;
    let submission: Submission = body_of(body, &service).await?;
    let id = service.jobs.submit(submission)?;
    Ok(HttpResponse::Ok().json(id))
}

async fn start(
    request: HttpRequest,
    service: web::Data<WebService>,
) -> Result<HttpResponse, Rejection> {
    admitted(&request, &service)?;
    service.jobs.start(job_id(&request))?;
    Ok(HttpResponse::Ok().finish())
}

async fn status(
    request: HttpRequest,
    service: web::Data<WebService>,
) -> Result<HttpResponse, Rejection> {
    admitted(&request, &service)?;
    Ok(HttpResponse::Ok().json(service.jobs.status(job_id(&request))?))
}

async fn remove(
    request: HttpRequest,
    service: web::Data<WebService>,
) -> Result<HttpResponse, Rejection> {
    admitted(&request, &service)?;
    service.jobs.remove(job_id(&request))?;
    Ok(HttpResponse::Ok().finish())
}

fn job_id(request: &HttpRequest) -> &str {
    request.match_info().get("job").unwrap_or_default()
}

/// Checks the key, then the workspace and service, then the API version. Gives back the query.
fn admitted(
    request: &HttpRequest,
    service: &WebService,
) -> Result<HashMap<String, String>, Rejection> {
    let key = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, key)| key.trim());
    let admitted = key.is_some_and(|key| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(
            digest.as_ref(),
            service.key_digest.as_ref(),
        )
        .is_ok()
    });
    if !admitted {
        let message = match key {
            None => {
                "No credentials provided. Send the service's key as 'Authorization: Bearer <key>'."
            }
            Some(_) => "Invalid credentials provided.",
        };
        return Err(Rejection::new(
            Class::Unauthorized,
            "ScoreRequestUnauthorized",
            message,
        ));
    }
    let named = |name| request.match_info().get(name).unwrap_or_default();
    if named("workspace") != service.workspace {
        return Err(Rejection::new(
            Class::NotFound,
            "WorkspaceNotFound",
            format!("Workspace '{}' not found.", named("workspace")),
        ));
    }
    if named("service") != service.service {
        return Err(Rejection::new(
            Class::NotFound,
            "WebServiceIdNotFoundInWorkspace",
            format!(
                "Web service '{}' not found in this workspace.",
                named("service")
            ),
        ));
    }
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .map_err(|problem| Rejection::bad_argument("InvalidQueryParameter", problem.to_string()))?
        .into_inner();
    match query.get("api-version").map(String::as_str) {
        Some(API_VERSION) => Ok(query),
        Some(other) => Err(Rejection::bad_argument(
            "BadVersionCall",
            format!(
                "Invalid version '{other}' in the query parameter 'api-version'; it is {API_VERSION}."
            ),
        )),
        None => Err(Rejection::bad_argument(
            "BadVersionCall",
            format!("The query parameter 'api-version' is missing; it is {API_VERSION}."),
        )),
    }
}

async fn body_of<T: DeserializeOwned>(
    body: web::Payload,
    service: &WebService,
) -> Result<T, Rejection> {
    let limit = service.max_body_bytes;
    let bytes = tokio::time::timeout(BODY_TIMEOUT, body.to_bytes_limited(limit))
        .await
        .map_err(|_| {
            Rejection::new(
                Class::RequestTimeout,
                "RequestBodyTimeout",
                format!("The body did not arrive within {} seconds.", BODY_TIMEOUT.as_secs()),
            )
        })?
        .map_err(|_| {
            Rejection::new(
                Class::PayloadTooLarge,
                "RequestBodyTooLarge",
                format!("The body has more than {limit} bytes; send large tables through the batch service."),
            )
        })?
        .map_err(|problem| Rejection::bad_argument("RequestBodyInvalid", format!("The body broke off: {problem}")))?;
    if bytes.is_empty() {
        return Err(Rejection::bad_argument(
            "RequestIsEmpty",
            "No request body provided.",
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|problem| {
        let message = match problem.path().to_string().as_str() {
            "." => problem.inner().to_string(),
            path => format!("{path}: {}", problem.inner()),
        };
        Rejection::bad_argument("RequestBodyInvalid", message)
    })?;
    json.end()
        .map_err(|problem| Rejection::bad_argument("RequestBodyInvalid", problem.to_string()))?;
    Ok(value)
}
