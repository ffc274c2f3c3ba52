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
    /// Whom the header To shows, where that is not the recipient: of a blind copy.
    pub shown_recipient: Option<Mailbox>,
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
    /// Whom the header To shows, where that is not the recipient: of a blind copy.
    pub shown_recipient: Option<String>,
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
    let mut ids = queue_all(connection, vec![mail]).await?;
    ids.pop().ok_or(Error::Sql(sqlx::Error::RowNotFound))
}

/// As [`queue`], for many mails in two statements; the ids are in the order of the mails.
///
/// # Errors
/// When Postgres refuses, and then none is queued.
pub async fn queue_all(
    connection: &mut PgConnection,
    mails: Vec<NewMail>,
) -> Result<Vec<Uuid>, Error> {
    let mut ids = Vec::with_capacity(mails.len());
    let (mut services, mut templates, mut message_ids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut senders, mut recipients, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let (mut subjects, mut texts, mut htmls) = (Vec::new(), Vec::new(), Vec::new());
    let mut work = Vec::with_capacity(mails.len());
    for mail in mails {
        let id = Uuid::new_v4();
        ids.push(id);
        work.push((id, options(id, mail.max_attempts)));
        services.push(mail.service_id);
        templates.push(mail.template);
        message_ids.push(format!("<{id}@{}>", mail.sender.email.domain()));
        senders.push(mail.sender.to_string());
        recipients.push(mail.recipient.to_string());
        shown.push(mail.shown_recipient.map(|mailbox| mailbox.to_string()));
        subjects.push(mail.content.subject);
        texts.push(mail.content.text);
        htmls.push(mail.content.html);
    }
    // A savepoint inside a transaction; on a plain connection it keeps rows and jobs together.
    let mut together = connection.begin().await?;
    sqlx::query(
        "INSERT INTO mails (id, service_id, template, message_id, sender, recipient, shown_recipient, subject, text_body, html_body)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])",
    )
    .bind(&ids)
    .bind(services)
    .bind(templates)
    .bind(message_ids)
    .bind(senders)
    .bind(recipients)
    .bind(shown)
    .bind(subjects)
    .bind(texts)
    .bind(htmls)
    .execute(&mut *together)
    .await?;
    jobs::enqueue_all::<SendMail>(&mut together, &work).await?;
    together.commit().await?;
    Ok(ids)
}

fn options(id: Uuid, max_attempts: Option<i16>) -> jobs::Options {
    jobs::Options {
        job_key: Some(format!("mail:{id}")),
        max_attempts: max_attempts.or(Some(MAX_ATTEMPTS)),
        ..jobs::Options::default()
    }
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

/// Which mails of the outbox are asked for; absent members allow all.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Of this service.
    pub service_id: Option<Uuid>,
    /// Of this status.
    pub status: Option<Status>,
    /// Made from this template or notification, in any case.
    pub template: Option<String>,
    /// To somebody whose name or address contains this text, in any case.
    pub recipient: Option<String>,
    /// Queued at or after.
    pub from: Option<DateTime<Utc>>,
    /// Queued before.
    pub until: Option<DateTime<Utc>>,
    /// Mails to pass over.
    pub skip: i64,
    /// Mails at most.
    pub top: i64,
}

/// The outbox, latest first, and how many mails the search finds in all.
///
/// # Errors
/// When Postgres refuses.
pub async fn mails(
    connection: &mut PgConnection,
    search: &Search,
) -> Result<(Vec<Mail>, i64), Error> {
    const WHERE: &str = "FROM mails WHERE ($1::uuid IS NULL OR service_id = $1) AND ($2::text IS NULL OR status = $2) \
         AND ($3::text IS NULL OR lower(template) = lower($3)) AND ($4::text IS NULL OR strpos(lower(recipient), lower($4)) > 0) \
         AND ($5::timestamptz IS NULL OR created_at >= $5) AND ($6::timestamptz IS NULL OR created_at < $6)";
    let found = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT * {WHERE} ORDER BY created_at DESC, id LIMIT $7 OFFSET $8"
    )))
    .bind(search.service_id)
    .bind(search.status)
    .bind(&search.template)
    .bind(&search.recipient)
    .bind(search.from)
    .bind(search.until)
    .bind(search.top)
    .bind(search.skip)
    .fetch_all(&mut *connection)
    .await?;
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) {WHERE}")))
        .bind(search.service_id)
        .bind(search.status)
        .bind(&search.template)
        .bind(&search.recipient)
        .bind(search.from)
        .bind(search.until)
        .fetch_one(connection)
        .await?;
    Ok((found, count))
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
    jobs::enqueue::<SendMail>(&mut together, &id, options(id, None)).await?;
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
    let work: Vec<_> = ids.iter().map(|id| (*id, options(*id, None))).collect();
    jobs::enqueue_all::<SendMail>(&mut together, &work).await?;
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
