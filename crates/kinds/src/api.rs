//! APIs: a web service behind a URL suffix of the gateway.

use crate::{api_version_set, import, revision, service::Service, tag};
use engine::{
    Action, Any, BoxFuture, Contract, Cx, Error, Filter, Json, ListEffect, ListParameter, NameRule,
    Resource, Result, Revisions, TextColumn, Value, Violations, json, sqlx,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An API.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiContract {
    /// Name that people see; the API's id when absent.
    #[contract(default = String::new(), length(1..=300))]
    pub display_name: String,
    /// Description; may hold HTML.
    pub description: Option<String>,
    /// URL of the web service behind the API.
    #[contract(length(0..=2000))]
    pub service_url: Option<String>,
    /// URL suffix of the gateway, unique in the service.
    #[contract(length(0..=400))]
    pub path: String,
    /// Schemes under which the gateway offers the API.
    #[contract(default = Json(vec![Protocol::Https]))]
    pub protocols: Json<Vec<Protocol>>,
    /// Type of the API.
    #[contract(default = ApiType::Http)]
    pub r#type: ApiType,
    /// Number of the revision; the name of a new one says it (`apis/{id};rev=2`), and it never changes.
    #[contract(default = "1".to_owned(), length(1..=100), kept)]
    pub api_revision: String,
    /// Description of the revision.
    #[contract(length(0..=256))]
    pub api_revision_description: Option<String>,
    /// Version, if the API has versions.
    #[contract(length(0..=100))]
    pub api_version: Option<String>,
    /// Description of the version.
    #[contract(length(0..=256))]
    pub api_version_description: Option<String>,
    /// Version set that the API belongs to.
    pub api_version_set_id: Option<String>,
    /// Details of the version set.
    pub api_version_set: Option<Json<Any>>,
    /// Whether this is the current revision. A body does not change it; a release does.
    #[contract(default = true, kept)]
    pub is_current: bool,
    /// Whether the revision can be called.
    #[contract(read_only)]
    pub is_online: Option<bool>,
    /// Whether calls need a subscription key.
    #[contract(default = true)]
    pub subscription_required: bool,
    /// Names of the header and the query parameter that hold the key.
    #[contract(default = Json(KeyNames::default()))]
    pub subscription_key_parameter_names: Json<KeyNames>,
    /// OAuth 2.0 and OpenID Connect settings, for the portals.
    pub authentication_settings: Option<Json<Any>>,
    /// Terms of service, as a URL.
    pub terms_of_service_url: Option<String>,
    /// Contact.
    pub contact: Option<Json<Any>>,
    /// Licence.
    pub license: Option<Json<Any>>,
    /// `Succeeded`.
    #[contract(read_only)]
    pub provisioning_state: String,
    /// Format of `value`.
    #[contract(write_only)]
    pub format: Option<String>,
    /// A description of the API to import.
    #[contract(write_only)]
    pub value: Option<String>,
    /// Service and endpoint of a WSDL.
    #[contract(write_only)]
    pub wsdl_selector: Option<Json<Any>>,
    /// Type of the API that an import creates.
    #[contract(write_only)]
    pub api_type: Option<String>,
    /// Whether an import makes required query parameters part of the URL template.
    #[contract(write_only)]
    pub translate_required_query_parameters: Option<String>,
    /// API, or revision of one, that a new API or revision is a copy of: properties that the body leaves out, operations,
    /// policies, schemas and tags. Without effect on what exists already.
    #[contract(write_only)]
    pub source_api_id: Option<String>,
    /// What this is a revision of.
    #[contract(internal)]
    pub root_id: Uuid,
}

/// A scheme of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP
    Http,
    /// HTTPS
    Https,
    /// WebSocket
    Ws,
    /// WebSocket over TLS
    Wss,
}

/// Type of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiType {
    /// REST
    Http,
    /// SOAP
    Soap,
    /// WebSocket
    Websocket,
    /// GraphQL
    Graphql,
    /// OData
    Odata,
    /// gRPC
    Grpc,
}

/// Where callers put the subscription key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyNames {
    /// Header.
    #[serde(default = "key_header")]
    pub header: String,
    /// Query parameter.
    #[serde(default = "key_query")]
    pub query: String,
}

fn key_header() -> String {
    "Ocp-Apim-Subscription-Key".to_owned()
}

fn key_query() -> String {
    "subscription-key".to_owned()
}

impl Default for KeyNames {
    fn default() -> Self {
        Self {
            header: key_header(),
            query: key_query(),
        }
    }
}

/// Where the revisions of an API are.
pub const REVISIONS: Revisions = Revisions {
    marker: ";rev=",
    roots: "api_roots",
    root: "root_id",
    name: "revision_name",
    current: "is_current",
    own_links: &["api_tags"],
};

/// The kind.
pub struct Api;

impl Resource for Api {
    type Parent = Service;
    type Contract = ApiContract;
    const TITLE: &'static str = "Api";
    const SEGMENT: &'static str = "apis";
    const PARAMETER: &'static str = "apiId";
    const TABLE: &'static str = "apis";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(256);
    const LONG_DELETE: bool = true;
    const SERVED: bool = true;
    const REVISIONS: Option<Revisions> = Some(REVISIONS);
    const LIST_PARAMETERS: &'static [ListParameter] = &[
        ListParameter {
            name: "expandApiVersionSet",
            summary: "Whether items show their version set.",
            effect: ListEffect::Show("apiVersionSet"),
        },
        tag::shown!("api_tags l ON l.tag_id = g.id WHERE l.api_id = t.id"),
        tag::tagged!("api_tags", "api_id"),
    ];
    const OMITTED_IN_LIST: &'static [&'static str] =
        &["authenticationSettings", "subscriptionKeyParameterNames"];
    const FILTERS: &'static [Filter] = &[
        Filter::name(),
        Filter::text("displayName", "display_name"),
        Filter::text("description", "description"),
        Filter::text("serviceUrl", "service_url"),
        Filter::text("path", "path"),
        Filter::bool("isCurrent", "is_current"),
    ];

    const VIEWS: &'static [Action] = &[import::REPORT];

    fn example() -> Value {
        json!({
            "displayName": "AzureML Demo API",
            "description": "Hashes texts to features.",
            "serviceUrl": "https://ussouthcentral.services.azureml.net",
            "path": "azureml-demo",
            "protocols": ["https"],
            "subscriptionRequired": true
        })
    }

    fn validate(api: &ApiContract, violations: &mut Violations) {
        if let Some(url) = api.service_url.as_deref().filter(|url| !url.is_empty()) {
            check_url("serviceUrl", url, violations);
        }
        let path = api.path.trim_matches('/');
        if path.contains(['?', '#', '*', '\\', '{', '}', ' ', '%'])
            || path.contains("//")
            || path.split('/').any(|s| s == "." || s == "..")
        {
            violations.add(
                "path",
                "must be a relative URL path without ? # * \\ { } % and spaces",
            );
        }
        if api.protocols.0.is_empty() {
            violations.add(
                "protocols",
                "must name at least one of http, https, ws, wss",
            );
        }
        for (field, text) in [
            (
                "subscriptionKeyParameterNames.header",
                &api.subscription_key_parameter_names.0.header,
            ),
            (
                "subscriptionKeyParameterNames.query",
                &api.subscription_key_parameter_names.0.query,
            ),
        ] {
            let token = text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
            if text.is_empty() || !token {
                violations.add(field, "must be a name of letters, digits and hyphens");
            }
        }
        import::check(api, violations);
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ApiContract>,
        new: &'a mut ApiContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match old {
                Some(old) => {
                    new.api_revision.clone_from(&old.api_revision);
                    new.is_current = old.is_current;
                }
                None => {
                    revision::place(cx, new).await?;
                    if cx.restored {
                        return Ok(());
                    }
                    revision::inherit(cx, new).await?;
                }
            }
            import::prepare(new)?;
            if new.display_name.is_empty() {
                new.display_name = REVISIONS.plain(&cx.name).to_owned();
            }
            new.path = new.path.trim_matches('/').to_owned();
            new.provisioning_state = "Succeeded".into();
            new.is_online = Some(true);
            if !new.is_current {
                revision::same_place(cx, new).await?;
            } else if old.is_none_or(|old| place(old) != place(new)) {
                // Serialises creations of one service's paths: no index can, because versions share a path.
                sqlx::query(
                    "SELECT pg_advisory_xact_lock(hashtextextended('api path ' || $1::text, 0))",
                )
                .bind(cx.service.id)
                .execute(&mut *cx.conn)
                .await?;
                let taken: Option<String> = sqlx::query_scalar(
                    "SELECT display_name FROM apis WHERE parent_id = $1 AND lower(path) = lower($2) AND root_id <> $3 \
                     AND api_version_set_id IS NOT DISTINCT FROM $4 AND api_version IS NOT DISTINCT FROM $5 AND is_current",
                )
                .bind(cx.service.id)
                .bind(&new.path)
                .bind(new.root_id)
                .bind(&new.api_version_set_id)
                .bind(&new.api_version)
                .fetch_optional(&mut *cx.conn)
                .await?;
                if let Some(other) = taken {
                    return Err(Error::invalid(
                        "path",
                        format!("is already the URL suffix of the API '{other}'"),
                    ));
                }
            }
            check_authentication(cx, old, new).await?;
            api_version_set::describe(cx, new).await
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ApiContract>,
        new: &'a ApiContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            match old {
                None => revision::copied(cx, new).await?,
                Some(old) if place(old) != place(new) => revision::moved(cx, new).await?,
                Some(_) => {}
            }
            import::written(cx, new).await
        })
    }

    /// Operations and policies go with the revision, and with the last one all that holds the API.
    fn deleting<'a>(cx: &'a mut Cx<'_>, api: &'a ApiContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(revision::deleting(cx, api))
    }
}

/// The authorization servers and OpenID Connect providers that an API names must exist.
async fn check_authentication(
    cx: &mut Cx<'_>,
    old: Option<&ApiContract>,
    new: &ApiContract,
) -> Result<()> {
    let Some(Json(Any(settings))) = &new.authentication_settings else {
        return Ok(());
    };
    let known = old.and_then(|old| old.authentication_settings.as_ref());
    if known.is_some_and(|Json(Any(known))| known == settings) {
        return Ok(());
    }
    let mut violations = Violations::default();
    for (one, several, member, table, segment) in [
        (
            "oAuth2",
            "oAuth2AuthenticationSettings",
            "authorizationServerId",
            "authorization_servers",
            "authorizationServers",
        ),
        (
            "openid",
            "openidAuthenticationSettings",
            "openidProviderId",
            "openid_connect_providers",
            "openidConnectProviders",
        ),
    ] {
        let mut named = vec![(one.to_owned(), &settings[one][member])];
        for (at, setting) in settings[several]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            named.push((format!("{several}[{at}]"), &setting[member]));
        }
        for (place, name) in named {
            let Some(name) = name.as_str().filter(|name| !name.is_empty()) else {
                continue;
            };
            let name = name.rsplit('/').next().unwrap_or(name);
            if cx.find(table, name).await?.is_none() {
                violations.add(
                    format!("authenticationSettings.{place}.{member}"),
                    format!("names {segment}/{name}, which does not exist"),
                );
            }
        }
    }
    violations.into_result()
}

/// What callers find the API by; the revisions of an API share it.
fn place(api: &ApiContract) -> (String, Option<String>, Option<String>) {
    (
        api.path.to_lowercase(),
        api.api_version_set_id.clone(),
        api.api_version.clone(),
    )
}

pub(crate) fn check_url(target: &str, url: &str, violations: &mut Violations) {
    let rest = ["http://", "https://", "ws://", "wss://"]
        .iter()
        .find_map(|scheme| {
            url.get(..scheme.len())
                .filter(|head| head.eq_ignore_ascii_case(scheme))
                .map(|_| &url[scheme.len()..])
        });
    let host = rest.map_or("", |rest| {
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    });
    let plain = url.bytes().all(|b| b.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !plain || url.contains('#') {
        violations.add(target, "must be an absolute URL such as https://example.org/path, without user name and fragment");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_urls_are_absolute_http_or_websocket_urls() {
        let wrong = |url: &str| {
            let mut violations = Violations::default();
            check_url("serviceUrl", url, &mut violations);
            !violations.is_empty()
        };
        for url in [
            "https://example.org",
            "http://127.0.0.1:8080/base?x=1",
            "WSS://example.org",
        ] {
            assert!(!wrong(url), "{url}");
        }
        for url in [
            "example.org",
            "ftp://example.org",
            "https://",
            "https://user@example.org",
            "https://a b",
            "https://a/#x",
        ] {
            assert!(wrong(url), "{url}");
        }
    }
}
