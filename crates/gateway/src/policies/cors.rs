//! `<cors>`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use policy::elements::cors::Cors;
use policy::{Step, StepKind, Value};

use crate::exchange::{Exchange, Flow, Response};
use crate::fault::Fault;

const SOURCE: &str = "cors";

/// Methods that need no permission, as the Fetch standard says.
const SIMPLE_METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::POST];

/// What is to be written into the response, whatever else becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct CorsAnswer {
    origin: HeaderValue,
    credentials: bool,
    expose: Option<HeaderValue>,
}

impl CorsAnswer {
    /// Replaces what the backend said.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        if self.origin != "*" {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if self.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if let Some(expose) = &self.expose {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

fn origin(x: &Exchange) -> Option<String> {
    let origin = x.request.headers.get(header::ORIGIN)?.to_str().ok()?;
    Some(origin.to_owned())
}

/// Whether `pattern` permits an origin: `*`, a URI with or without a slash at the end, or one with a wildcard for a part of the host.
fn permits(pattern: &str, origin: &str) -> bool {
    let pattern = pattern.trim().trim_end_matches('/').to_ascii_lowercase();
    let origin = origin.to_ascii_lowercase();
    if pattern == "*" || pattern == origin {
        return true;
    }
    match pattern.split_once('*') {
        Some((before, after)) => {
            origin.len() > before.len() + after.len()
                && origin.starts_with(before)
                && origin.ends_with(after)
                // The wildcard stands for names of a host, not for a scheme or a port.
                && !origin[before.len()..origin.len() - after.len()].contains(['/', ':'])
        }
        None => false,
    }
}

async fn texts(x: &mut Exchange, values: &[Value<String>]) -> Result<Vec<String>, Fault> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        texts.push(x.value(value, SOURCE).await?.into_owned());
    }
    Ok(texts)
}

fn value(text: &str) -> Result<HeaderValue, Fault> {
    super::forward_request::header_value(SOURCE, text)
}

/// What to answer an origin, if it is permitted.
async fn answer(
    x: &mut Exchange,
    policy: &Cors,
    origin: &str,
) -> Result<Option<CorsAnswer>, Fault> {
    let credentials = *x.value(&policy.allow_credentials, SOURCE).await?;
    let origins = texts(x, &policy.allowed_origins).await?;
    let expose = texts(x, &policy.expose_headers).await?;
    if !origins.iter().any(|pattern| permits(pattern, origin)) && !is_portal(x, origin) {
        return Ok(None);
    }
    let any = origins.iter().any(|pattern| pattern.trim() == "*") && !credentials;
    Ok(Some(CorsAnswer {
        origin: value(if any { "*" } else { origin })?,
        credentials,
        expose: if expose.is_empty() {
            None
        } else {
            Some(value(&expose.join(","))?)
        },
    }))
}

/// The test consoles of the service's own portals may always call.
fn is_portal(x: &Exchange, origin: &str) -> bool {
    let service = x.service.service();
    service.is_some_and(|service| {
        service
            .portal_origins
            .iter()
            .any(|portal| permits(portal, origin))
    })
}

pub(super) async fn apply(x: &mut Exchange, policy: &Cors) -> Result<Flow, Fault> {
    let Some(origin) = origin(x) else {
        return Ok(Flow::Next);
    };
    if let Some(answer) = answer(x, policy, &origin).await? {
        x.cors = Some(Box::new(answer));
        return Ok(Flow::Next);
    }
    if *x.value(&policy.terminate_unmatched_request, SOURCE).await? {
        x.respond(Response::default());
        return Ok(Flow::Respond);
    }
    Ok(Flow::Next)
}

/// Lets a portal of the service read whatever the answer will be, so that its test console can show refusals too.
pub(crate) fn greet_portal(x: &mut Exchange) {
    if let Some(origin) = x.request.headers.get(header::ORIGIN)
        && origin.to_str().is_ok_and(|origin| is_portal(x, origin))
    {
        x.cors = Some(Box::new(CorsAnswer {
            origin: origin.clone(),
            credentials: false,
            expose: None,
        }));
    }
}

/// The first `cors` policy of the steps, outermost level only: conditions would have to look at a request that is not there yet.
fn find(steps: &[Step]) -> Option<&Cors> {
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Cors(policy) => Some(policy),
        _ => None,
    })
}

/// Answers a preflight request, which never reaches the backend. Without a policy there is no such operation.
pub(crate) async fn preflight(
    x: &mut Exchange,
    steps: &[Step],
    method: &Method,
) -> Result<(), Fault> {
    let Some(origin) = origin(x) else {
        return Ok(());
    };
    let asked: Vec<String> = x
        .request
        .headers
        .get_all(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    let mut response = Response::default();
    let Some(policy) = find(steps) else {
        if is_portal(x, &origin) {
            permit(&mut response.headers, method, &asked, None)?;
            x.respond(response);
            return Ok(());
        }
        return Err(Fault::not_found(
            "OperationNotFound",
            "Unable to match incoming request to an operation.",
        ));
    };
    let Some(answer) = answer(x, policy, &origin).await? else {
        if *x.value(&policy.terminate_unmatched_request, SOURCE).await? {
            x.respond(response);
            return Ok(());
        }
        return Err(Fault::not_found(
            "OperationNotFound",
            "Unable to match incoming request to an operation.",
        ));
    };
    let methods = texts(x, &policy.allowed_methods).await?;
    let headers = texts(x, &policy.allowed_headers).await?;
    let method_fits = is_portal(x, &origin)
        || SIMPLE_METHODS.contains(method)
        || methods
            .iter()
            .any(|name| name == "*" || name.eq_ignore_ascii_case(method.as_str()));
    let headers_fit = is_portal(x, &origin)
        || asked.iter().all(|name| {
            headers
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => name.starts_with(&prefix.to_ascii_lowercase()),
                    None => pattern.eq_ignore_ascii_case(name),
                })
        });
    if method_fits && headers_fit {
        let age = x
            .value(&policy.preflight_result_max_age, SOURCE)
            .await?
            .as_secs();
        permit(
            &mut response.headers,
            method,
            &asked,
            Some(age).filter(|age| *age > 0),
        )?;
        x.cors = Some(Box::new(answer));
    }
    response.status = StatusCode::OK;
    x.respond(response);
    Ok(())
}

fn permit(
    headers: &mut HeaderMap,
    method: &Method,
    asked: &[String],
    age: Option<u64>,
) -> Result<(), Fault> {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        value(method.as_str())?,
    );
    if !asked.is_empty() {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            value(&asked.join(","))?,
        );
    }
    if let Some(age) = age {
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age));
    }
    headers.append(
        header::VARY,
        HeaderValue::from_name(HeaderName::from_static("access-control-request-method")),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::permits;

    #[test]
    fn origins_match_whole_or_by_a_wildcard_in_the_host() {
        let cases = [
            ("*", "https://a.example", true),
            ("https://a.example/", "https://A.example", true),
            ("https://a.example", "http://a.example", false),
            ("https://*.example.com", "https://shop.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            (
                "https://*.example.com",
                "https://evil.com/.example.com",
                false,
            ),
            ("http://localhost:8080", "http://localhost:8081", false),
        ];
        for (pattern, origin, expected) in cases {
            assert_eq!(permits(pattern, origin), expected, "{pattern} {origin}");
        }
    }
}
