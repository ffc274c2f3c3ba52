//! What a new service contains (contract rules §10), created by a job in one transaction.
//!
//! The job can be killed at any step: nothing is visible before its commit, and a second run finds
//! the service activated and does nothing.

use crate::{
    api::{Api, ApiContract, ApiType, KeyNames, Protocol},
    email_template::{self, EmailTemplate},
    group::{self, Group, GroupContract},
    logger::{self, Logger, LoggerContract},
    notification::{self, Notification, NotificationContract, Recipients},
    notify,
    operation::{
        Operation, OperationContract, ParameterContract, RequestContract, ResponseContract,
    },
    policy::{ApiPolicy, Format, OperationPolicy, PolicyContract, ProductPolicy, ServicePolicy},
    portal_config::{self, PortalConfig},
    portal_setting::{self, PortalSetting},
    product::{self, Product, ProductContract},
    revision,
    subscription::{self, Subscription, SubscriptionContract},
    tenant_access::{self, TenantAccess, TenantAccessContract},
    user::{self, Identity, User, UserContract},
};
use chrono::{DateTime, Utc};
use engine::{Change, Engine, Error, Json, PgConnection, Ref, Resource, Result, Secret, sqlx};
use jobs::Attempt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Which service to fill, and which operation to finish.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Activation {
    /// The service.
    pub service_id: Uuid,
    /// The long-running operation of its creation.
    pub operation_id: Uuid,
}

/// The job.
pub struct ActivateService {
    /// Writes the rows.
    pub engine: Arc<Engine>,
}

impl jobs::Job for ActivateService {
    const NAME: &'static str = "activate_service";
    type Payload = Activation;

    async fn run(&self, payload: Activation, attempt: Attempt) -> anyhow::Result<()> {
        match activate(&self.engine, payload).await {
            Ok(changes) => {
                self.engine.after_commit(changes).await;
                Ok(())
            }
            Err(error) => {
                if attempt.is_last() {
                    give_up(&self.engine, payload).await?;
                }
                Err(error.into())
            }
        }
    }
}

/// Ends the operation after the last attempt, so that nobody polls for ever. The cause is in the job's row and the log.
async fn give_up(engine: &Engine, work: Activation) -> Result<()> {
    let mut tx = engine.pool.begin().await?;
    sqlx::query(
        "UPDATE services SET provisioning_state = 'Failed', target_provisioning_state = '', rev = rev + 1, updated_at = $2 \
         WHERE id = $1 AND provisioning_state <> 'Succeeded'",
    )
    .bind(work.service_id)
    .bind(engine.now())
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE long_operations SET status = 'Failed', error = $3, ended_at = $2 WHERE id = $1 AND status = 'InProgress'")
        .bind(work.operation_id)
        .bind(engine.now())
        .bind(engine::json!({
            "code": "ActivationFailed",
            "message": "The service could not be filled with its standard content. Delete it and create it again.",
        }))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Creates the content, marks service and operation as done, queues the welcome mail.
async fn activate(engine: &Engine, work: Activation) -> Result<Vec<Change>> {
    let mut tx = engine.pool.begin().await?;
    let service: Option<(String, String)> = sqlx::query_as(
        "SELECT publisher_email, provisioning_state FROM services WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(work.service_id)
    .fetch_optional(&mut *tx)
    .await?;
    let email = match service {
        // Purged meanwhile; its operation went with it.
        None => return Ok(Vec::new()),
        Some((_, state)) if state == "Succeeded" => return Ok(Vec::new()),
        Some((email, _)) => email,
    };
    let now = engine.now();
    let mut seed = Seed {
        engine,
        conn: &mut tx,
        now,
        service: work.service_id,
        changes: Vec::new(),
    };
    seed.content(&email).await?;
    let mut changes = seed.changes;
    notify::service_activated(engine, &mut tx, work.service_id).await?;
    sqlx::query(
        "UPDATE services SET provisioning_state = 'Succeeded', target_provisioning_state = '', rev = rev + 1, updated_at = $2 WHERE id = $1",
    )
    .bind(work.service_id)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE long_operations SET status = 'Succeeded', ended_at = $2 WHERE id = $1")
        .bind(work.operation_id)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    changes.push(Change {
        service: work.service_id,
        table: "services",
        id: work.service_id,
    });
    engine::verbs::store_changes(&mut tx, &changes).await?;
    tx.commit().await?;
    Ok(changes)
}

/// Creates rows of a service and notes them.
struct Seed<'a> {
    engine: &'a Engine,
    conn: &'a mut PgConnection,
    now: DateTime<Utc>,
    service: Uuid,
    changes: Vec<Change>,
}

const ADMINISTRATORS: &str = "Administrators is a built-in group containing the admin email account provided at the time of service creation. Its membership is managed by the system.";
const DEVELOPERS: &str = "Developers is a built-in group. Its membership is managed by the system. Signed-in users fall into this group.";
const GUESTS: &str = "Guests is a built-in group. Its membership is managed by the system. Unauthenticated users visiting the developer portal fall into this group.";

const GLOBAL_POLICY: &str = "<policies>\r\n\t<inbound />\r\n\t<backend>\r\n\t\t<forward-request />\r\n\t</backend>\r\n\t<outbound />\r\n</policies>";
const STARTER_POLICY: &str = "<policies>\r\n\t<inbound>\r\n\t\t<rate-limit calls=\"5\" renewal-period=\"60\" />\r\n\t\t<quota calls=\"100\" renewal-period=\"604800\" />\r\n\t\t<base />\r\n\t</inbound>\r\n\t<backend>\r\n\t\t<base />\r\n\t</backend>\r\n\t<outbound>\r\n\t\t<base />\r\n\t</outbound>\r\n</policies>";

fn with_sections(inbound: &str, outbound: &str) -> String {
    format!(
        "<policies>\r\n\t<inbound>\r\n\t\t<base />{inbound}\r\n\t</inbound>\r\n\t<backend>\r\n\t\t<base />\r\n\t</backend>\r\n\t<outbound>\r\n\t\t<base />{outbound}\r\n\t</outbound>\r\n\t<on-error>\r\n\t\t<base />\r\n\t</on-error>\r\n</policies>"
    )
}

impl Seed<'_> {
    async fn row<R: Resource>(
        &mut self,
        parent: Uuid,
        name: &str,
        contract: R::Contract,
    ) -> Result<Uuid> {
        self.row_as::<R>(self.engine.new_id(), parent, name, contract)
            .await
    }

    async fn row_as<R: Resource>(
        &mut self,
        id: Uuid,
        parent: Uuid,
        name: &str,
        contract: R::Contract,
    ) -> Result<Uuid> {
        let (id, new) = self
            .engine
            .seed_as::<R>(self.conn, self.now, id, parent, name, &contract)
            .await?;
        if new {
            self.changes.push(Change {
                service: self.service,
                table: R::TABLE,
                id,
            });
        }
        Ok(id)
    }

    async fn pair(&mut self, table: &'static str, left: Uuid, right: Uuid) -> Result<()> {
        let sql = format!("INSERT INTO {table} VALUES ($1, $2) ON CONFLICT DO NOTHING");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(left)
            .bind(right)
            .execute(&mut *self.conn)
            .await?;
        Ok(())
    }

    async fn content(&mut self, email: &str) -> Result<()> {
        let service = self.service;
        let mut groups = Vec::new();
        for (name, display_name, description) in [
            ("administrators", "Administrators", ADMINISTRATORS),
            ("developers", "Developers", DEVELOPERS),
            ("guests", "Guests", GUESTS),
        ] {
            let contract = GroupContract {
                display_name: display_name.into(),
                description: Some(description.into()),
                built_in: true,
                r#type: group::Type::System,
                external_id: None,
            };
            groups.push(self.row::<Group>(service, name, contract).await?);
        }
        let administrator = UserContract {
            first_name: "Administrator".into(),
            last_name: "Administrator".into(),
            email: email.to_owned(),
            state: user::State::Active,
            note: None,
            identities: Json(vec![Identity {
                provider: "Azure".into(),
                id: email.to_owned(),
            }]),
            registration_date: self.now,
            password_hash: None,
            password: None,
            confirmation: None,
            app_type: None,
        };
        let administrator = self.row::<User>(service, "1", administrator).await?;
        self.pair("group_users", groups[0], administrator).await?;
        self.pair("group_users", groups[1], administrator).await?;
        let api = self.echo_api().await?;
        for (name, display_name, description, approval, policy) in [
            (
                "starter",
                "Starter",
                "Subscribers will be able to run 5 calls/minute up to a maximum of 100 calls/week.",
                false,
                Some(STARTER_POLICY),
            ),
            (
                "unlimited",
                "Unlimited",
                "Subscribers have completely unlimited access to the API. Administrator approval is required.",
                true,
                None,
            ),
        ] {
            let contract = ProductContract {
                display_name: display_name.into(),
                description: Some(description.into()),
                terms: Some(String::new()),
                subscription_required: true,
                approval_required: Some(approval),
                subscriptions_limit: Some(1),
                state: product::State::Published,
            };
            let product = self.row::<Product>(service, name, contract).await?;
            self.pair("product_apis", product, api).await?;
            for group in &groups {
                self.pair("product_groups", product, *group).await?;
            }
            if let Some(value) = policy {
                self.row::<ProductPolicy>(product, "policy", document(value))
                    .await?;
            }
            let sid = hex::encode(self.engine.random::<12>()?);
            let owner = Ref {
                id: Some(administrator),
                name: "1".into(),
            };
            self.subscription(
                &sid,
                Some(owner),
                &format!("/products/{name}"),
                Some(product),
                None,
            )
            .await?;
        }
        self.subscription(
            "master",
            None,
            "/",
            None,
            Some("Built-in all-access subscription"),
        )
        .await?;
        self.row::<ServicePolicy>(service, "policy", document(GLOBAL_POLICY))
            .await?;
        self.notifications(administrator).await?;
        let language = notify::language(self.conn, service).await?;
        for template in mail::TEMPLATES {
            let name = template.contract_name();
            let contract = email_template::default(&name, language)
                .ok_or_else(|| Error::internal("a template without a default"))?;
            self.row::<EmailTemplate>(service, &name, contract).await?;
        }
        for name in tenant_access::NAMES {
            let contract = TenantAccessContract {
                principal_id: if *name == "access" {
                    "integration"
                } else {
                    "git"
                }
                .into(),
                enabled: false,
                primary_key: tenant_access::new_key(self.engine)?,
                secondary_key: tenant_access::new_key(self.engine)?,
            };
            self.row::<TenantAccess>(service, name, contract).await?;
        }
        for name in portal_setting::NAMES {
            self.row::<PortalSetting>(service, name, portal_setting::default(name))
                .await?;
        }
        for name in portal_config::NAMES {
            self.row::<PortalConfig>(service, name, portal_config::default())
                .await?;
        }
        let contract = LoggerContract {
            logger_type: logger::Type::AzureMonitor,
            description: None,
            credentials: None,
            sealed_credentials: None,
            is_buffered: true,
            resource_id: None,
        };
        self.row::<Logger>(service, logger::BUILT_IN, contract)
            .await?;
        Ok(())
    }

    async fn subscription(
        &mut self,
        sid: &str,
        owner: Option<Ref>,
        scope: &str,
        product: Option<Uuid>,
        display_name: Option<&str>,
    ) -> Result<()> {
        let (primary, secondary): (Secret, Secret) = (
            subscription::new_key(self.engine)?,
            subscription::new_key(self.engine)?,
        );
        let master = owner.is_none();
        let contract = SubscriptionContract {
            owner_id: owner,
            scope: scope.into(),
            scope_api_id: None,
            scope_product_id: product,
            display_name: display_name.map(str::to_owned),
            state: subscription::State::Active,
            created_date: self.now,
            start_date: Some(self.now),
            expiration_date: None,
            end_date: None,
            notification_date: None,
            state_comment: None,
            allow_tracing: Some(master),
            primary_digest: subscription::digest(&primary),
            secondary_digest: subscription::digest(&secondary),
            primary_key: primary,
            secondary_key: secondary,
        };
        self.row::<Subscription>(self.service, sid, contract)
            .await?;
        Ok(())
    }

    async fn notifications(&mut self, administrator: Uuid) -> Result<()> {
        let service_path: String = sqlx::query_scalar(
            "SELECT '/subscriptions/' || subscription_id || '/resourceGroups/' || resource_group || \
             '/providers/Microsoft.ApiManagement/service/' || name FROM services WHERE id = $1",
        )
        .bind(self.service)
        .fetch_one(&mut *self.conn)
        .await?;
        for name in notification::NAMES {
            let (title, description) = notification::described(name)
                .ok_or_else(|| Error::internal(format!("no template {name}")))?;
            let user_id = format!("{service_path}/users/1");
            // A copy of every mail is for those who ask for it.
            let users = if *name == "BCC" {
                Vec::new()
            } else {
                vec![user_id.clone()]
            };
            let told = !users.is_empty();
            let contract = NotificationContract {
                title: title.to_owned(),
                description: Some(description.to_owned()),
                recipients: Json(Recipients {
                    emails: Vec::new(),
                    users,
                }),
            };
            let notification = self
                .row::<Notification>(self.service, name, contract)
                .await?;
            if told {
                let contract = crate::recipient::RecipientUserContract {
                    user_row: administrator,
                    user_id,
                };
                self.row::<crate::recipient::RecipientUser>(notification, "1", contract)
                    .await?;
            }
        }
        Ok(())
    }

    async fn echo_api(&mut self) -> Result<Uuid> {
        let root_id = revision::root(self.conn, self.engine, self.service, "echo-api").await?;
        let contract = ApiContract {
            display_name: "Echo API".into(),
            description: None,
            service_url: Some(self.engine.settings().echo_url.clone()),
            path: "echo".into(),
            protocols: Json(vec![Protocol::Https]),
            r#type: ApiType::Http,
            api_revision: "1".into(),
            api_revision_description: None,
            api_version: None,
            api_version_description: None,
            api_version_set_id: None,
            api_version_set: None,
            is_current: true,
            is_online: Some(true),
            subscription_required: true,
            subscription_key_parameter_names: Json(KeyNames::default()),
            authentication_settings: None,
            terms_of_service_url: None,
            contact: None,
            license: None,
            provisioning_state: "Succeeded".into(),
            format: None,
            value: None,
            wsdl_selector: None,
            api_type: None,
            translate_required_query_parameters: None,
            source_api_id: None,
            root_id,
        };
        let api = self
            .row_as::<Api>(root_id, self.service, "echo-api", contract)
            .await?;
        self.row::<ApiPolicy>(api, "policy", document(&with_sections("", "")))
            .await?;
        let mut request = RequestContract {
            description: None,
            query_parameters: vec![
                parameter("param1", "string", Some("sample"), true),
                parameter("param2", "number", None, false),
            ],
            headers: Vec::new(),
            representations: Vec::new(),
        };
        let retrieval = request.clone();
        request.query_parameters.clear();
        let cached = (
            "\r\n\t\t<cache-lookup vary-by-developer=\"false\" vary-by-developer-groups=\"false\">\r\n\t\t\t<vary-by-header>Accept</vary-by-header>\r\n\t\t\t<vary-by-header>Accept-Charset</vary-by-header>\r\n\t\t</cache-lookup>\r\n\t\t<rewrite-uri template=\"/resource\" />",
            "\r\n\t\t<cache-store duration=\"3600\" />",
        );
        let operations = [
            (
                "create-resource",
                "Create resource",
                "POST",
                "/resource",
                "A demonstration of a POST call based on the echo backend. The request body is expected to contain JSON-formatted data. A policy is used to automatically transform any request sent in JSON directly to XML.",
                Some(request.clone()),
                Some(with_sections(
                    "\r\n\t\t<json-to-xml apply=\"always\" consider-accept-header=\"false\" />",
                    "",
                )),
            ),
            (
                "modify-resource",
                "Modify Resource",
                "PUT",
                "/resource",
                "A demonstration of a PUT call handled by the same echo backend.",
                None,
                None,
            ),
            (
                "remove-resource",
                "Remove resource",
                "DELETE",
                "/resource",
                "A demonstration of a DELETE call which traditionally deletes the resource.",
                None,
                None,
            ),
            (
                "retrieve-header-only",
                "Retrieve header only",
                "HEAD",
                "/resource",
                "The HEAD operation returns only headers. In this demonstration a policy is used to set additional headers when the response is returned.",
                None,
                Some(with_sections(
                    "",
                    "\r\n\t\t<set-header name=\"X-My-Sample\" exists-action=\"override\">\r\n\t\t\t<value>This is a sample</value>\r\n\t\t</set-header>",
                )),
            ),
            (
                "retrieve-resource",
                "Retrieve resource",
                "GET",
                "/resource",
                "A demonstration of a GET call on a sample resource.",
                Some(retrieval.clone()),
                None,
            ),
            (
                "retrieve-resource-cached",
                "Retrieve resource (cached)",
                "GET",
                "/resource-cached",
                "A demonstration of a GET call with caching enabled on the same echo backend.",
                Some(retrieval),
                Some(with_sections(cached.0, cached.1)),
            ),
        ];
        for (name, display_name, method, template, description, request, policy) in operations {
            let contract = OperationContract {
                display_name: display_name.into(),
                method: method.into(),
                url_template: template.into(),
                template_parameters: Json(Vec::new()),
                description: Some(description.into()),
                request: request.map(Json),
                responses: Json(vec![ResponseContract {
                    status_code: 200,
                    description: Some("OK".into()),
                    representations: Vec::new(),
                    headers: Vec::new(),
                }]),
                policies: None,
            };
            let operation = self.row::<Operation>(api, name, contract).await?;
            let policy = policy.unwrap_or_else(|| with_sections("", ""));
            self.row::<OperationPolicy>(operation, "policy", document(&policy))
                .await?;
        }
        Ok(api)
    }
}

fn document(value: &str) -> PolicyContract {
    PolicyContract {
        value: value.to_owned(),
        format: Format::Xml,
    }
}

fn parameter(name: &str, kind: &str, default: Option<&str>, required: bool) -> ParameterContract {
    ParameterContract {
        name: name.into(),
        description: None,
        kind: kind.into(),
        default_value: default.map(str::to_owned),
        required: Some(required),
        values: Some(default.map(str::to_owned).into_iter().collect()),
        schema_id: None,
        type_name: None,
        examples: None,
    }
}
