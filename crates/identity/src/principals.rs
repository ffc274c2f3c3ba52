//! Accounts: people, applications, roles, and the first administrator.

use crate::{Identity, SignInError, Token, digest_of, password, random_text};
use std::net::IpAddr;
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

/// How the first administrator gets in.
#[derive(Debug)]
pub struct FirstStart {
    /// The administrator's e-mail address.
    pub administrator: String,
    /// The secret with which the administrator sets a password, once; `None` when a password is set.
    pub bootstrap_secret: Option<String>,
}

/// A new application's credentials; the secret cannot be read again.
#[derive(Debug)]
pub struct NewApplication {
    /// Row in `principals`.
    pub id: Uuid,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
}

#[derive(sqlx::FromRow)]
struct Account {
    id: Uuid,
    secret_hash: Option<String>,
}

impl Identity {
    /// Makes the first administrator, owner of the installation, unless there is one.
    ///
    /// With a password it is set at once; without, a one-time secret is made. As long as it is unused,
    /// every start makes a fresh one, because the former may have been lost with a terminal.
    /// Replicas that start together make one administrator.
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
            Some(text) => {
                let problems = password::problems(text);
                if !problems.is_empty() {
                    return Err(SignInError::Password(problems));
                }
                Some(
                    password::hash(text.to_owned())
                        .await
                        .map_err(|e| SignInError::Crypto(e.to_string()))?,
                )
            }
        };
        let now = self.now();
        let mut tx = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('portico first start', 0))")
            .execute(&mut *tx)
            .await?;
        let existing: Option<(Uuid, String, bool)> = sqlx::query_as(
            "SELECT p.id, p.name, p.secret_hash IS NOT NULL FROM principals p \
             JOIN role_assignments r ON r.principal_id = p.id AND r.scope_service_id IS NULL AND r.role = 'owner' \
             WHERE p.kind = 'person' ORDER BY p.created_at LIMIT 1",
        )
        .fetch_optional(&mut *tx)
        .await?;
        let (id, administrator, has_password) = match existing {
            Some(found) => found,
            None => {
                let id = Uuid::now_v7();
                sqlx::query(
                    "INSERT INTO principals (id, kind, name, display_name, created_at, updated_at) VALUES ($1, 'person', $2, $2, $3, $3)",
                )
                .bind(id)
                .bind(email)
                .bind(now)
                .execute(&mut *tx)
                .await?;
                sqlx::query("INSERT INTO role_assignments (id, principal_id, role, created_at) VALUES ($1, $2, 'owner', $3)")
                    .bind(Uuid::now_v7())
                    .bind(id)
                    .bind(now)
                    .execute(&mut *tx)
                    .await?;
                (id, email.to_owned(), false)
            }
        };
        let mut bootstrap_secret = None;
        if !has_password {
            if let Some(hash) = hash {
                sqlx::query(
                    "UPDATE principals SET secret_hash = $2, updated_at = $3 WHERE id = $1",
                )
                .bind(id)
                .bind(hash)
                .bind(now)
                .execute(&mut *tx)
                .await?;
            } else {
                let secret = random_text()?;
                sqlx::query(
                    "INSERT INTO bootstrap_secret (singleton, principal_id, digest, created_at) VALUES (true, $1, $2, $3) \
                     ON CONFLICT (singleton) DO UPDATE SET principal_id = $1, digest = $2, created_at = $3, used_at = NULL",
                )
                .bind(id)
                .bind(digest_of(&secret))
                .bind(now)
                .execute(&mut *tx)
                .await?;
                bootstrap_secret = Some(secret);
            }
        }
        tx.commit().await?;
        Ok(FirstStart {
            administrator,
            bootstrap_secret,
        })
    }

    /// Sets the first administrator's password with the one-time secret.
    ///
    /// # Errors
    /// `Wrong` for another or a used secret, `Password` for a bad new password, `Slowed` after failures.
    pub async fn redeem_bootstrap(
        &self,
        secret: &str,
        new: &str,
        address: IpAddr,
    ) -> Result<Token, SignInError> {
        const ACCOUNT: &str = "bootstrap secret";
        self.attempt(ACCOUNT, address).await?;
        let problems = password::problems(new);
        if !problems.is_empty() {
            self.succeeded(ACCOUNT).await?;
            return Err(SignInError::Password(problems));
        }
        let hash = password::hash(new.to_owned())
            .await
            .map_err(|e| SignInError::Crypto(e.to_string()))?;
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
        sqlx::query("UPDATE principals SET secret_hash = $2, updated_at = $3 WHERE id = $1")
            .bind(principal)
            .bind(hash)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.succeeded(ACCOUNT).await?;
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
        self.enter("person", email, password, address).await
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
        self.enter("application", id, secret, address).await
    }

    async fn enter(
        &self,
        kind: &str,
        name: &str,
        secret: &str,
        address: IpAddr,
    ) -> Result<Token, SignInError> {
        self.attempt(name, address).await?;
        let account: Option<Account> = sqlx::query_as(
            "SELECT id, secret_hash FROM principals WHERE lower(name) = lower($1) AND kind = $2 AND disabled_at IS NULL",
        )
        .bind(name)
        .bind(kind)
        .fetch_optional(&self.pool)
        .await?;
        let (id, hash) = account.map_or((None, None), |account| {
            (Some(account.id), account.secret_hash)
        });
        let right = password::verify(secret.to_owned(), hash)
            .await
            .map_err(|e| SignInError::Crypto(e.to_string()))?;
        match id {
            Some(id) if right => {
                self.succeeded(name).await?;
                self.issue(id).await
            }
            _ => Err(SignInError::Wrong),
        }
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
            Some(text) => {
                let problems = password::problems(text);
                if !problems.is_empty() {
                    return Err(SignInError::Password(problems));
                }
                Some(
                    password::hash(text.to_owned())
                        .await
                        .map_err(|e| SignInError::Crypto(e.to_string()))?,
                )
            }
        };
        self.insert("person", email, email, hash).await
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
        let hash = password::hash(client_secret.clone())
            .await
            .map_err(|e| SignInError::Crypto(e.to_string()))?;
        let id = self
            .insert("application", &client_id, display_name, Some(hash))
            .await?;
        Ok(NewApplication {
            id,
            client_id,
            client_secret,
        })
    }

    async fn insert(
        &self,
        kind: &str,
        name: &str,
        display_name: &str,
        hash: Option<String>,
    ) -> Result<Uuid, SignInError> {
        let id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO principals (id, kind, name, display_name, secret_hash, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(id)
        .bind(kind)
        .bind(name)
        .bind(display_name)
        .bind(hash)
        .bind(self.now())
        .execute(&self.pool)
        .await?;
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
        sqlx::query(
            "INSERT INTO role_assignments (id, principal_id, scope_service_id, role, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (principal_id, scope_service_id) DO UPDATE SET role = $4",
        )
        .bind(Uuid::now_v7())
        .bind(principal)
        .bind(service)
        .bind(role.text())
        .bind(self.now())
        .execute(&self.pool)
        .await?;
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
        let done = sqlx::query(
            "DELETE FROM role_assignments WHERE principal_id = $1 AND scope_service_id IS NOT DISTINCT FROM $2",
        )
        .bind(principal)
        .bind(service)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Disables a principal: no new tokens, and the engine sees no roles from now on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn disable(&self, principal: Uuid) -> Result<(), SignInError> {
        sqlx::query("UPDATE principals SET disabled_at = $2, updated_at = $2 WHERE id = $1")
            .bind(principal)
            .bind(self.now())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
