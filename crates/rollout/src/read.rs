//! From rows to the gateway's entities: one statement per table.

use crate::Error;
use engine::{Codec, PgConnection, Settings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use snapshot::entity::{
    Api, Backend, Cache, Certificate, CircuitBreaker, Correlation, Credentials, Diagnostic, Entity,
    Fragment, Gateway, Group, KeyNames, Kind, LoggedMessage, Logger, Masking, NamedValue,
    Operation, Parameter, Place, Policy, PolicyScope, PoolMember, Product, Representation,
    Response, Schema, Service, Subscription, SubscriptionScope, TlsHost, User, Version,
    VersionScheme,
};
use sqlx::{FromRow, Row as _, postgres::PgRow};
use uuid::Uuid;

/// The tables that the gateway depends on.
pub(crate) const TABLES: &[&str] = &[
    "services",
    "apis",
    "api_operations",
    "products",
    "subscriptions",
    "users",
    "service_policies",
    "product_policies",
    "api_policies",
    "operation_policies",
    "named_values",
    "backends",
    "policy_fragments",
    "schemas",
    "api_schemas",
    "loggers",
    "gateways",
    "certificates",
    "diagnostics",
    "api_diagnostics",
    "caches",
];

/// Which entity the rows of a table become.
pub(crate) fn kind(table: &str) -> Kind {
    match table {
        "services" => Kind::Service,
        "apis" => Kind::Api,
        "api_operations" => Kind::Operation,
        "products" => Kind::Product,
        "subscriptions" => Kind::Subscription,
        "users" => Kind::User,
        "named_values" => Kind::NamedValue,
        "backends" => Kind::Backend,
        "policy_fragments" => Kind::Fragment,
        "schemas" | "api_schemas" => Kind::Schema,
        "loggers" => Kind::Logger,
        "gateways" => Kind::Gateway,
        "certificates" => Kind::Certificate,
        "diagnostics" | "api_diagnostics" => Kind::Diagnostic,
        "caches" => Kind::Cache,
        _ => Kind::Policy,
    }
}

pub(crate) struct Reader {
    pub codec: Codec,
    pub settings: Settings,
}

/// A text or array of a row in the spelling of serde.
fn spelled<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|e| Error::Row {
        what: what.to_owned(),
        problem: e.to_string(),
    })
}

#[derive(FromRow)]
struct PolicyRow {
    id: Uuid,
    service_id: Uuid,
    owner_id: Uuid,
    value: String,
    format: String,
}

impl Reader {
    /// Rows of a table, all or by id. Rows that do not exist (any more) are absent from the result.
    pub async fn read(
        &self,
        connection: &mut PgConnection,
        table: &str,
        ids: Option<&[Uuid]>,
    ) -> Result<Vec<Entity>, Error> {
        let select = match table {
            "services" => {
                "SELECT x.id, x.name, x.location, x.gateway_hostname, x.gateway_url, x.hostname_configurations, \
                 x.hostname_certificates, x.developer_portal_url, x.disable_gateway, \
                 ARRAY(SELECT lower(h) FROM config_connections c, unnest(c.hostnames) h WHERE c.source_service_id = x.id) AS connected_hosts, \
                 (SELECT i.invalidated_at FROM debug_invalidations i WHERE i.service_id = x.id) AS debug_invalidated_at FROM services x \
                 WHERE x.deleted_at IS NULL AND x.workspace_of IS NULL"
            }
            "apis" => {
                "SELECT x.id, x.parent_id, x.name, x.display_name, x.path, x.service_url, x.protocols, x.subscription_required, \
                 x.subscription_key_parameter_names, x.type, x.api_revision, x.is_current, x.root_id, x.api_version, v.versioning_scheme, \
                 v.version_query_name, v.version_header_name FROM apis x LEFT JOIN api_version_sets v ON v.parent_id = x.parent_id \
                 AND lower(v.name) = lower(regexp_replace(x.api_version_set_id, '^.*/', '')) WHERE true"
            }
            "api_operations" => {
                "SELECT x.id, x.parent_id, a.parent_id AS service_id, x.name, x.display_name, x.method, x.url_template, x.template_parameters, \
                 x.request, x.responses \
                 FROM api_operations x JOIN apis a ON a.id = x.parent_id WHERE true"
            }
            "products" => {
                "SELECT x.id, x.parent_id, x.name, x.display_name, x.subscription_required, x.approval_required, x.subscriptions_limit, x.state, \
                 ARRAY(SELECT l.api_id FROM product_apis l WHERE l.product_id = x.id ORDER BY 1) AS api_ids FROM products x WHERE true"
            }
            "subscriptions" => {
                "SELECT x.id, x.parent_id, x.name, x.display_name, x.state, x.owner_id, x.scope_api_id, x.scope_product_id, x.primary_digest, \
                 x.secondary_digest, x.allow_tracing, x.created_date, x.start_date, x.end_date FROM subscriptions x WHERE true"
            }
            "users" => {
                "SELECT x.id, x.parent_id, x.name, x.email, x.first_name, x.last_name, x.state, x.note, x.registration_date, \
                 coalesce((SELECT jsonb_agg(jsonb_build_object('name', g.name, 'display_name', g.display_name) ORDER BY g.name) \
                 FROM group_users m JOIN groups g ON g.id = m.group_id WHERE m.user_id = x.id), '[]') AS groups FROM users x WHERE true"
            }
            "service_policies" => {
                "SELECT x.id, x.parent_id AS service_id, x.parent_id AS owner_id, x.value, x.format FROM service_policies x WHERE true"
            }
            "product_policies" => {
                "SELECT x.id, p.parent_id AS service_id, x.parent_id AS owner_id, x.value, x.format \
                 FROM product_policies x JOIN products p ON p.id = x.parent_id WHERE true"
            }
            "api_policies" => {
                "SELECT x.id, a.parent_id AS service_id, x.parent_id AS owner_id, x.value, x.format \
                 FROM api_policies x JOIN apis a ON a.id = x.parent_id WHERE true"
            }
            "operation_policies" => {
                "SELECT x.id, a.parent_id AS service_id, x.parent_id AS owner_id, x.value, x.format FROM operation_policies x \
                 JOIN api_operations o ON o.id = x.parent_id JOIN apis a ON a.id = o.parent_id WHERE true"
            }
            "named_values" => {
                "SELECT x.id, x.parent_id, x.display_name, x.value, x.secret, x.secret_value FROM named_values x \
                 WHERE (x.value IS NOT NULL OR x.secret_value IS NOT NULL)"
            }
            "backends" => {
                "SELECT x.id, x.parent_id, x.name, x.url, x.credentials, x.tls, x.circuit_breaker, x.pool, x.type FROM backends x WHERE true"
            }
            "policy_fragments" => {
                "SELECT x.id, x.parent_id AS service_id, x.parent_id AS owner_id, x.value, x.format, x.name FROM policy_fragments x WHERE true"
            }
            "schemas" => {
                "SELECT x.id, x.parent_id AS service_id, NULL::uuid AS api_id, x.name, 'application/' || x.schema_type AS content_type, \
                 x.value, x.document FROM schemas x WHERE true"
            }
            "api_schemas" => {
                "SELECT x.id, a.parent_id AS service_id, x.parent_id AS api_id, x.name, x.content_type, x.document ->> 'value' AS value, \
                 x.document FROM api_schemas x JOIN apis a ON a.id = x.parent_id WHERE true"
            }
            "loggers" => {
                "SELECT x.id, x.parent_id, x.name, x.logger_type, x.credentials, x.sealed_credentials FROM loggers x WHERE true"
            }
            "gateways" => {
                "SELECT x.id, x.parent_id, x.name, sha256(x.primary_key || x.secondary_key) AS keys, \
                 ARRAY(SELECT l.api_id FROM gateway_apis l WHERE l.gateway_id = x.id ORDER BY 1) AS api_ids, \
                 ARRAY(SELECT h.hostname FROM gateway_hostname_configurations h WHERE h.parent_id = x.id AND h.hostname IS NOT NULL ORDER BY 1) \
                 AS hostnames, \
                 coalesce((SELECT jsonb_agg(jsonb_build_object('host', lower(h.hostname), \
                   'certificate', regexp_replace(h.certificate_id, '^.*/', ''), 'is_default', h.hostname = '*', \
                   'negotiate_client_certificate', coalesce(h.negotiate_client_certificate, false), \
                   'refuses_http2', NOT coalesce(h.http2_enabled, true)) ORDER BY h.name) FROM gateway_hostname_configurations h \
                   WHERE h.parent_id = x.id AND h.hostname IS NOT NULL), '[]') AS tls_hosts, \
                 (SELECT coalesce(array_agg(c.name ORDER BY c.name) FILTER (WHERE c.is_trusted), '{}') \
                   FROM gateway_certificate_authorities c WHERE c.parent_id = x.id HAVING count(*) > 0) AS authorities \
                 FROM gateways x WHERE true"
            }
            "caches" => {
                "SELECT x.id, x.parent_id, x.name, x.use_from_location, x.connection_string, x.sealed_connection FROM caches x WHERE true"
            }
            "diagnostics" => {
                "SELECT x.id, x.parent_id AS service_id, NULL::uuid AS api_id, x.name, l.name AS logger, x.always_log, x.sampling, x.frontend, \
                 x.backend, x.log_client_ip, x.http_correlation_protocol, x.verbosity, x.operation_name_format \
                 FROM diagnostics x JOIN loggers l ON l.id = x.logger_id WHERE true"
            }
            "api_diagnostics" => {
                "SELECT x.id, a.parent_id AS service_id, x.parent_id AS api_id, x.name, l.name AS logger, x.always_log, x.sampling, x.frontend, \
                 x.backend, x.log_client_ip, x.http_correlation_protocol, x.verbosity, x.operation_name_format \
                 FROM api_diagnostics x JOIN apis a ON a.id = x.parent_id JOIN loggers l ON l.id = x.logger_id WHERE true"
            }
            "certificates" => {
                "SELECT x.id, x.parent_id, x.name, x.thumbprint, x.chain_pem, x.key_pem FROM certificates x WHERE true"
            }
            other => {
                return Err(Error::Row {
                    what: other.to_owned(),
                    problem: "not a table of the gateway".into(),
                });
            }
        };
        let rows = match ids {
            Some(ids) => {
                // `= ANY` is planned anew for each number of ids, which takes longer than the reading.
                let sql = format!("{select} AND x.id IN (SELECT unnest($1::uuid[]))");
                sqlx::query(sqlx::AssertSqlSafe(sql))
                    .bind(ids)
                    .fetch_all(connection)
                    .await?
            }
            None => sqlx::query(select).fetch_all(connection).await?,
        };
        rows.iter().map(|row| self.entity(table, row)).collect()
    }

    fn entity(&self, table: &str, row: &PgRow) -> Result<Entity, Error> {
        let id: Uuid = row.try_get("id")?;
        let what = format!("{table} {id}");
        Ok(match table {
            "services" => Entity::Service(self.service(row, &what)?),
            "apis" => Entity::Api(api(row, &what)?),
            "api_operations" => Entity::Operation(operation(row)?),
            "products" => Entity::Product(Product {
                id,
                service_id: row.try_get("parent_id")?,
                name: row.try_get("name")?,
                display_name: row.try_get("display_name")?,
                subscription_required: row.try_get("subscription_required")?,
                is_published: row.try_get::<String, _>("state")? == "published",
                approval_required: row
                    .try_get::<Option<bool>, _>("approval_required")?
                    .unwrap_or_default(),
                subscriptions_limit: row
                    .try_get::<Option<i32>, _>("subscriptions_limit")?
                    .and_then(|limit| u32::try_from(limit).ok()),
                api_ids: row.try_get("api_ids")?,
            }),
            "subscriptions" => Entity::Subscription(subscription(row, &what)?),
            "users" => Entity::User(User {
                id,
                service_id: row.try_get("parent_id")?,
                name: row.try_get("name")?,
                email: row.try_get("email")?,
                first_name: row.try_get("first_name")?,
                last_name: row.try_get("last_name")?,
                is_blocked: row.try_get::<String, _>("state")? == "blocked",
                note: row.try_get("note")?,
                registered_at: row.try_get("registration_date")?,
                groups: spelled::<Vec<Group>>(&what, row.try_get("groups")?)?,
            }),
            "named_values" => {
                let secret: bool = row.try_get("secret")?;
                let sealed: Option<Vec<u8>> = row.try_get("secret_value")?;
                let value = match sealed {
                    Some(sealed) if secret => self.open(&what, &sealed)?,
                    _ => row
                        .try_get::<Option<String>, _>("value")?
                        .unwrap_or_default(),
                };
                Entity::NamedValue(NamedValue {
                    id,
                    service_id: row.try_get("parent_id")?,
                    display_name: row.try_get("display_name")?,
                    value,
                    secret,
                })
            }
            "backends" => Entity::Backend(backend(row)?),
            "policy_fragments" => {
                let Policy {
                    id,
                    service_id,
                    xml,
                    format,
                    ..
                } = policy(table, row, &what)?;
                Entity::Fragment(Fragment {
                    id,
                    service_id,
                    name: row.try_get("name")?,
                    xml,
                    format,
                })
            }
            "schemas" | "api_schemas" => {
                // A text where there is one, else the types of an OpenAPI document.
                let text: Option<String> = row.try_get("value")?;
                let document: Option<Value> = row.try_get("document")?;
                Entity::Schema(Schema {
                    id,
                    service_id: row.try_get("service_id")?,
                    api_id: row.try_get("api_id")?,
                    name: row.try_get("name")?,
                    content_type: row.try_get("content_type")?,
                    document: text
                        .or_else(|| document.map(|document| document.to_string()))
                        .unwrap_or_default(),
                })
            }
            "loggers" => Entity::Logger(Logger {
                id,
                service_id: row.try_get("parent_id")?,
                name: row.try_get("name")?,
                logger_type: spelled(&what, Value::String(row.try_get("logger_type")?))?,
                url: self.logger_url(row, &what)?,
            }),
            "gateways" => {
                let name: String = row.try_get("name")?;
                let keys: Vec<u8> = row.try_get("keys")?;
                Entity::Gateway(Gateway {
                    id,
                    service_id: row.try_get("parent_id")?,
                    serves_all: kinds::gateway::is_managed(&name),
                    name,
                    api_ids: row.try_get("api_ids")?,
                    hostnames: row.try_get("hostnames")?,
                    tls_hosts: spelled(&what, row.try_get("tls_hosts")?)?,
                    authorities: row.try_get("authorities")?,
                    keys: keys.as_slice().try_into().map_err(|_| Error::Row {
                        what: what.clone(),
                        problem: "no digest of keys".to_owned(),
                    })?,
                })
            }
            "certificates" => Entity::Certificate(Certificate {
                id,
                service_id: row.try_get("parent_id")?,
                name: row.try_get("name")?,
                thumbprint: row.try_get("thumbprint")?,
                chain_pem: row.try_get("chain_pem")?,
                key_pem: row
                    .try_get::<Option<Vec<u8>>, _>("key_pem")?
                    .map(|sealed| self.open(&what, &sealed))
                    .transpose()?,
            }),
            "caches" => Entity::Cache(Cache {
                id,
                service_id: row.try_get("parent_id")?,
                name: row.try_get("name")?,
                location: row.try_get("use_from_location")?,
                connection: match row.try_get::<Option<Vec<u8>>, _>("sealed_connection")? {
                    Some(sealed) => self.open(&what, &sealed)?,
                    None => row.try_get("connection_string")?,
                },
            }),
            "diagnostics" | "api_diagnostics" => Entity::Diagnostic(diagnostic(row, &what)?),
            _ => Entity::Policy(policy(table, row, &what)?),
        })
    }

    /// Where a logger's messages are posted to: the endpoint, or the connection string, that is a URL of HTTP. The protocol of
    /// event hubs is another one; without a URL the messages are in the gateway's own log.
    fn logger_url(&self, row: &PgRow, what: &str) -> Result<Option<String>, Error> {
        let public: Option<Value> = row.try_get("credentials")?;
        let sealed: Option<Vec<u8>> = row.try_get("sealed_credentials")?;
        let wrong = |problem: String| Error::Row {
            what: what.to_owned(),
            problem,
        };
        let secrets: Value = match sealed {
            None => Value::Null,
            Some(sealed) => {
                let text = self
                    .codec
                    .open(&sealed)
                    .map_err(|e| wrong(format!("{e:?}")))?;
                serde_json::from_str(text.expose()).map_err(|e| wrong(e.to_string()))?
            }
        };
        let public = public.unwrap_or_default();
        Ok([&public["endpointAddress"], &secrets["connectionString"]]
            .into_iter()
            .filter_map(Value::as_str)
            .find(|url| url.starts_with("http://") || url.starts_with("https://"))
            .map(str::to_owned))
    }

    fn open(&self, what: &str, sealed: &[u8]) -> Result<String, Error> {
        self.codec
            .open(sealed)
            .map(|secret| secret.expose().to_owned())
            .map_err(|e| Error::Row {
                what: what.to_owned(),
                problem: format!("{e:?}"),
            })
    }

    /// TLS of a service's custom hosts.
    fn tls_hosts(&self, what: &str, row: &PgRow, hosts: &Value) -> Result<Vec<TlsHost>, Error> {
        let certificates = match row.try_get::<Option<Vec<u8>>, _>("hostname_certificates")? {
            Some(sealed) => kinds::service::host_certificates(&self.open(what, &sealed)?).map_err(
                |problem| Error::Row {
                    what: what.to_owned(),
                    problem,
                },
            )?,
            None => Default::default(),
        };
        Ok(hosts
            .as_array()
            .into_iter()
            .flatten()
            .filter(|host| host["type"] == "Proxy")
            .filter_map(|host| {
                let name = host["hostName"].as_str()?.to_lowercase();
                let certificate = certificates.get(&name).cloned().unwrap_or_default();
                Some(TlsHost {
                    host: name,
                    chain_pem: certificate.chain_pem,
                    key_pem: certificate.key_pem,
                    certificate: None,
                    refuses_http2: false,
                    negotiate_client_certificate: host["negotiateClientCertificate"] == true,
                    is_default: host["defaultSslBinding"] == true,
                })
            })
            .collect())
    }

    fn service(&self, row: &PgRow, what: &str) -> Result<Service, Error> {
        let name: String = row.try_get("name")?;
        let lower = name.to_lowercase();
        let loopback: String = row.try_get("gateway_hostname")?;
        let mut hostnames = vec![loopback, format!("{lower}.localhost")];
        if let Some(domain) = &self.settings.gateway_domain {
            hostnames.push(format!("{lower}.{domain}"));
        }
        let custom: Option<Value> = row.try_get("hostname_configurations")?;
        for host in custom.iter().filter_map(Value::as_array).flatten() {
            if let (Some("Proxy"), Some(host)) = (host["type"].as_str(), host["hostName"].as_str())
            {
                hostnames.push(host.to_lowercase());
            }
        }
        hostnames.extend(row.try_get::<Vec<String>, _>("connected_hosts")?);
        hostnames.sort();
        hostnames.dedup();
        if row.try_get::<Option<bool>, _>("disable_gateway")? == Some(true) {
            // Without a host nothing is served, and all is still there when the gateway is enabled again. Gateways apart go on.
            hostnames.clear();
        }
        let portal: Option<String> = row.try_get("developer_portal_url")?;
        let origin = |url: String| {
            let (scheme, rest) = url.split_once("://")?;
            Some(format!("{scheme}://{}", rest.split('/').next()?))
        };
        tracing::debug!(what, ?hostnames, "service read");
        let tls_hosts = self.tls_hosts(what, row, &custom.unwrap_or_default())?;
        Ok(Service {
            id: row.try_get("id")?,
            name,
            hostnames,
            portal_origins: portal.and_then(origin).into_iter().collect(),
            region: row.try_get("location")?,
            tls_hosts,
            gateway: String::new(),
            authorities: None,
            debug_invalidated_at: row.try_get("debug_invalidated_at")?,
        })
    }
}

fn api(row: &PgRow, what: &str) -> Result<Api, Error> {
    let kind: String = row.try_get("type")?;
    Ok(Api {
        id: row.try_get("id")?,
        service_id: row.try_get("parent_id")?,
        root_id: row.try_get("root_id")?,
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        path: row.try_get("path")?,
        service_url: row.try_get("service_url")?,
        protocols: spelled(what, row.try_get("protocols")?)?,
        subscription_required: row.try_get("subscription_required")?,
        key_names: spelled::<KeyNames>(what, row.try_get("subscription_key_parameter_names")?)?,
        api_type: spelled(what, Value::String(kind))?,
        version: version(row)?,
        revision: row.try_get("api_revision")?,
        is_current: row.try_get("is_current")?,
    })
}

fn diagnostic(row: &PgRow, what: &str) -> Result<Diagnostic, Error> {
    let json = |column: &str| -> Result<Value, Error> {
        Ok(row.try_get::<Option<Value>, _>(column)?.unwrap_or_default())
    };
    let word = |column: &str| row.try_get::<Option<String>, _>(column);
    let (sampling, frontend, backend) = (json("sampling")?, json("frontend")?, json("backend")?);
    Ok(Diagnostic {
        id: row.try_get("id")?,
        service_id: row.try_get("service_id")?,
        api_id: row.try_get("api_id")?,
        name: row.try_get::<String, _>("name")?.to_lowercase(),
        logger: row.try_get("logger")?,
        always_logs_errors: word("always_log")?.is_some(),
        percentage: sampling["percentage"].as_f64(),
        verbosity: match word("verbosity")? {
            Some(text) => spelled(what, Value::String(text))?,
            None => Default::default(),
        },
        logs_client_ip: row
            .try_get::<Option<bool>, _>("log_client_ip")?
            .unwrap_or_default(),
        correlation: word("http_correlation_protocol")?
            .map(|text| spelled::<Correlation>(what, Value::String(text)))
            .transpose()?,
        names_by_url: word("operation_name_format")?.as_deref() == Some("Url"),
        frontend_request: logged(what, &frontend["request"])?,
        frontend_response: logged(what, &frontend["response"])?,
        backend_request: logged(what, &backend["request"])?,
        backend_response: logged(what, &backend["response"])?,
    })
}

fn logged(what: &str, message: &Value) -> Result<LoggedMessage, Error> {
    let masked = |list: &Value| -> Result<Vec<(String, Masking)>, Error> {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some((one["value"].as_str()?.to_owned(), one["mode"].clone())))
            .map(|(name, mode)| match mode {
                Value::Null => Ok((name, Masking::Mask)),
                mode => Ok((name, spelled(what, mode)?)),
            })
            .collect()
    };
    Ok(LoggedMessage {
        headers: message["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        body_bytes: message["body"]["bytes"]
            .as_u64()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or_default(),
        masked_headers: masked(&message["dataMasking"]["headers"])?,
        masked_parameters: masked(&message["dataMasking"]["queryParams"])?,
    })
}

/// The version of an API that belongs to a version set.
fn version(row: &PgRow) -> Result<Option<Version>, Error> {
    let name: Option<String> = row.try_get("api_version")?;
    let parameter = |column: &str| -> Result<String, Error> {
        Ok(row
            .try_get::<Option<String>, _>(column)?
            .unwrap_or_default())
    };
    let scheme = match row
        .try_get::<Option<String>, _>("versioning_scheme")?
        .as_deref()
    {
        None => return Ok(None),
        Some("Query") => VersionScheme::Query(parameter("version_query_name")?),
        Some("Header") => VersionScheme::Header(parameter("version_header_name")?),
        Some(_) => VersionScheme::Segment,
    };
    Ok(Some(Version {
        scheme,
        name: name.unwrap_or_default(),
    }))
}

/// Names with lists of texts, as credentials hold them.
fn lists(value: &Value) -> Vec<(String, Vec<String>)> {
    let texts = |list: &Value| {
        list.as_array()
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect()
    };
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, list)| (name.clone(), texts(list)))
        .collect()
}

fn backend(row: &PgRow) -> Result<Backend, Error> {
    let json = |column: &str| -> Result<Value, Error> {
        Ok(row.try_get::<Option<Value>, _>(column)?.unwrap_or_default())
    };
    let (credentials, tls, breaker, pool) = (
        json("credentials")?,
        json("tls")?,
        json("circuit_breaker")?,
        json("pool")?,
    );
    let rule = &breaker["rules"][0];
    let condition = &rule["failureCondition"];
    let milliseconds = |value: &Value| value.as_str().and_then(duration_ms).unwrap_or_default();
    let circuit_breaker = rule.is_object().then(|| CircuitBreaker {
        failures: condition["count"].as_u64().unwrap_or(1),
        interval_ms: milliseconds(&condition["interval"]),
        trip_ms: milliseconds(&rule["tripDuration"]),
        statuses: condition["statusCodeRanges"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|range| {
                Some((
                    u16::try_from(range["min"].as_u64()?).ok()?,
                    u16::try_from(range["max"].as_u64()?).ok()?,
                ))
            })
            .collect(),
        connection_errors: condition["errorReasons"]
            .as_array()
            .is_some_and(|reasons| !reasons.is_empty()),
        accept_retry_after: rule["acceptRetryAfter"].as_bool().unwrap_or_default(),
    });
    let number = |value: &Value| {
        value
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or_default()
    };
    Ok(Backend {
        id: row.try_get("id")?,
        service_id: row.try_get("parent_id")?,
        name: row.try_get("name")?,
        url: row.try_get("url")?,
        credentials: Credentials {
            headers: lists(&credentials["header"]),
            query: lists(&credentials["query"]),
            authorization: credentials["authorization"]["scheme"]
                .as_str()
                .map(|scheme| {
                    (
                        scheme.to_owned(),
                        credentials["authorization"]["parameter"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned(),
                    )
                }),
            certificate: credentials["certificateIds"][0]
                .as_str()
                .and_then(|id| id.rsplit('/').next())
                .or_else(|| credentials["certificate"][0].as_str())
                .map(str::to_owned),
        },
        accept_any_chain: tls["validateCertificateChain"] == Value::Bool(false),
        accept_any_name: tls["validateCertificateName"] == Value::Bool(false),
        circuit_breaker,
        pool: pool["services"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|member| {
                Some(PoolMember {
                    backend: member["id"].as_str()?.rsplit('/').next()?.to_owned(),
                    priority: number(&member["priority"]),
                    weight: number(&member["weight"]),
                })
            })
            .collect(),
    })
}

/// Milliseconds of an ISO 8601 duration of days, hours, minutes and seconds, such as `PT1M30S`.
fn duration_ms(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total = 0.0;
    for (part, units) in [
        (days, [('W', 604_800.0), ('D', 86_400.0)].as_slice()),
        (time, &[('H', 3600.0), ('M', 60.0), ('S', 1.0)]),
    ] {
        let mut digits = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() || c == '.' {
                digits.push(c);
                continue;
            }
            let (_, seconds) = units.iter().find(|(unit, _)| *unit == c)?;
            total += digits.parse::<f64>().ok()? * seconds;
            digits.clear();
        }
        if !digits.is_empty() {
            return None;
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no sign is read, and no interval is that long"
    )]
    Some((total * 1000.0) as u64)
}

fn operation(row: &PgRow) -> Result<Operation, Error> {
    let request: Option<Value> = row.try_get("request")?;
    let responses: Value = row.try_get("responses")?;
    let responses = responses
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|response| {
            Some(Response {
                status_code: u16::try_from(response["statusCode"].as_i64()?).ok()?,
                representations: representations(&response["representations"]),
                headers: parameters(Place::Header, &response["headers"]).collect(),
            })
        })
        .collect();
    let templates: Value = row.try_get("template_parameters")?;
    let said = request.clone().unwrap_or_default();
    let parameters = parameters(Place::Template, &templates)
        .chain(parameters(Place::Query, &said["queryParameters"]))
        .chain(parameters(Place::Header, &said["headers"]))
        .collect();
    Ok(Operation {
        parameters,
        id: row.try_get("id")?,
        api_id: row.try_get("parent_id")?,
        service_id: row.try_get("service_id")?,
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        method: row.try_get("method")?,
        url_template: row.try_get("url_template")?,
        request: request
            .map(|request| representations(&request["representations"]))
            .unwrap_or_default(),
        responses,
    })
}

fn parameters(place: Place, list: &Value) -> impl Iterator<Item = Parameter> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(move |one| {
            Some(Parameter {
                place,
                name: one["name"].as_str()?.to_owned(),
                kind: one["type"].as_str().unwrap_or_default().to_owned(),
                required: one["required"] == true,
                values: one["values"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|value| value.as_str().map(str::to_owned))
                    .collect(),
            })
        })
}

fn representations(list: &Value) -> Vec<Representation> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    list.as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let mut examples: Vec<String> = one["examples"]
                .as_object()
                .into_iter()
                .flat_map(|examples| examples.values())
                .map(|example| text(&example["value"]))
                .collect();
            examples.extend(one["sample"].as_str().map(str::to_owned));
            Representation {
                content_type: one["contentType"].as_str().unwrap_or_default().to_owned(),
                examples,
                schema_id: one["schemaId"].as_str().map(str::to_owned),
                type_name: one["typeName"].as_str().map(str::to_owned),
            }
        })
        .collect()
}

fn subscription(row: &PgRow, what: &str) -> Result<Subscription, Error> {
    let digest = |column: &str| -> Result<[u8; 32], Error> {
        let bytes: Vec<u8> = row.try_get(column)?;
        bytes.as_slice().try_into().map_err(|_| Error::Row {
            what: what.to_owned(),
            problem: format!("{column} is no SHA-256"),
        })
    };
    let state: String = row.try_get("state")?;
    let product: Option<Uuid> = row.try_get("scope_product_id")?;
    let api: Option<Uuid> = row.try_get("scope_api_id")?;
    Ok(Subscription {
        id: row.try_get("id")?,
        service_id: row.try_get("parent_id")?,
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        state: spelled(what, Value::String(state))?,
        owner_id: row.try_get("owner_id")?,
        scope: match (product, api) {
            (Some(product), _) => SubscriptionScope::Product(product),
            (None, Some(api)) => SubscriptionScope::Api(api),
            (None, None) => SubscriptionScope::All,
        },
        primary_digest: digest("primary_digest")?,
        secondary_digest: digest("secondary_digest")?,
        allow_tracing: row
            .try_get::<Option<bool>, _>("allow_tracing")?
            .unwrap_or_default(),
        created_at: row.try_get("created_date")?,
        start_at: row.try_get("start_date")?,
        end_at: row.try_get("end_date")?,
    })
}

fn policy(table: &str, row: &PgRow, what: &str) -> Result<Policy, Error> {
    let row = PolicyRow::from_row(row)?;
    let format = match row.format.as_str() {
        "xml" => policy::Format::Xml,
        "rawxml" => policy::Format::RawXml,
        other => {
            return Err(Error::Row {
                what: what.to_owned(),
                problem: format!("unknown format {other}"),
            });
        }
    };
    Ok(Policy {
        id: row.id,
        service_id: row.service_id,
        scope: match table {
            "product_policies" => PolicyScope::Product(row.owner_id),
            "api_policies" => PolicyScope::Api(row.owner_id),
            "operation_policies" => PolicyScope::Operation(row.owner_id),
            _ => PolicyScope::Global,
        },
        xml: row.value,
        format,
    })
}

#[cfg(test)]
mod tests {
    use super::duration_ms;

    #[test]
    fn iso_durations_are_read_in_milliseconds() {
        for (text, expected) in [
            ("PT1M", Some(60_000)),
            ("PT1M30S", Some(90_000)),
            ("P1DT2H", Some(93_600_000)),
            ("PT0.5S", Some(500)),
            ("1M", None),
            ("PT5", None),
            ("PT5X", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }
}
