//! `<cache-lookup>`, `<cache-store>`, and the policies for single values.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use policy::elements::cache_lookup::{CacheLookup, CachingType, DownstreamCaching};
use policy::elements::cache_lookup_value::CacheLookupValue;
use policy::elements::cache_remove_value::CacheRemoveValue;
use policy::elements::cache_store::CacheStore;
use policy::elements::cache_store_value::CacheStoreValue;
use policy::expression::{Data, Side};
use serde::{Deserialize, Serialize};

use crate::body::Payload;
use crate::cache::Stored;
use crate::exchange::{CachePlan, Exchange, Flow, Response};
use crate::fault::Fault;
use crate::listen::Inner;
use crate::pipeline::strip_hop_by_hop;
use crate::telemetry::CacheOutcome;
use crate::uri;

/// Which cache keeps something.
#[derive(Clone, Debug)]
pub(crate) enum Keeper {
    /// That of this process.
    Memory,
    /// One outside, by its connection string.
    External(String),
    /// None: only an external one is wanted, and there is none.
    Nobody,
}

impl Keeper {
    fn of(x: &Exchange, wanted: CachingType) -> Self {
        if wanted == CachingType::Internal {
            return Self::Memory;
        }
        let outside = x.gateway.options.external_caches.as_ref();
        match outside.and_then(|_| x.service.external_cache()) {
            Some(cache) => Self::External(cache),
            None if wanted == CachingType::External => Self::Nobody,
            None => Self::Memory,
        }
    }

    async fn response(&self, gateway: &Inner, key: &str) -> Option<Arc<Stored>> {
        let options = &gateway.options;
        match self {
            Self::Memory => {
                let now_ms = options.clock.monotonic_ms();
                gateway.cache.response(key, now_ms).await
            }
            Self::External(cache) => {
                let bytes = options.external_caches.as_ref()?.get(cache, key).await?;
                unpacked(&bytes, now_ms(gateway)).map(Arc::new)
            }
            Self::Nobody => None,
        }
    }

    async fn put_response(&self, gateway: &Inner, key: String, stored: Stored, lifetime: Duration) {
        let options = &gateway.options;
        match self {
            Self::Memory => {
                let expires_at_ms = expiry(gateway, lifetime);
                gateway.cache.put_response(key, stored, expires_at_ms).await;
            }
            Self::External(cache) => {
                if let (Some(caches), Some(bytes)) =
                    (&options.external_caches, packed(&stored, now_ms(gateway)))
                {
                    caches.put(cache, &key, bytes, lifetime).await;
                }
            }
            Self::Nobody => {}
        }
    }
}

fn expiry(gateway: &Inner, lifetime: Duration) -> u64 {
    let now_ms = gateway.options.clock.monotonic_ms();
    now_ms.saturating_add(super::rate_limit::milliseconds(lifetime))
}

/// The wall clock, which processes share.
fn now_ms(gateway: &Inner) -> i64 {
    gateway.options.clock.now().timestamp_millis()
}

/// A response outside of the process: its head as a line of JSON, then its body.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    reason: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    stored_at_ms: i64,
}

fn packed(stored: &Stored, now_ms: i64) -> Option<Vec<u8>> {
    let head = Head {
        status: stored.status.as_u16(),
        reason: stored.reason.clone(),
        headers: stored
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        stored_at_ms: now_ms,
    };
    let mut bytes = serde_json::to_vec(&head).ok()?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&stored.body);
    Some(bytes)
}

/// `None` for what this program did not pack.
fn unpacked(bytes: &[u8], now_ms: i64) -> Option<Stored> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers {
        headers.append(
            HeaderName::try_from(name).ok()?,
            HeaderValue::from_bytes(&value).ok()?,
        );
    }
    Some(Stored {
        status: StatusCode::from_u16(head.status).ok()?,
        reason: head.reason,
        headers,
        body: bytes[end + 1..].to_vec().into(),
        age_ms: u64::try_from(now_ms.saturating_sub(head.stored_at_ms)).unwrap_or(0),
        stored_at_ms: 0,
    })
}

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
    let keeper = Keeper::of(x, policy.caching_type);
    if let Some(stored) = keeper.response(&x.gateway, &key).await {
        x.cache = CacheOutcome::Hit;
        let mut all = stored.headers.clone();
        let age_ms = match keeper {
            Keeper::External(_) => stored.age_ms,
            Keeper::Memory | Keeper::Nobody => now_ms.saturating_sub(stored.stored_at_ms),
        };
        let age = age_ms / 1000;
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
    x.cache_plan = Some(Box::new(CachePlan {
        keeper,
        key,
        headers,
    }));
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
        age_ms: 0,
        stored_at_ms: now_ms,
    };
    plan.keeper
        .put_response(&x.gateway, plan.key, stored, duration)
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
    let found = match (
        Keeper::of(x, policy.caching_type),
        &x.gateway.options.external_caches,
    ) {
        (Keeper::Memory, _) => x.gateway.cache.value(&key, now_ms).await,
        (Keeper::External(cache), Some(caches)) => caches
            .get(&cache, &key)
            .await
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Arc::from),
        (Keeper::External(_) | Keeper::Nobody, _) => None,
    };
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
    let key = value_key(x, &key);
    match (
        Keeper::of(x, policy.caching_type),
        &x.gateway.options.external_caches,
    ) {
        (Keeper::Memory, _) => {
            let expires_at_ms = expiry(&x.gateway, duration);
            x.gateway.cache.put_value(key, &value, expires_at_ms).await;
        }
        (Keeper::External(cache), Some(caches)) => {
            let bytes = value.as_bytes().to_vec();
            caches.put(&cache, &key, bytes, duration).await;
        }
        (Keeper::External(_) | Keeper::Nobody, _) => {}
    }
    Ok(Flow::Next)
}

pub(super) async fn remove_value(
    x: &mut Exchange,
    policy: &CacheRemoveValue,
) -> Result<Flow, Fault> {
    let key = x.value(&policy.key, "cache-remove-value").await?;
    let key = value_key(x, &key);
    match (
        Keeper::of(x, policy.caching_type),
        &x.gateway.options.external_caches,
    ) {
        (Keeper::Memory, _) => x.gateway.cache.remove(&key).await,
        (Keeper::External(cache), Some(caches)) => caches.remove(&cache, &key).await,
        (Keeper::External(_) | Keeper::Nobody, _) => {}
    }
    Ok(Flow::Next)
}
