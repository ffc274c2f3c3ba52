//! `<cache-lookup>`, `<cache-store>`, and the policies for single values.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use policy::elements::cache_lookup::{CacheLookup, DownstreamCaching};
use policy::elements::cache_lookup_value::CacheLookupValue;
use policy::elements::cache_remove_value::CacheRemoveValue;
use policy::elements::cache_store::CacheStore;
use policy::elements::cache_store_value::CacheStoreValue;
use policy::expression::{Data, Side};

use crate::body::Payload;
use crate::cache::Stored;
use crate::exchange::{CachePlan, Exchange, Flow, Response};
use crate::fault::Fault;
use crate::pipeline::strip_hop_by_hop;
use crate::telemetry::CacheOutcome;
use crate::uri;

pub(super) async fn lookup(x: &mut Exchange, policy: &CacheLookup) -> Result<Flow, Fault> {
    const SOURCE: &str = "cache-lookup";
    if !matches!(x.original.method, Method::GET | Method::HEAD) {
        return Ok(Flow::Next);
    }
    let private = *x
        .value(&policy.allow_private_response_caching, SOURCE)
        .await?;
    if x.request.headers.contains_key(header::AUTHORIZATION) && !private {
        return Ok(Flow::Next);
    }
    let by_developer = *x.value(&policy.vary_by_developer, SOURCE).await?;
    let by_groups = *x.value(&policy.vary_by_developer_groups, SOURCE).await?;
    let user = x.access.user.clone();
    // Fields are separated by a byte that none of them can hold.
    let mut key = format!(
        "{}\0{}\0{}\0{}",
        x.service_id,
        x.api
            .as_ref()
            .map_or_else(String::new, |api| api.id.to_string()),
        x.original.method,
        x.original.path.to_ascii_lowercase(),
    );
    let mut add = |text: &str| {
        key.push('\0');
        key.push_str(text);
    };
    if by_developer {
        add(&user
            .as_ref()
            .map_or_else(String::new, |user| user.id.to_string()));
    }
    if by_groups && let Some(user) = &user {
        let mut groups: Vec<&str> = user.groups.iter().map(|group| &*group.name).collect();
        groups.sort_unstable();
        add(&groups.join(","));
    }
    let mut names = Vec::new();
    for name in &policy.vary_by_header {
        names.push(x.value(name, SOURCE).await?.to_ascii_lowercase());
    }
    for name in &names {
        for value in x.request.headers.get_all(name) {
            add(&String::from_utf8_lossy(value.as_bytes()));
        }
        add("");
    }
    let mut parameters = Vec::new();
    for name in &policy.vary_by_query_parameter {
        parameters.push(x.value(name, SOURCE).await?.to_ascii_lowercase());
    }
    let mut groups = uri::grouped(&x.request.query);
    groups.sort();
    for (name, values) in groups {
        let name = name.to_ascii_lowercase();
        if parameters.is_empty() || parameters.contains(&name) {
            add(&name);
            add(&values.join("\u{1}"));
        }
    }
    let mut headers = Vec::new();
    let downstream = *x.value(&policy.downstream_caching, SOURCE).await?;
    let revalidate = *x.value(&policy.must_revalidate, SOURCE).await?;
    let control = match downstream {
        DownstreamCaching::None => None,
        DownstreamCaching::Private => Some("private"),
        DownstreamCaching::Public => Some("public"),
    };
    if let Some(control) = control {
        let control = if revalidate {
            format!("{control}, must-revalidate")
        } else {
            control.to_owned()
        };
        if let Ok(control) = HeaderValue::try_from(control) {
            headers.push((header::CACHE_CONTROL, control));
        }
    }
    let now_ms = x.gateway.options.clock.monotonic_ms();
    if let Some(stored) = x.gateway.cache.response(&key, now_ms).await {
        x.cache = CacheOutcome::Hit;
        let mut all = stored.headers.clone();
        let age = now_ms.saturating_sub(stored.stored_at_ms) / 1000;
        all.insert(header::AGE, HeaderValue::from(age));
        insert(&mut all, &headers);
        x.respond(Response {
            status: stored.status,
            reason: stored.reason.clone(),
            headers: all,
            body: Payload::Bytes(stored.body.clone()),
        });
        return Ok(Flow::Respond);
    }
    x.cache = CacheOutcome::Miss;
    x.cache_plan = Some(Box::new(CachePlan { key, headers }));
    Ok(Flow::Next)
}

fn insert(all: &mut HeaderMap, headers: &[(HeaderName, HeaderValue)]) {
    for (name, value) in headers {
        all.insert(name.clone(), value.clone());
    }
}

pub(super) async fn store(x: &mut Exchange, policy: &CacheStore) -> Result<Flow, Fault> {
    const SOURCE: &str = "cache-store";
    let Some(plan) = x.cache_plan.clone() else {
        return Ok(Flow::Next);
    };
    insert(&mut x.response.headers, &plan.headers);
    let wanted = match &policy.cache_response {
        Some(condition) => *x.value(condition, SOURCE).await?,
        None => x.response.status == StatusCode::OK,
    };
    if !wanted {
        return Ok(Flow::Next);
    }
    let duration = *x.value(&policy.duration, SOURCE).await?;
    let body = x.buffer(Side::Response, SOURCE).await?;
    let mut headers = x.response.headers.clone();
    strip_hop_by_hop(&mut headers);
    headers.remove(header::SET_COOKIE);
    headers.remove(header::CONTENT_LENGTH);
    let now_ms = x.gateway.options.clock.monotonic_ms();
    let stored = Stored {
        status: x.response.status,
        reason: x.response.reason.clone(),
        headers,
        body,
        stored_at_ms: now_ms,
    };
    let expires_at_ms = now_ms.saturating_add(super::rate_limit::milliseconds(duration));
    x.gateway
        .cache
        .put_response(plan.key, stored, expires_at_ms)
        .await;
    Ok(Flow::Next)
}

/// Values of services are apart from each other and from responses.
fn value_key(x: &Exchange, key: &str) -> String {
    format!("{}\0value\0{key}", x.service_id)
}

pub(super) async fn lookup_value(
    x: &mut Exchange,
    policy: &CacheLookupValue,
) -> Result<Flow, Fault> {
    const SOURCE: &str = "cache-lookup-value";
    let key = x.value(&policy.key, SOURCE).await?;
    let now_ms = x.gateway.options.clock.monotonic_ms();
    let key = value_key(x, &key);
    let found = x.gateway.cache.value(&key, now_ms).await;
    let value = match found {
        Some(value) => Some(Data::String(value)),
        None => {
            let default = x.optional(policy.default_value.as_ref(), SOURCE).await?;
            default.map(|value| Data::from(value.into_owned()))
        }
    };
    if let Some(value) = value {
        x.variables.insert(policy.variable_name.clone(), value);
    }
    Ok(Flow::Next)
}

pub(super) async fn store_value(x: &mut Exchange, policy: &CacheStoreValue) -> Result<Flow, Fault> {
    const SOURCE: &str = "cache-store-value";
    let key = x.value(&policy.key, SOURCE).await?;
    let value = x.value(&policy.value, SOURCE).await?;
    let duration = *x.value(&policy.duration, SOURCE).await?;
    let now_ms = x.gateway.options.clock.monotonic_ms();
    let expires_at_ms = now_ms.saturating_add(super::rate_limit::milliseconds(duration));
    let key = value_key(x, &key);
    x.gateway.cache.put_value(key, &value, expires_at_ms).await;
    Ok(Flow::Next)
}

pub(super) async fn remove_value(
    x: &mut Exchange,
    policy: &CacheRemoveValue,
) -> Result<Flow, Fault> {
    let key = x.value(&policy.key, "cache-remove-value").await?;
    let key = value_key(x, &key);
    x.gateway.cache.remove(&key).await;
    Ok(Flow::Next)
}
