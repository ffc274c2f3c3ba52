//! A call as policy expressions see it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use policy::expression::{Context, Data, Field, Map, Part, Side};
use policy::{Scope, Section};

use crate::body::Payload;
use crate::exchange::Exchange;
use crate::uri;

/// The sight of an exchange.
pub(crate) struct View<'a>(pub(crate) &'a Exchange);

fn text(value: &str) -> Data {
    Data::from(value)
}

fn optional(value: Option<&str>) -> Data {
    value.map_or(Data::Null, Data::from)
}

fn date(value: Option<DateTime<Utc>>) -> Data {
    value.map_or(Data::Null, Data::DateTime)
}

/// Host and port of an authority, with the scheme's port if it has none.
fn host_port<'a>(scheme: &str, authority: &'a str) -> (&'a str, i64) {
    let default = if matches!(scheme, "https" | "wss") {
        443
    } else {
        80
    };
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => (authority, default),
        },
        _ => (authority, default),
    }
}

/// Scheme, authority and path of a base URL.
pub(crate) fn base_parts(base: &str) -> (&str, &str, &str) {
    // Nearly all are of one of two schemes, and short: byte by byte is faster than preparing searches.
    let (scheme, rest) = ["http", "https"]
        .into_iter()
        .find_map(|scheme| {
            let rest = base.strip_prefix(scheme)?.strip_prefix("://")?;
            Some((scheme, rest))
        })
        .or_else(|| base.split_once("://"))
        .unwrap_or(("http", base));
    let until =
        |text: &str, ends: &[u8]| text.bytes().take_while(|byte| !ends.contains(byte)).count();
    let rest = &rest[..until(rest, b"?#")];
    let at = until(rest, b"/");
    (scheme, &rest[..at], rest[at..].trim_end_matches('/'))
}

fn question(query: &str) -> Data {
    if query.is_empty() {
        text("")
    } else {
        format!("?{query}").into()
    }
}

fn header_values(headers: &HeaderMap, name: &str) -> Option<Vec<String>> {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    (!values.is_empty()).then_some(values)
}

fn all_headers(headers: &HeaderMap) -> Vec<(String, Vec<String>)> {
    headers
        .keys()
        .filter_map(|name| {
            Some((
                name.as_str().to_owned(),
                header_values(headers, name.as_str())?,
            ))
        })
        .collect()
}

/// Name of a scope in `LastError.Scope`.
pub(crate) fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Global => "global",
        Scope::Product => "product",
        Scope::Api => "api",
        Scope::Operation => "operation",
        Scope::Fragment => "fragment",
    }
}

impl Context for View<'_> {
    fn has(&self, part: Part) -> bool {
        let x = self.0;
        match part {
            Part::Context | Part::Request | Part::Url | Part::OriginalUrl | Part::Deployment => {
                true
            }
            Part::Api => x.api.is_some(),
            Part::Operation => x.operation.is_some(),
            Part::Product => x.access.product.is_some(),
            Part::Subscription => x.access.subscription.is_some(),
            Part::User => x.access.user.is_some(),
            Part::Certificate => x.caller.is_some(),
            Part::Response => x.has_response,
            Part::LastError => x.last_error.is_some(),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one line for each member of the context"
    )]
    fn field(&self, field: Field) -> Data {
        let x = self.0;
        let api = x.api.as_deref();
        let operation = x.operation.as_deref().map(|state| &state.operation);
        let product = x.access.product.as_deref();
        let subscription = x.access.subscription.as_deref();
        let user = x.access.user.as_deref();
        let error = x.last_error.as_ref();
        let caller = x.caller.as_ref().map(|caller| &caller.facts);
        let (scheme, authority, base_path) = base_parts(&x.request.base);
        let key_of = |digest: fn(&snapshot::entity::Subscription) -> &[u8; 32]| {
            let (Some(subscription), Some(key)) = (subscription, &x.key) else {
                return Data::Null;
            };
            let presented = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
            // Only digests are known here: the key that the caller did not present stays unknown.
            if presented.as_ref() == digest(subscription) {
                text(key)
            } else {
                Data::Null
            }
        };
        match field {
            Field::RequestId => Data::Guid(x.request_id.as_u128()),
            Field::Timestamp => Data::DateTime(x.started_at),
            Field::Elapsed => {
                let elapsed = x
                    .gateway
                    .options
                    .clock
                    .monotonic_ms()
                    .saturating_sub(x.started_ms);
                Data::TimeSpan(TimeDelta::milliseconds(
                    i64::try_from(elapsed).unwrap_or(i64::MAX),
                ))
            }
            Field::Tracing => Data::Bool(false),
            Field::ApiId | Field::ApiName if api.is_none() => Data::Null,
            Field::ApiId => optional(api.map(|api| &*api.name)),
            Field::ApiName => optional(api.map(|api| &*api.display_name)),
            Field::ApiPath => optional(api.map(|api| &*api.path)),
            Field::ApiRevision => optional(api.map(|api| &*api.revision)),
            Field::ApiVersion => optional(
                api.and_then(|api| api.version.as_ref())
                    .map(|version| &*version.name),
            ),
            Field::ApiIsCurrentRevision => api.map_or(Data::Null, |api| api.is_current.into()),
            Field::ApiServiceUrl => optional(api.and_then(|api| api.service_url.as_deref())),
            Field::OperationId => optional(operation.map(|operation| &*operation.name)),
            Field::OperationName => optional(operation.map(|operation| &*operation.display_name)),
            Field::OperationMethod => optional(operation.map(|operation| &*operation.method)),
            Field::OperationUrlTemplate => {
                optional(operation.map(|operation| &*operation.url_template))
            }
            Field::ProductId => optional(product.map(|product| &*product.name)),
            Field::ProductName => optional(product.map(|product| &*product.display_name)),
            Field::ProductState => optional(product.map(|product| {
                if product.is_published {
                    "Published"
                } else {
                    "NotPublished"
                }
            })),
            Field::ProductSubscriptionRequired => {
                product.map_or(Data::Null, |p| p.subscription_required.into())
            }
            Field::ProductApprovalRequired => {
                product.map_or(Data::Null, |p| p.approval_required.into())
            }
            Field::ProductSubscriptionsLimit => product
                .and_then(|product| product.subscriptions_limit)
                .map_or(Data::Null, |limit| i64::from(limit).into()),
            Field::SubscriptionId => optional(subscription.map(|subscription| &*subscription.name)),
            Field::SubscriptionKey => optional(subscription.and(x.key.as_deref())),
            Field::SubscriptionName => {
                optional(subscription.and_then(|s| s.display_name.as_deref()))
            }
            Field::SubscriptionPrimaryKey => key_of(|subscription| &subscription.primary_digest),
            Field::SubscriptionSecondaryKey => {
                key_of(|subscription| &subscription.secondary_digest)
            }
            Field::SubscriptionCreatedDate => date(subscription.and_then(|s| s.created_at)),
            Field::SubscriptionStartDate => date(subscription.and_then(|s| s.start_at)),
            Field::SubscriptionEndDate => date(subscription.and_then(|s| s.end_at)),
            Field::UserId => optional(user.map(|user| &*user.name)),
            Field::UserEmail => optional(user.map(|user| &*user.email)),
            Field::UserFirstName => optional(user.map(|user| &*user.first_name)),
            Field::UserLastName => optional(user.map(|user| &*user.last_name)),
            Field::UserNote => optional(user.and_then(|user| user.note.as_deref())),
            Field::UserRegistrationDate => date(user.and_then(|user| user.registered_at)),
            Field::UserGroups => user.map_or(Data::Null, |user| {
                Data::list(user.groups.iter().map(|group| {
                    Data::Group(Arc::new((group.name.clone(), group.display_name.clone())))
                }))
            }),
            Field::RequestMethod => text(x.request.method.as_str()),
            Field::RequestIpAddress => x.client_ip.to_string().into(),
            Field::UrlHost => text(host_port(scheme, authority).0),
            Field::UrlPort => host_port(scheme, authority).1.into(),
            Field::UrlScheme => text(scheme),
            Field::UrlPath => {
                let path = format!("{base_path}{}", x.request.path);
                if path.is_empty() {
                    text("/")
                } else {
                    path.into()
                }
            }
            Field::UrlQueryString => question(&x.request.query),
            Field::OriginalUrlHost => text(host_port(x.original.scheme, x.original.authority()).0),
            Field::OriginalUrlPort => host_port(x.original.scheme, x.original.authority())
                .1
                .into(),
            Field::OriginalUrlScheme => text(x.original.scheme),
            Field::OriginalUrlPath => text(&x.original.path),
            Field::OriginalUrlQueryString => question(&x.original.query),
            Field::CertificateThumbprint => optional(caller.map(|facts| &*facts.thumbprint)),
            Field::CertificateSubject => optional(caller.map(|facts| &*facts.subject)),
            Field::CertificateIssuer => optional(caller.map(|facts| &*facts.issuer)),
            Field::CertificateSerialNumber => optional(caller.map(|facts| &*facts.serial_number)),
            Field::CertificateNotBefore => date(caller.map(|facts| facts.not_before)),
            Field::CertificateNotAfter => date(caller.map(|facts| facts.not_after)),
            Field::CertificateVerified => x.caller.as_ref().map_or(Data::Null, |caller| {
                let now = x.gateway.options.clock.now();
                (caller.is_valid_at(now) && caller.is_trusted(&x.service, now)).into()
            }),
            Field::ResponseStatusCode => i64::from(x.response.status.as_u16()).into(),
            Field::ResponseStatusReason => match &x.response.reason {
                Some(reason) => text(reason),
                None => text(x.response.status.canonical_reason().unwrap_or_default()),
            },
            Field::DeploymentServiceName | Field::DeploymentServiceId => {
                optional(x.service.service().map(|service| &*service.name))
            }
            Field::DeploymentRegion => {
                optional(x.service.service().map(|service| &*service.region))
            }
            Field::DeploymentGatewayId => text(x.gateway_id()),
            Field::LastErrorSource => optional(error.map(|error| error.fault.source)),
            Field::LastErrorReason => optional(error.map(|error| error.fault.reason)),
            Field::LastErrorMessage => optional(error.map(|error| &*error.fault.message)),
            Field::LastErrorScope => optional(error.and_then(|error| error.scope).map(scope_name)),
            Field::LastErrorSection => optional(error.map(|error| Section::element(error.section))),
            Field::LastErrorPath => optional(error.map(|error| error.fault.source)),
            Field::LastErrorPolicyId => {
                optional(error.and_then(|error| error.policy_id.as_deref()))
            }
        }
    }

    fn entry(&self, map: Map, name: &str) -> Option<Vec<String>> {
        let x = self.0;
        match map {
            Map::RequestHeaders => header_values(&x.request.headers, name),
            Map::ResponseHeaders => header_values(&x.response.headers, name),
            Map::Query | Map::OriginalQuery | Map::MatchedParameters => self
                .entries(map)
                .into_iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, values)| values),
        }
    }

    fn entries(&self, map: Map) -> Vec<(String, Vec<String>)> {
        let x = self.0;
        match map {
            Map::RequestHeaders => all_headers(&x.request.headers),
            Map::ResponseHeaders => all_headers(&x.response.headers),
            Map::Query => uri::grouped(&x.request.query),
            Map::OriginalQuery => uri::grouped(&x.original.query),
            Map::MatchedParameters => x
                .parameters()
                .into_iter()
                .map(|(name, value)| (name, vec![value]))
                .collect(),
        }
    }

    fn body(&self, side: Side, preserve: bool) -> Option<Arc<[u8]>> {
        let x = self.0;
        let (payload, consumed) = match side {
            Side::Request => (&x.request.body, &x.request_consumed),
            Side::Response => (&x.response.body, &x.response_consumed),
        };
        if consumed.get() {
            return None;
        }
        let bytes = match payload {
            Payload::Bytes(bytes) => Arc::from(&bytes[..]),
            // A stream cannot be here: the step buffered it because the expression needs it.
            Payload::Empty | Payload::Stream(_) => return None,
        };
        if !preserve {
            consumed.set(true);
        }
        Some(bytes)
    }

    fn variable(&self, name: &str) -> Option<Data> {
        self.0.variables.get(name).cloned()
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.gateway.options.clock.now()
    }

    fn random_bits(&self) -> u64 {
        self.0.gateway.options.random.bits()
    }
}
