//! Services: one instance of API management, with its own APIs, people and gateway host.

use crate::{
    activation::{ActivateService, Activation},
    deleted_entity, email_template, notify,
};
use chrono::{DateTime, Utc};
use engine::{
    Any, BoxFuture, Contract, Cx, Delete, Error, Filter, Json, NameRule, Resource, Result, Root,
    Secret, TextColumn, Value, Violations, json, sqlx,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A service instance.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ServiceContract {
    /// Region; a label, because the service runs where Portico runs.
    #[contract(top_level, length(1..=100))]
    pub location: String,
    /// Tier and size; labels without limits.
    #[contract(top_level)]
    pub sku: Json<Sku>,
    /// Tags.
    #[contract(top_level)]
    pub tags: Option<Json<Any>>,
    /// Availability zones; labels.
    #[contract(top_level)]
    pub zones: Option<Vec<String>>,
    /// Managed identity, as given.
    #[contract(top_level)]
    pub identity: Option<Json<Any>>,
    /// E-mail address of the administrator; gets the welcome mail and the notifications.
    #[contract(length(1..=100))]
    pub publisher_email: String,
    /// Name of the organisation, shown in portals and mails.
    #[contract(length(1..=100))]
    pub publisher_name: String,
    /// Sender of the service's mails.
    #[contract(length(0..=100))]
    pub notification_sender_email: Option<String>,
    /// Created, Activating, Succeeded, Failed.
    #[contract(read_only)]
    pub provisioning_state: String,
    /// State that a running operation leads to; empty when none runs.
    #[contract(read_only)]
    pub target_provisioning_state: String,
    /// When the service was created.
    #[contract(read_only)]
    pub created_at_utc: Option<DateTime<Utc>>,
    /// The loopback address under which the gateway serves this service without a domain.
    #[contract(internal)]
    pub gateway_hostname: String,
    /// URL of the gateway.
    #[contract(read_only)]
    pub gateway_url: Option<String>,
    /// URL of the publisher portal.
    #[contract(read_only)]
    pub portal_url: Option<String>,
    /// URL of the developer portal.
    #[contract(read_only)]
    pub developer_portal_url: Option<String>,
    /// URL of the management API.
    #[contract(read_only)]
    pub management_api_url: Option<String>,
    /// URL of the configuration's history; none here.
    #[contract(read_only)]
    pub scm_url: Option<String>,
    /// Custom host names.
    pub hostname_configurations: Option<Json<Vec<HostnameConfiguration>>>,
    /// Certificates and keys of the custom host names: [`HostCertificates`] in JSON.
    #[contract(internal)]
    pub hostname_certificates: Option<Secret>,
    /// Public addresses; none of its own.
    #[contract(read_only, wire = "publicIPAddresses")]
    pub public_ip_addresses: Option<Vec<String>>,
    /// Private addresses; none of its own.
    #[contract(read_only, wire = "privateIPAddresses")]
    pub private_ip_addresses: Option<Vec<String>>,
    /// As given.
    pub public_ip_address_id: Option<String>,
    /// A label.
    pub public_network_access: Option<Enablement>,
    /// As given.
    pub virtual_network_configuration: Option<Json<Any>>,
    /// As given.
    pub additional_locations: Option<Json<Vec<Any>>>,
    /// Custom settings, as given.
    pub custom_properties: Option<Json<Any>>,
    /// As given.
    pub certificates: Option<Json<Vec<Any>>>,
    /// As given.
    #[contract(default = Some(false))]
    pub enable_client_certificate: Option<bool>,
    /// A label.
    pub nat_gateway_state: Option<Enablement>,
    /// Outbound addresses; none of its own.
    #[contract(read_only, wire = "outboundPublicIPAddresses")]
    pub outbound_public_ip_addresses: Option<Vec<String>>,
    /// Stops the gateway for this service.
    #[contract(default = Some(false))]
    pub disable_gateway: Option<bool>,
    /// As given.
    #[contract(default = NetworkType::None)]
    pub virtual_network_type: NetworkType,
    /// As given.
    pub api_version_constraint: Option<Json<Any>>,
    /// As given.
    pub private_endpoint_connections: Option<Json<Vec<Any>>>,
    /// Platform.
    #[contract(read_only)]
    pub platform_version: String,
    /// A label.
    #[contract(default = Some(Enablement::Enabled))]
    pub legacy_portal_status: Option<Enablement>,
    /// Whether the developer portal is on.
    #[contract(default = Some(Enablement::Enabled))]
    pub developer_portal_status: Option<Enablement>,
    /// As given.
    pub release_channel: Option<String>,
    /// As given.
    pub configuration_api: Option<Json<Any>>,
    /// Brings a deleted service back as it was; all other properties of the request are ignored.
    #[contract(write_only)]
    pub restore: Option<bool>,
}

/// Tier and size.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Sku {
    /// Tier.
    pub name: SkuName,
    /// Units.
    #[serde(default = "one")]
    pub capacity: i32,
}

const fn one() -> i32 {
    1
}

/// Tiers of the contract; Portico has no limits by tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum SkuName {
    /// Developer
    Developer,
    /// Standard
    Standard,
    /// Premium
    Premium,
    /// Basic
    Basic,
    /// Consumption
    Consumption,
    /// Isolated
    Isolated,
    /// BasicV2
    BasicV2,
    /// StandardV2
    StandardV2,
    /// PremiumV2
    PremiumV2,
}

/// How the service is attached to a network; a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum NetworkType {
    /// None
    None,
    /// External
    External,
    /// Internal
    Internal,
}

/// Whether something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum Enablement {
    /// Yes.
    Enabled,
    /// No.
    Disabled,
}

/// A custom host name of one endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostnameConfiguration {
    /// `Proxy` (the gateway), `Portal`, `Management`, `Scm`, `DeveloperPortal` or `ConfigurationApi`.
    pub r#type: String,
    /// Host name.
    pub host_name: String,
    /// Every other member, kept as given.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub rest: serde_json::Map<String, Value>,
}

/// The kind.
pub struct Service;

impl Resource for Service {
    type Parent = Root;
    type Contract = ServiceContract;
    const TITLE: &'static str = "ApiManagementService";
    const SEGMENT: &'static str = "service";
    const PARAMETER: &'static str = "serviceName";
    const TABLE: &'static str = "services";
    const NAME: NameRule = NameRule::SERVICE;
    const IF_MATCH: bool = false;
    const DELETE: Delete = Delete::Hook;
    const SERVED: bool = true;
    const ACTIONS: &'static [engine::Action] = crate::platform::ACTIONS;
    const VIEWS: &'static [engine::Action] = crate::platform::VIEWS;
    const FILTERS: &'static [Filter] = &[Filter::name(), Filter::text("location", "location")];
    const ACTION_DETAILS: &'static [engine::ActionDetail] = deleted_entity::PLAN_DETAILS;

    fn example() -> Value {
        json!({"publisherEmail": "admin@example.org", "publisherName": "demoazureml"})
    }

    fn validate(service: &ServiceContract, violations: &mut Violations) {
        for (field, address) in [
            ("publisherEmail", Some(&service.publisher_email)),
            (
                "notificationSenderEmail",
                service.notification_sender_email.as_ref(),
            ),
        ] {
            if let Some(Err(why)) = address.map(|address| notify::check_address(address)) {
                violations.add(field, why);
            }
        }
        let language = service
            .custom_properties
            .as_ref()
            .and_then(|Json(Any(properties))| properties.get(notify::LANGUAGE));
        if language.is_some_and(|l| l.as_str().and_then(mail::Language::of).is_none()) {
            violations.add(
                format!("customProperties.{}", notify::LANGUAGE),
                "must be en or cs",
            );
        }
        if service.sku.0.capacity < 0 {
            violations.add("sku.capacity", "must not be negative");
        }
        check_tags(service.tags.as_ref(), violations);
        for (at, host) in service
            .hostname_configurations
            .iter()
            .flat_map(|Json(hosts)| hosts)
            .enumerate()
        {
            if host.host_name.is_empty() || host.host_name.contains(['/', ' ', ':']) {
                violations.add(
                    format!("hostnameConfigurations[{at}].hostName"),
                    "must be a host name",
                );
            }
        }
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ServiceContract>,
        new: &'a mut ServiceContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // The contract of `restore`: "all other properties will be ignored".
            if let Some(old) = old
                && new.restore == Some(true)
            {
                *new = ServiceContract {
                    restore: None,
                    ..old.clone()
                };
                return Ok(());
            }
            if old.is_none() {
                if restored(cx, new.restore == Some(true)).await? {
                    cx.restored = true;
                    return Ok(());
                }
                new.provisioning_state = "Created".into();
                new.target_provisioning_state = "Succeeded".into();
                new.created_at_utc = Some(cx.now);
                new.platform_version = "stv2.1".into();
                new.gateway_hostname = free_loopback(cx).await?;
            }
            let settings = cx.engine.settings();
            let gateway_url = settings.gateway_url(&cx.name, &new.gateway_hostname);
            let host = gateway_url.split_once("://").map_or("", |(_, rest)| rest);
            let host = host.split(':').next().unwrap_or_default().to_owned();
            new.gateway_url = Some(gateway_url);
            if new
                .hostname_configurations
                .as_ref()
                .is_none_or(|Json(hosts)| hosts.is_empty())
            {
                let mut rest = serde_json::Map::new();
                for (name, value) in [
                    ("negotiateClientCertificate", json!(false)),
                    ("defaultSslBinding", json!(true)),
                    ("certificateSource", json!("BuiltIn")),
                ] {
                    rest.insert(name.to_owned(), value);
                }
                new.hostname_configurations = Some(Json(vec![HostnameConfiguration {
                    r#type: "Proxy".into(),
                    host_name: host,
                    rest,
                }]));
            }
            own_hosts(cx, new).await?;
            take_certificates(new)?;
            new.developer_portal_url = Some(settings.portal_url(&cx.name));
            new.portal_url = Some(format!("{}/publisher", settings.management_url));
            new.management_api_url = Some(settings.management_url.clone());
            Ok(())
        })
    }

    /// A new service is filled by a job, so that the reply does not wait and a crash does not leave half a service.
    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ServiceContract>,
        _: &'a ServiceContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if old.is_some() {
                // Mails of its workspaces are sent as the service's.
                sqlx::query(
                    "UPDATE services w SET publisher_email = s.publisher_email, publisher_name = s.publisher_name, \
                     notification_sender_email = s.notification_sender_email, custom_properties = s.custom_properties \
                     FROM services s WHERE s.id = $1 AND w.workspace_of = s.id",
                )
                .bind(cx.id)
                .execute(&mut *cx.conn)
                .await?;
                return email_template::translate(cx).await;
            }
            let operation = cx.engine.new_id();
            sqlx::query(
                "INSERT INTO long_operations (id, service_id, kind, status, started_at) \
                 VALUES ($1, $2, 'activate_service', 'InProgress', $3)",
            )
            .bind(operation)
            .bind(cx.service.id)
            .bind(cx.now)
            .execute(&mut *cx.conn)
            .await?;
            let payload = Activation {
                service_id: cx.service.id,
                operation_id: operation,
            };
            jobs::enqueue::<ActivateService>(
                cx.conn.open().await?,
                &payload,
                jobs::Options::default(),
            )
            .await
            .map_err(Error::internal)?;
            cx.accepted = Some(operation);
            Ok(())
        })
    }

    /// The row stays for 48 hours, invisible to everything but restoring and purging.
    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a ServiceContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            sqlx::query(
                "UPDATE services SET deleted_at = $2, rev = rev + 1 WHERE id = $1 OR workspace_of = $1",
            )
            .bind(cx.id)
            .bind(cx.now)
            .execute(&mut *cx.conn)
            .await?;
            Ok(())
        })
    }
}

/// Certificate and key of a host, both in PEM.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct HostCertificate {
    /// Chain, leaf first.
    pub chain_pem: String,
    /// Private key.
    pub key_pem: String,
}

impl std::fmt::Debug for HostCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostCertificate(redacted)")
    }
}

/// Certificates by host name in lower case.
pub type HostCertificates = BTreeMap<String, HostCertificate>;

/// Reads what `hostname_certificates` holds.
///
/// # Errors
/// With a sentence when it is something else.
pub fn host_certificates(text: &str) -> std::result::Result<HostCertificates, String> {
    serde_json::from_str(text).map_err(|error| format!("hostname_certificates: {error}"))
}

/// Takes the files of certificates out of the host names, which are shown, into their sealed place. A host that comes without a file
/// keeps the certificate that it has.
fn take_certificates(new: &mut ServiceContract) -> Result<()> {
    let mut known = match &new.hostname_certificates {
        Some(secret) => host_certificates(secret.expose()).map_err(Error::internal)?,
        None => HostCertificates::default(),
    };
    let mut kept = HostCertificates::default();
    let mut violations = Violations::default();
    let hosts = new
        .hostname_configurations
        .iter_mut()
        .flat_map(|Json(hosts)| hosts);
    for (at, host) in hosts.enumerate() {
        let name = host.host_name.to_lowercase();
        let password = host.rest.remove("certificatePassword");
        let password = password
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default();
        let file = host
            .rest
            .remove("encodedCertificate")
            .filter(|file| !file.is_null());
        if host.rest.get("keyVaultId").is_some_and(|id| !id.is_null()) {
            violations.add(
                format!("hostnameConfigurations[{at}].keyVaultId"),
                "is not supported by this version of Portico: give the file as encodedCertificate",
            );
            continue;
        }
        let Some(file) = file else {
            match known.remove(&name) {
                Some(certificate) if host.r#type == "Proxy" => {
                    kept.insert(name, certificate);
                }
                _ => {
                    host.rest.remove("certificate");
                }
            }
            continue;
        };
        let read = crate::certificate::decode(file.as_str().unwrap_or_default(), password)
            .and_then(|bundle| {
                let facts = bundle.facts().map_err(|error| error.to_string())?;
                let key_pem = bundle.key_pem().ok_or("holds no private key")?;
                Ok((facts, bundle.chain_pem(), key_pem))
            });
        match read {
            Ok((facts, chain_pem, key_pem)) => {
                host.rest
                    .insert("certificateSource".to_owned(), json!("Custom"));
                host.rest.insert(
                    "certificate".to_owned(),
                    json!({"expiry": facts.not_after, "thumbprint": facts.thumbprint, "subject": facts.subject}),
                );
                if host.r#type == "Proxy" {
                    kept.insert(name, HostCertificate { chain_pem, key_pem });
                }
            }
            Err(why) => violations.add(
                format!("hostnameConfigurations[{at}].encodedCertificate"),
                why,
            ),
        }
    }
    violations.into_result()?;
    new.hostname_certificates = if kept.is_empty() {
        None
    } else {
        let text = serde_json::to_string(&kept).map_err(Error::internal)?;
        Some(Secret::new(text))
    };
    Ok(())
}

/// Whether a deleted service of this name was brought back; without `restore` its name is refused.
async fn restored(cx: &mut Cx<'_>, restore: bool) -> Result<bool> {
    let deleted: Option<(uuid::Uuid, bool)> = sqlx::query_as(
        "SELECT id, starts_with(lower($2), lower('/subscriptions/' || subscription_id || '/resourceGroups/' || resource_group || '/')) \
         FROM services WHERE lower(name) = lower($1) AND deleted_at IS NOT NULL FOR NO KEY UPDATE",
    )
    .bind(&cx.name)
    .bind(&cx.service.path)
    .fetch_optional(&mut *cx.conn)
    .await?;
    match deleted {
        None => Ok(false),
        Some((id, true)) if restore => {
            sqlx::query("UPDATE services SET deleted_at = NULL WHERE id = $1 OR workspace_of = $1")
                .bind(id)
                .execute(&mut *cx.conn)
                .await?;
            cx.service.id = id;
            cx.changed("services", id);
            Ok(true)
        }
        Some(_) => Err(Error::SoftDeleted(cx.name.clone())),
    }
}

/// Tags are texts by name.
pub(crate) fn check_tags(tags: Option<&Json<Any>>, violations: &mut Violations) {
    let is_sound = |Json(Any(tags)): &Json<Any>| {
        tags.as_object()
            .is_some_and(|tags| tags.values().all(Value::is_string))
    };
    if !tags.is_none_or(is_sound) {
        violations.add("tags", "must be an object of texts");
    }
}

/// Which of these hosts, in lower case, lead to another service than `owner`, or are those of another connection of a gateway than
/// this one that does not lead there. Whoever asks at the same time waits, and then sees what was given out.
///
/// # Errors
/// When the database fails.
pub(crate) async fn taken_hosts(
    cx: &mut Cx<'_>,
    owner: Option<uuid::Uuid>,
    connection: Option<uuid::Uuid>,
    hosts: &[String],
) -> Result<Vec<String>> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('service host names', 0))")
        .execute(&mut *cx.conn)
        .await?;
    Ok(sqlx::query_scalar(
        "SELECT DISTINCT host FROM unnest($3::text[]) host WHERE EXISTS ( \
           SELECT FROM services s WHERE s.id IS DISTINCT FROM $1 AND ( \
             s.gateway_hostname = host OR lower(s.name) || '.localhost' = host OR EXISTS ( \
               SELECT FROM jsonb_array_elements(s.hostname_configurations) c \
               WHERE c->>'type' = 'Proxy' AND lower(c->>'hostName') = host))) \
         OR EXISTS ( \
           SELECT FROM config_connections c, unnest(c.hostnames) own WHERE c.id IS DISTINCT FROM $2 \
           AND (c.source_service_id IS NULL OR c.source_service_id IS DISTINCT FROM $1) AND lower(own) = host) ORDER BY host",
    )
    .bind(owner)
    .bind(connection)
    .bind(hosts)
    .fetch_all(&mut *cx.conn)
    .await?)
}

/// Whether Portico gives this host, in lower case, out itself, also to services that are still to come.
pub(crate) fn is_reserved(settings: &engine::Settings, host: &str) -> bool {
    let domain = settings.gateway_domain.as_deref().map(str::to_lowercase);
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
        || domain.is_some_and(|domain| {
            host.strip_suffix(&domain)
                .is_some_and(|rest| rest.ends_with('.'))
        })
}

/// A gateway host name leads to one service, so nobody can take another service's calls and keys.
async fn own_hosts(cx: &mut Cx<'_>, new: &ServiceContract) -> Result<()> {
    let hosts: Vec<String> = new
        .hostname_configurations
        .iter()
        .flat_map(|Json(hosts)| hosts)
        .filter(|host| host.r#type == "Proxy")
        .map(|host| host.host_name.to_lowercase())
        .collect();
    let service = cx.service.id;
    let taken = taken_hosts(cx, Some(service), None, &hosts).await?;
    let name = cx.name.to_lowercase();
    let own = [
        Some(new.gateway_hostname.clone()),
        Some(format!("{name}.localhost")),
        cx.engine
            .settings()
            .gateway_domain
            .as_ref()
            .map(|domain| format!("{name}.{}", domain.to_lowercase())),
    ];
    let mut violations = Violations::default();
    for (at, host) in new
        .hostname_configurations
        .iter()
        .flat_map(|Json(hosts)| hosts)
        .enumerate()
    {
        let name = host.host_name.to_lowercase();
        let is_own = own.iter().flatten().any(|own| *own == name);
        if host.r#type == "Proxy"
            && (taken.contains(&name) || (!is_own && is_reserved(cx.engine.settings(), &name)))
        {
            violations.add(
                format!("hostnameConfigurations[{at}].hostName"),
                format!(
                    "names the gateway host '{}', which this service cannot have",
                    host.host_name
                ),
            );
        }
    }
    violations.into_result()
}

/// Loopback addresses that are tried before giving up; a collision needs another service with the same hash.
const PROBES: u32 = 64;

/// A loopback address that no other service has: derived from the name, so that a service that is
/// created again keeps its gateway URL.
///
/// On Linux all of 127.0.0.0/8 answers, in every client, without DNS or hosts file.
async fn free_loopback(cx: &mut Cx<'_>) -> Result<String> {
    for probe in 0..PROBES {
        let address = loopback(&cx.name, probe);
        let taken: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM services WHERE gateway_hostname = $1)")
                .bind(&address)
                .fetch_one(&mut *cx.conn)
                .await?;
        if !taken {
            return Ok(address);
        }
    }
    Err(Error::Conflict(
        "No gateway address is free for this service name; choose another name.".into(),
    ))
}

/// `127.x.y.z` with x ≥ 1, so that 127.0.0.1 and its neighbours stay for other things.
fn loopback(name: &str, probe: u32) -> String {
    let text = format!("{}#{probe}", name.to_lowercase());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref();
    format!(
        "127.{}.{}.{}",
        1 + u16::from(bytes[0]) % 254,
        bytes[1],
        1 + u16::from(bytes[2]) % 254
    )
}

/// Writes the installation's present addresses into every service and every connection of a gateway that prints others: a new domain,
/// port or portal URL shows after the next start. Returns how many services changed.
///
/// # Errors
/// When the database fails.
pub async fn refresh_addresses(engine: &engine::Engine) -> Result<usize> {
    let services: Vec<(uuid::Uuid, String, String)> = sqlx::query_as(
        "SELECT id, name, gateway_hostname FROM services WHERE workspace_of IS NULL",
    )
    .fetch_all(&engine.pool)
    .await?;
    let settings = engine.settings();
    let mut changed = 0;
    for (id, name, loopback) in services {
        let done = sqlx::query(
            "UPDATE services SET gateway_url = $2, developer_portal_url = $3, portal_url = $4, management_api_url = $5, \
             rev = rev + 1, updated_at = $6 WHERE id = $1 AND (gateway_url, developer_portal_url, portal_url, management_api_url) \
             IS DISTINCT FROM ($2, $3, $4, $5)",
        )
        .bind(id)
        .bind(settings.gateway_url(&name, &loopback))
        .bind(settings.portal_url(&name))
        .bind(format!("{}/publisher", settings.management_url))
        .bind(&settings.management_url)
        .bind(engine.now())
        .execute(&engine.pool)
        .await?;
        changed += usize::from(done.rows_affected() > 0);
    }
    sqlx::query(
        "UPDATE config_connections c SET default_hostname = split_part(split_part(s.gateway_url, '://', 2), ':', 1), rev = c.rev + 1, \
         updated_at = $1 FROM services s WHERE s.id = c.source_service_id \
         AND c.default_hostname IS DISTINCT FROM split_part(split_part(s.gateway_url, '://', 2), ':', 1)",
    )
    .bind(engine.now())
    .execute(&engine.pool)
    .await?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::loopback;

    #[test]
    fn a_service_keeps_its_address_whatever_the_case_of_its_name() {
        assert_eq!(loopback("Demo", 0), loopback("demo", 0));
        assert_ne!(loopback("demo", 0), loopback("demo", 1));
        for name in ["a", "b", "demoazureml"] {
            let address: std::net::Ipv4Addr = loopback(name, 0).parse().expect("an address");
            assert!(
                address.is_loopback() && address.octets()[1] >= 1,
                "{address}"
            );
        }
    }
}
