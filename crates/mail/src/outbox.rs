//! The table `mails`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, FromRow, PgConnection};
use uuid::Uuid;

use crate::send::SendMail;
use crate::{Error, Mailbox, Rendered};

/// Failed attempts until a mail is given up: with the queue's pauses (e^n seconds, at most six hours)
/// about 28 hours, the order of magnitude that mail servers themselves keep trying.
const MAX_ATTEMPTS: i16 = 14;

/// What has become of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Status {
    /// Will be sent, perhaps again after a failed attempt.
    Queued,
    /// There was no mail server; waits for [`requeue`] or [`requeue_held`].
    Held,
    /// The mail server has accepted it.
    Sent,
    /// Given up; [`Mail::last_error`] says why.
    Failed,
}

/// A mail to be sent.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// The service it belongs to; `None` for Portico's own.
    pub service_id: Option<Uuid>,
    /// Template or notification that it was made from.
    pub template: String,
    /// Whom it is from.
    pub sender: Mailbox,
    /// Whom it is for; one mail per recipient, so that each has its own delivery status.
    pub recipient: Mailbox,
    /// Its content.
    pub content: Rendered,
    /// Failed attempts until it is given up; about 28 hours' worth when absent.
    pub max_attempts: Option<i16>,
}

/// A mail in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Mail {
    /// Id in the outbox.
    pub id: Uuid,
    /// The service it belongs to.
    pub service_id: Option<Uuid>,
    /// Template or notification.
    pub template: String,
    /// The header Message-ID, with its angle brackets.
    pub message_id: String,
    /// Whom it is from, as in the header.
    pub sender: String,
    /// Whom it is for, as in the header.
    pub recipient: String,
    /// Subject line.
    pub subject: String,
    /// Body as text.
    pub text_body: String,
    /// Body as HTML.
    pub html_body: String,
    /// What has become of it.
    pub status: Status,
    /// Attempts to send it so far.
    pub attempts: i32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When the mail server accepted it.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Puts a mail into the outbox and enqueues its sending, within the caller's transaction.
///
/// # Errors
/// When Postgres refuses.
pub async fn queue(connection: &mut PgConnection, mail: NewMail) -> Result<Uuid, Error> {
    // A savepoint inside a transaction; on a plain connection it keeps row and job together.
    let mut together = connection.begin().await?;
    let id: Uuid = sqlx::query_scalar(
        "WITH fresh AS (SELECT gen_random_uuid() AS id)
         INSERT INTO mails (id, service_id, template, message_id, sender, recipient, subject, text_body, html_body)
         SELECT id, $1, $2, '<' || id || '@' || $3 || '>', $4, $5, $6, $7, $8 FROM fresh
         RETURNING id",
    )
    .bind(mail.service_id)
    .bind(&mail.template)
    .bind(mail.sender.email.domain())
    .bind(mail.sender.to_string())
    .bind(mail.recipient.to_string())
    .bind(&mail.content.subject)
    .bind(&mail.content.text)
    .bind(&mail.content.html)
    .fetch_one(&mut *together)
    .await?;
    enqueue(&mut together, id, mail.max_attempts).await?;
    together.commit().await?;
    Ok(id)
}

async fn enqueue(
    connection: &mut PgConnection,
    id: Uuid,
    max_attempts: Option<i16>,
) -> Result<(), Error> {
    let options = jobs::Options {
        job_key: Some(format!("mail:{id}")),
        max_attempts: max_attempts.or(Some(MAX_ATTEMPTS)),
        ..jobs::Options::default()
    };
    jobs::enqueue::<SendMail>(connection, &id, options).await?;
    Ok(())
}

/// One mail.
///
/// # Errors
/// When Postgres refuses.
pub async fn mail(connection: &mut PgConnection, id: Uuid) -> Result<Option<Mail>, Error> {
    Ok(sqlx::query_as("SELECT * FROM mails WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await?)
}

/// The outbox, latest first; of one service or status if given.
///
/// # Errors
/// When Postgres refuses.
pub async fn mails(
    connection: &mut PgConnection,
    service_id: Option<Uuid>,
    status: Option<Status>,
    limit: i64,
) -> Result<Vec<Mail>, Error> {
    let found = sqlx::query_as(
        "SELECT * FROM mails WHERE ($1::uuid IS NULL OR service_id = $1) AND ($2::text IS NULL OR status = $2)
          ORDER BY created_at DESC, id LIMIT $3",
    )
    .bind(service_id)
    .bind(status)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(found)
}

/// Sends a mail (again) that is held, failed or even sent. `false` when it is queued already or unknown.
///
/// # Errors
/// When Postgres refuses.
pub async fn requeue(connection: &mut PgConnection, id: Uuid) -> Result<bool, Error> {
    let mut together = connection.begin().await?;
    let changed = sqlx::query("UPDATE mails SET status = 'queued', sent_at = NULL, last_error = NULL WHERE id = $1 AND status <> 'queued'")
        .bind(id)
        .execute(&mut *together)
        .await?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    enqueue(&mut together, id, None).await?;
    together.commit().await?;
    Ok(true)
}

/// Sends every held mail; for the start of a Portico that has a mail server. Returns how many.
///
/// # Errors
/// When Postgres refuses.
pub async fn requeue_held(connection: &mut PgConnection) -> Result<usize, Error> {
    let mut together = connection.begin().await?;
    let ids: Vec<Uuid> =
        sqlx::query_scalar("UPDATE mails SET status = 'queued' WHERE status = 'held' RETURNING id")
            .fetch_all(&mut *together)
            .await?;
    for id in &ids {
        enqueue(&mut together, *id, None).await?;
    }
    together.commit().await?;
    Ok(ids.len())
}

/// Removes mails that were sent before `before`. Returns how many.
///
/// # Errors
/// When Postgres refuses.
pub async fn purge_sent(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
) -> Result<u64, Error> {
    Ok(sqlx::query("DELETE FROM mails WHERE sent_at < $1")
        .bind(before)
        .execute(connection)
        .await?
        .rows_affected())
}
