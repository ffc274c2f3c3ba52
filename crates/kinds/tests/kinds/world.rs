//! An installation in a fresh database, with an owner who calls it and a clock that stands still.

use chrono::{DateTime, Utc};
use embedded_postgres::test_database::TestDatabase;
use engine::{
    Caller, Codec, Engine, Error, IfMatch, Method, Origin, PgPool, Query, Request, Resource as _,
    Settings, Unheard, Value, arm_id::ResourcePath, json, sqlx,
};
use jobs::{Attempt, Job as _};
use kinds::activation::{ActivateService, Activation};
use secret_box::SecretBox;
use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
};
use uuid::Uuid;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// Root of the services of one resource group.
pub const GROUP: &str =
    "/subscriptions/s1/resourceGroups/rg_1/providers/Microsoft.ApiManagement/service";
/// What stands before the type of whatever is directly under the provider in that resource group.
pub const PROVIDER: &str =
    "/subscriptions/s1/resourceGroups/rg_1/providers/Microsoft.ApiManagement";
/// The gateway of the installation of most tests; no world has it from the start.
pub const EDGE: &str =
    "/subscriptions/s1/resourceGroups/rg_1/providers/Microsoft.ApiManagement/gateways/edge";
/// The service of most tests.
pub const SERVICE: &str =
    "/subscriptions/s1/resourceGroups/rg_1/providers/Microsoft.ApiManagement/service/demo";

/// The moment at which everything happens.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

pub struct World {
    pub engine: Arc<Engine>,
    pub pool: PgPool,
    pub version: &'static str,
    caller: Caller,
    // The database goes when this is dropped.
    _database: TestDatabase,
}

/// A reply, or an error as a reply.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
    request: String,
}

impl Answer {
    /// The body, if the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.request, self.body);
        self.body
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The fields that a 400 names, in order.
    #[track_caller]
    pub fn targets(self) -> Vec<String> {
        let body = self.expect(400);
        assert_eq!(body["error"]["code"], "ValidationError", "{body}");
        body["error"]["details"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|detail| detail["target"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl World {
    /// An installation without services.
    pub async fn empty() -> Self {
        let mut hash = DefaultHasher::new();
        for migration in MIGRATIONS.iter() {
            hash.write(&migration.checksum);
        }
        let database = TestDatabase::from_template(
            &format!("kinds_{:016x}", hash.finish()),
            async |pool: &PgPool| {
                MIGRATIONS.run(pool).await?;
                jobs::migrate(pool).await.expect("the queue's schema");
                Ok(())
            },
        )
        .await
        .expect("a database");
        let pool = database.pool();
        let principal = Uuid::from_u128(1);
        sqlx::query(
            "INSERT INTO principals (id, kind, name, display_name, created_at, updated_at) \
             VALUES ($1, 'person', 'owner@example.org', 'Owner', $2, $2)",
        )
        .bind(principal)
        .bind(now())
        .execute(&pool)
        .await
        .expect("a principal");
        sqlx::query("INSERT INTO role_assignments (id, principal_id, role, created_at) VALUES ($1, $1, 'owner', $2)")
            .bind(principal)
            .bind(now())
            .execute(&pool)
            .await
            .expect("a role");
        let settings = Settings {
            gateway_scheme: "http".into(),
            gateway_port: 8081,
            gateway_domain: None,
            management_url: "http://127.0.0.1:8080".into(),
            developer_portal_url: "http://127.0.0.1:8080/portal".into(),
            echo_url: "http://127.0.0.1:8080/echo".into(),
            mail_sender: "portico@example.org".into(),
        };
        let codec = Codec {
            secrets: Arc::new(SecretBox::new(&[1; 32]).expect("a key")),
        };
        let engine = Engine::new(
            pool.clone(),
            kinds::registry(),
            codec,
            settings,
            Arc::new(now),
            Arc::new(Unheard),
        );
        Self {
            engine: Arc::new(engine),
            pool,
            version: "2024-05-01",
            caller: Caller::Principal {
                id: principal,
                name: "owner@example.org".into(),
            },
            _database: database,
        }
    }

    /// An installation with the activated service `demo`, and no mail left over from its creation.
    pub async fn new() -> Self {
        let world = Self::empty().await;
        world.put(SERVICE, service()).await.expect(201);
        world.activate().await;
        sqlx::query("DELETE FROM mails")
            .execute(&world.pool)
            .await
            .expect("no mails");
        sqlx::query("DELETE FROM changes")
            .execute(&world.pool)
            .await
            .expect("no changes");
        world
    }

    /// Goes on over other connections to the same database; returns them.
    pub fn over(&mut self, pool: PgPool) -> PgPool {
        self.pool = pool.clone();
        self.engine = Arc::new(self.anew());
        pool
    }

    /// Goes on with so many connections of the thread's own beside those of the pool.
    pub fn with_own_connections(&mut self, number: u32) {
        self.engine = Arc::new(self.anew().with_own_connections(number, number));
    }

    fn anew(&self) -> Engine {
        Engine::new(
            self.pool.clone(),
            kinds::registry(),
            self.engine.codec.clone(),
            self.engine.settings().clone(),
            Arc::new(now),
            Arc::new(Unheard),
        )
    }

    /// Runs the job of every service that waits for its content.
    pub async fn activate(&self) {
        for work in self.waiting().await {
            self.run(work, Attempt { number: 1, max: 25 })
                .await
                .expect("an activation");
        }
    }

    /// Runs one activation.
    pub async fn run(&self, work: Activation, attempt: Attempt) -> Result<(), String> {
        let job = ActivateService {
            engine: self.engine.clone(),
        };
        job.run(work, attempt).await.map_err(|e| format!("{e:#}"))
    }

    /// What the queue holds for new services.
    pub async fn waiting(&self) -> Vec<Activation> {
        let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "SELECT service_id, id FROM long_operations WHERE status = 'InProgress' ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
        .expect("operations");
        rows.into_iter()
            .map(|(service_id, operation_id)| Activation {
                service_id,
                operation_id,
            })
            .collect()
    }

    /// Sends a request; a path that is not a full id is one below the service `demo`.
    pub async fn send(
        &self,
        method: Method,
        target: &str,
        if_match: Option<&str>,
        body: Value,
    ) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = if path.to_ascii_lowercase().contains("/providers/") {
            path.to_owned()
        } else {
            format!("{SERVICE}{path}")
        };
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let request = Request {
            method,
            path: ResourcePath::parse(&path).expect("a path"),
            query: Query(query),
            if_match: IfMatch::parse(if_match),
            body: if body.is_null() {
                String::new()
            } else {
                body.to_string()
            }
            .into(),
            caller: self.caller.clone(),
            base_url: "http://127.0.0.1:8080".into(),
            origin: Origin {
                address: "10.0.0.7".into(),
                request_id: "request-1".into(),
            },
            api_version: self.version.into(),
        };
        let named = format!("{} {target}", method.name());
        let answered = self.engine.handle(&request).await;
        let status = answered
            .as_ref()
            .map_or_else(Error::status, |reply| reply.status);
        witness::note(
            method.name(),
            &format!(
                "{path}?{}",
                target.split_once('?').map_or("", |(_, query)| query)
            ),
            status,
        );
        match answered {
            Ok(reply) => Answer {
                status: reply.status,
                headers: reply.headers,
                body: reply.body.unwrap_or_default(),
                request: named,
            },
            Err(Error::Internal(source)) => panic!("{named}: {source:?}"),
            Err(error) => Answer {
                status: error.status(),
                headers: Vec::new(),
                body: error.envelope(),
                request: named,
            },
        }
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.send(Method::Get, target, None, Value::Null).await
    }
    pub async fn head(&self, target: &str) -> Answer {
        self.send(Method::Head, target, None, Value::Null).await
    }
    pub async fn put(&self, target: &str, body: Value) -> Answer {
        self.send(Method::Put, target, None, body).await
    }
    /// PATCH of properties, whatever the revision.
    pub async fn patch(&self, target: &str, properties: Value) -> Answer {
        self.send(
            Method::Patch,
            target,
            Some("*"),
            json!({"properties": properties}),
        )
        .await
    }
    pub async fn delete(&self, target: &str) -> Answer {
        self.send(Method::Delete, target, Some("*"), Value::Null)
            .await
    }
    pub async fn post(&self, target: &str, body: Value) -> Answer {
        self.send(Method::Post, target, None, body).await
    }

    /// Names of the items of a list, in its order.
    pub async fn names(&self, target: &str) -> Vec<String> {
        let body = self.get(target).await.expect(200);
        body["value"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| item["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Template and recipient of the mails since the last look, sorted.
    pub async fn mails(&self) -> Vec<(String, String)> {
        let mut mails: Vec<(String, String)> =
            sqlx::query_as("DELETE FROM mails RETURNING template, recipient")
                .fetch_all(&self.pool)
                .await
                .expect("mails");
        mails.sort();
        mails
    }

    /// Tables of the changed rows since the last look, sorted, each once.
    pub async fn changes(&self) -> Vec<String> {
        let mut tables: Vec<String> = sqlx::query_scalar("DELETE FROM changes RETURNING entity")
            .fetch_all(&self.pool)
            .await
            .expect("changes");
        tables.sort();
        tables.dedup();
        tables
    }
}

/// The body of a new service.
pub fn service() -> Value {
    json!({
        "location": "westeurope",
        "sku": {"name": "Developer", "capacity": 1},
        "properties": {"publisherEmail": "admin@example.org", "publisherName": "demoazureml"}
    })
}

/// The body of a new gateway of the installation.
pub fn api_gateway() -> Value {
    json!({
        "location": "West US",
        "sku": {"name": "Standard", "capacity": 1},
        "properties": kinds::api_gateway::ApiGateway::example(),
    })
}

/// A body with these properties.
pub fn body(properties: Value) -> Value {
    json!({"properties": properties})
}
