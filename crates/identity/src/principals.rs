//! Accounts: people, applications, roles, and the first administrator.

use crate::{
    Identity, Kind, Principal, SignInError, Token, UnknownText, attempts::Target, digest_of,
    password, random_text,
};
use chrono::{DateTime, Utc};
use engine::{PgConnection, Value, audit::Event, json};
use std::{fmt, net::IpAddr};
use uuid::Uuid;

/// A role over a service or the whole installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything, including deleting services and granting roles.
    Owner,
    /// Reads, writes and sees secrets.
    Contributor,
    /// Reads everything but secrets.
    Reader,
    /// Portals only.
    Developer,
}

impl Role {
    const fn text(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Contributor => "contributor",
            Self::Reader => "reader",
            Self::Developer => "developer",
        }
    }
}

impl TryFrom<String> for Role {
    type Error = UnknownText;

    fn try_from(text: String) -> Result<Self, UnknownText> {
        [
            Self::Owner,
            Self::Contributor,
            Self::Reader,
            Self::Developer,
        ]
        .into_iter()
        .find(|role| role.text() == text)
        .ok_or(UnknownText(text))
    }
}

/// A role that a principal has.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Assignment {
    /// The service; `None` for the whole installation.
    pub scope_service_id: Option<Uuid>,
    /// What the principal may do there.
    #[sqlx(try_from = "String")]
    pub role: Role,
}

/// A principal as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    /// Who.
    #[sqlx(flatten)]
    pub principal: Principal,
    /// Name that people see.
    pub display_name: String,
    /// Whether a password or a client secret is set.
    pub has_secret: bool,
    /// Since when the principal is disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// How the first administrator gets in. `Debug` leaves the secret out.
pub struct FirstStart {
    /// The administrator's e-mail address.
    pub administrator: String,
    /// The secret with which the administrator sets a password, once; `None` when a password is set.
    pub bootstrap_secret: Option<String>,
}

impl fmt::Debug for FirstStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstStart")
            .field("administrator", &self.administrator)
            .finish_non_exhaustive()
    }
}

/// An application's new credentials; the secret cannot be read again, and `Debug` leaves it out.
pub struct NewApplication {
    /// Row in `principals`.
    pub id: Uuid,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
}

impl fmt::Debug for NewApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApplication")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

#[derive(sqlx::FromRow)]
struct Credentials {
    id: Uuid,
    secret_hash: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Owner {
    id: Uuid,
    name: String,
    has_secret: bool,
    disabled: bool,
}

/// Caller of changes that somebody with the machine's shell made.
const COMMAND_LINE: &str = "command line";
/// Caller of what the first start of an installation made.
const FIRST_START: &str = "first start";

/// A change of a principal as the audit trail keeps it; secrets are never in it.
#[derive(Default)]
struct Change<'a> {
    /// The service that a role is for.
    service: Option<Uuid>,
    /// Who; the command line when empty.
    caller: &'a str,
    /// Where from; empty for the machine itself.
    address: &'a str,
    action: &'a str,
    before: Option<Value>,
    after: Option<Value>,
}

/// The hash of a new password that is good enough.
async fn hash_of_new(password: &str) -> Result<String, SignInError> {
    let problems = password::problems(password);
    if problems.is_empty() {
        hashed(password).await
    } else {
        Err(SignInError::Password(problems))
    }
}

async fn hashed(secret: &str) -> Result<String, SignInError> {
    password::hash(secret.to_owned())
        .await
        .map_err(|e| SignInError::Crypto(e.to_string()))
}

impl Identity {
    /// Makes the first administrator, owner of the installation, unless there is one.
    ///
    /// With a password it is set at once; without, a one-time secret is made. As long as it is unused,
    /// every start makes a fresh one, because the former may have been lost with a terminal. Replicas
    /// that start together make one administrator, and the secret of the last to start is the one
    /// that holds. An installation whose owner gave the role away gets the account of this address
    /// back as owner, or nobody could manage it.
    ///
    /// # Errors
    /// When the password is not good enough or the database fails.
    pub async fn first_start(
        &self,
        email: &str,
        given: Option<&str>,
    ) -> Result<FirstStart, SignInError> {
        let hash = match given {
            None => None,
            Some(text) => Some(hash_of_new(text).await?),
        };
        let now = self.now();
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('portico first start', 0))")
            .execute(&mut *tx)
            .await?;
        let existing: Option<Owner> = sqlx::query_as(
            "SELECT p.id, p.name, p.secret_hash IS NOT NULL AS has_secret, p.disabled_at IS NOT NULL AS disabled \
             FROM principals p \
             JOIN role_assignments r ON r.principal_id = p.id AND r.scope_service_id IS NULL AND r.role = 'owner' \
             WHERE p.kind = 'person' ORDER BY p.disabled_at IS NOT NULL, p.created_at LIMIT 1",
        )
        .fetch_optional(&mut *tx)
        .await?;
        let owner = match existing {
            Some(owner) => owner,
            None => {
                let owner: Owner = sqlx::query_as(
                    "INSERT INTO principals AS p (id, kind, name, display_name, created_at, updated_at) \
                     VALUES ($1, 'person', $2, $2, $3, $3) \
                     ON CONFLICT (lower(name)) DO UPDATE SET updated_at = $3 WHERE p.kind = 'person' \
                     RETURNING id, name, secret_hash IS NOT NULL AS has_secret, disabled_at IS NOT NULL AS disabled",
                )
                .bind(Uuid::now_v7())
                .bind(email)
                .bind(now)
                .fetch_one(&mut *tx)
                .await?;
                sqlx::query(
                    "INSERT INTO role_assignments (id, principal_id, role, created_at) VALUES ($1, $2, 'owner', $3) \
                     ON CONFLICT (principal_id, scope_service_id) DO UPDATE SET role = 'owner'",
                )
                .bind(Uuid::now_v7())
                .bind(owner.id)
                .bind(now)
                .execute(&mut *tx)
                .await?;
                let change = Change {
                    caller: FIRST_START,
                    action: "Portico/roleAssignments/write",
                    after: Some(json!({"role": Role::Owner.text()})),
                    ..Change::default()
                };
                self.record_change(&mut tx, owner.id, change).await?;
                owner
            }
        };
        let mut bootstrap_secret = None;
        if !owner.has_secret && !owner.disabled {
            if let Some(hash) = hash {
                sqlx::query(
                    "UPDATE principals SET secret_hash = $2, updated_at = $3 WHERE id = $1",
                )
                .bind(owner.id)
                .bind(hash)
                .bind(now)
                .execute(&mut *tx)
                .await?;
                let change = Change {
                    caller: FIRST_START,
                    action: "Portico/principals/secret/write",
                    ..Change::default()
                };
                self.record_change(&mut tx, owner.id, change).await?;
            } else {
                let secret = random_text()?;
                sqlx::query(
                    "INSERT INTO bootstrap_secret (singleton, principal_id, digest, created_at) VALUES (true, $1, $2, $3) \
                     ON CONFLICT (singleton) DO UPDATE SET principal_id = $1, digest = $2, created_at = $3, used_at = NULL",
                )
                .bind(owner.id)
                .bind(digest_of(&secret))
                .bind(now)
                .execute(&mut *tx)
                .await?;
                bootstrap_secret = Some(secret);
            }
        }
        tx.commit().await?;
        Ok(FirstStart {
            administrator: owner.name,
            bootstrap_secret,
        })
    }

    /// Sets the first administrator's password with the one-time secret, unless one is set already:
    /// a secret that was printed and never used must not replace a password.
    ///
    /// # Errors
    /// `Wrong` for another or a used secret, `Password` for a bad new password, `Slowed` after failures.
    pub async fn redeem_bootstrap(
        &self,
        secret: &str,
        new: &str,
        address: IpAddr,
    ) -> Result<Token, SignInError> {
        // Says nothing about the secret, so it neither counts as an attempt nor clears any.
        let problems = password::problems(new);
        if !problems.is_empty() {
            return Err(SignInError::Password(problems));
        }
        self.attempt(Target::Bootstrap, address).await?;
        let hash = hashed(new).await?;
        let now = self.now();
        let mut tx = self.pool.begin().await?;
        let principal: Option<Uuid> = sqlx::query_scalar(
            "UPDATE bootstrap_secret SET used_at = $2 WHERE digest = $1 AND used_at IS NULL RETURNING principal_id",
        )
        .bind(digest_of(secret))
        .bind(now)
        .fetch_optional(&mut *tx)
        .await?;
        let principal = principal.ok_or(SignInError::Wrong)?;
        let set = sqlx::query(
            "UPDATE principals SET secret_hash = $2, updated_at = $3 WHERE id = $1 AND secret_hash IS NULL AND disabled_at IS NULL",
        )
        .bind(principal)
        .bind(hash)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if set.rows_affected() == 0 {
            return Err(SignInError::Wrong);
        }
        let address_text = address.to_string();
        let change = Change {
            caller: "bootstrap secret",
            address: &address_text,
            action: "Portico/principals/secret/write",
            ..Change::default()
        };
        self.record_change(&mut tx, principal, change).await?;
        tx.commit().await?;
        self.succeeded(Target::Bootstrap, address).await?;
        self.issue(principal).await
    }

    /// A token for an e-mail address and its password.
    ///
    /// # Errors
    /// `Wrong`, or `Slowed` after failures.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<Token, SignInError> {
        self.enter(Kind::Person, email, password, address).await
    }

    /// A token for a client id and its secret.
    ///
    /// # Errors
    /// `Wrong`, or `Slowed` after failures.
    pub async fn client_credentials(
        &self,
        id: &str,
        secret: &str,
        address: IpAddr,
    ) -> Result<Token, SignInError> {
        self.enter(Kind::Application, id, secret, address).await
    }

    async fn enter(
        &self,
        kind: Kind,
        name: &str,
        secret: &str,
        address: IpAddr,
    ) -> Result<Token, SignInError> {
        let target = Target::Account(name);
        self.attempt(target, address).await?;
        let account: Option<Credentials> = sqlx::query_as(
            "SELECT id, secret_hash FROM principals WHERE lower(name) = lower($1) AND kind = $2 AND disabled_at IS NULL",
        )
        .bind(name)
        .bind(kind.text())
        .fetch_optional(&self.pool)
        .await?;
        let (id, hash) = account.map_or((None, None), |account| {
            (Some(account.id), account.secret_hash)
        });
        let right = password::verify(secret.to_owned(), hash)
            .await
            .map_err(|e| SignInError::Crypto(e.to_string()))?;
        let granted = id.filter(|_| right);
        // Bounded, because strangers choose it.
        let shown: String = name.chars().take(254).collect();
        self.record(Event {
            caller: &shown,
            principal: granted,
            address: &address.to_string(),
            action: if granted.is_some() {
                "Portico/signIn/action"
            } else {
                "Portico/failedSignIn/action"
            },
            resource: "/",
            ..Event::default()
        })
        .await?;
        match granted {
            Some(id) => {
                self.succeeded(target, address).await?;
                self.issue(id).await
            }
            None => Err(SignInError::Wrong),
        }
    }

    /// Records an event by itself.
    async fn record(&self, event: Event<'_>) -> Result<(), SignInError> {
        let mut connection = self.pool.acquire().await?;
        event
            .record(&mut connection, Uuid::now_v7(), self.now())
            .await
            .map_err(|e| SignInError::Crypto(e.to_string()))
    }

    /// Records a change of a principal, which only the command line and the start of Portico make.
    async fn record_change(
        &self,
        conn: &mut PgConnection,
        principal: Uuid,
        change: Change<'_>,
    ) -> Result<(), SignInError> {
        let name: Option<String> = sqlx::query_scalar("SELECT name FROM principals WHERE id = $1")
            .bind(principal)
            .fetch_optional(&mut *conn)
            .await?;
        let name = name.unwrap_or_default();
        Event {
            service: change.service,
            caller: if change.caller.is_empty() {
                COMMAND_LINE
            } else {
                change.caller
            },
            address: change.address,
            action: change.action,
            resource: &format!("/principals/{name}"),
            before: change.before,
            after: change.after,
            ..Event::default()
        }
        .record(conn, Uuid::now_v7(), self.now())
        .await
        .map_err(|e| SignInError::Crypto(e.to_string()))
    }

    /// The principal of a name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, name: &str) -> Result<Option<Uuid>, SignInError> {
        Ok(
            sqlx::query_scalar("SELECT id FROM principals WHERE lower(name) = lower($1)")
                .bind(name)
                .fetch_optional(&self.pool)
                .await?,
        )
    }

    /// All principals, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, SignInError> {
        Ok(sqlx::query_as(
            "SELECT id, name, kind, display_name, secret_hash IS NOT NULL AS has_secret, disabled_at, created_at \
             FROM principals ORDER BY lower(name)",
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The roles of a principal, the one over the whole installation first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assignments(&self, principal: Uuid) -> Result<Vec<Assignment>, SignInError> {
        Ok(sqlx::query_as(
            "SELECT scope_service_id, role FROM role_assignments WHERE principal_id = $1 \
             ORDER BY scope_service_id NULLS FIRST",
        )
        .bind(principal)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Adds a person.
    ///
    /// # Errors
    /// `Password` for a bad password; `Database` for a taken name.
    pub async fn create_person(
        &self,
        email: &str,
        password: Option<&str>,
    ) -> Result<Uuid, SignInError> {
        let hash = match password {
            None => None,
            Some(text) => Some(hash_of_new(text).await?),
        };
        self.insert(Kind::Person, email, email, hash).await
    }

    /// Sets a person's password. Tokens that were issued before live on until they expire.
    ///
    /// # Errors
    /// `Password` for a bad password; `Wrong` when there is no such person.
    pub async fn set_password(&self, person: Uuid, new: &str) -> Result<(), SignInError> {
        let hash = hash_of_new(new).await?;
        self.set_secret(Kind::Person, person, hash).await?;
        Ok(())
    }

    /// Adds an application and makes its secret.
    ///
    /// # Errors
    /// When the database or the system's randomness fails.
    pub async fn create_application(
        &self,
        display_name: &str,
    ) -> Result<NewApplication, SignInError> {
        let (client_id, client_secret) = (Uuid::new_v4().to_string(), random_text()?);
        let hash = hashed(&client_secret).await?;
        let id = self
            .insert(Kind::Application, &client_id, display_name, Some(hash))
            .await?;
        Ok(NewApplication {
            id,
            client_id,
            client_secret,
        })
    }

    /// Replaces an application's secret; the former one ends at once, tokens when they expire.
    ///
    /// # Errors
    /// `Wrong` when there is no such application.
    pub async fn rotate_secret(&self, application: Uuid) -> Result<NewApplication, SignInError> {
        let client_secret = random_text()?;
        let hash = hashed(&client_secret).await?;
        let client_id = self
            .set_secret(Kind::Application, application, hash)
            .await?;
        Ok(NewApplication {
            id: application,
            client_id,
            client_secret,
        })
    }

    /// Sets the hash of a principal's secret; returns the principal's name.
    async fn set_secret(&self, kind: Kind, id: Uuid, hash: String) -> Result<String, SignInError> {
        let mut tx = self.pool.begin().await?;
        let name: Option<String> = sqlx::query_scalar(
            "UPDATE principals SET secret_hash = $3, updated_at = $4 WHERE id = $1 AND kind = $2 RETURNING name",
        )
        .bind(id)
        .bind(kind.text())
        .bind(hash)
        .bind(self.now())
        .fetch_optional(&mut *tx)
        .await?;
        let name = name.ok_or(SignInError::Wrong)?;
        let change = Change {
            action: "Portico/principals/secret/write",
            ..Change::default()
        };
        self.record_change(&mut tx, id, change).await?;
        tx.commit().await?;
        Ok(name)
    }

    async fn insert(
        &self,
        kind: Kind,
        name: &str,
        display_name: &str,
        hash: Option<String>,
    ) -> Result<Uuid, SignInError> {
        let id = Uuid::now_v7();
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO principals (id, kind, name, display_name, secret_hash, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(id)
        .bind(kind.text())
        .bind(name)
        .bind(display_name)
        .bind(hash)
        .bind(self.now())
        .execute(&mut *tx)
        .await?;
        let change = Change {
            action: "Portico/principals/write",
            after: Some(json!({"kind": kind.text(), "name": name, "displayName": display_name})),
            ..Change::default()
        };
        self.record_change(&mut tx, id, change).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Gives a principal a role over a service, or over the installation without one; replaces its former role there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn grant(
        &self,
        principal: Uuid,
        service: Option<Uuid>,
        role: Role,
    ) -> Result<(), SignInError> {
        let mut tx = self.pool.begin().await?;
        let before: Option<String> = sqlx::query_scalar(
            "SELECT role FROM role_assignments WHERE principal_id = $1 AND scope_service_id IS NOT DISTINCT FROM $2 FOR UPDATE",
        )
        .bind(principal)
        .bind(service)
        .fetch_optional(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO role_assignments (id, principal_id, scope_service_id, role, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (principal_id, scope_service_id) DO UPDATE SET role = $4",
        )
        .bind(Uuid::now_v7())
        .bind(principal)
        .bind(service)
        .bind(role.text())
        .bind(self.now())
        .execute(&mut *tx)
        .await?;
        let change = Change {
            service,
            action: "Portico/roleAssignments/write",
            before: before.map(|role| json!({"role": role})),
            after: Some(json!({"role": role.text()})),
            ..Change::default()
        };
        self.record_change(&mut tx, principal, change).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a principal's role over a service or the installation away; whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(
        &self,
        principal: Uuid,
        service: Option<Uuid>,
    ) -> Result<bool, SignInError> {
        let mut tx = self.pool.begin().await?;
        let before: Option<String> = sqlx::query_scalar(
            "DELETE FROM role_assignments WHERE principal_id = $1 AND scope_service_id IS NOT DISTINCT FROM $2 RETURNING role",
        )
        .bind(principal)
        .bind(service)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(role) = &before {
            let change = Change {
                service,
                action: "Portico/roleAssignments/delete",
                before: Some(json!({"role": role})),
                ..Change::default()
            };
            self.record_change(&mut tx, principal, change).await?;
        }
        tx.commit().await?;
        Ok(before.is_some())
    }

    /// Disables a principal: no new tokens, and those that it has are refused from now on.
    ///
    /// # Errors
    /// `Wrong` when there is no such principal.
    pub async fn disable(&self, principal: Uuid) -> Result<(), SignInError> {
        self.set_disabled(principal, Some(self.now())).await
    }

    /// Lets a disabled principal in again, with its former secret and roles.
    ///
    /// # Errors
    /// `Wrong` when there is no such principal.
    pub async fn enable(&self, principal: Uuid) -> Result<(), SignInError> {
        self.set_disabled(principal, None).await
    }

    async fn set_disabled(
        &self,
        principal: Uuid,
        since: Option<DateTime<Utc>>,
    ) -> Result<(), SignInError> {
        let mut tx = self.pool.begin().await?;
        let before: Option<bool> = sqlx::query_scalar(
            "SELECT disabled_at IS NOT NULL FROM principals WHERE id = $1 FOR UPDATE",
        )
        .bind(principal)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(before) = before else {
            return Err(SignInError::Wrong);
        };
        sqlx::query("UPDATE principals SET disabled_at = $2, updated_at = $3 WHERE id = $1")
            .bind(principal)
            .bind(since)
            .bind(self.now())
            .execute(&mut *tx)
            .await?;
        let change = Change {
            action: "Portico/principals/write",
            before: Some(json!({"disabled": before})),
            after: Some(json!({"disabled": since.is_some()})),
            ..Change::default()
        };
        self.record_change(&mut tx, principal, change).await?;
        tx.commit().await?;
        Ok(())
    }
}
