//! Handing mails to the mail server.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::{AsyncTransport, Message, Tokio1Executor};
use sqlx::PgPool;
use uuid::Uuid;

use crate::outbox::{Mail, Status};
use crate::{Error, one_line};

/// Longest silence of the mail server.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The way to the mail server, with a pool of connections.
#[derive(Clone, Debug)]
pub struct Transport(AsyncSmtpTransport<Tokio1Executor>);

impl Transport {
    /// From `PORTICO_SMTP_URL`: `smtp://user:password@host:25`, `smtps://..` for TLS from the first
    /// byte, `?tls=required` or `?tls=opportunistic` for STARTTLS. Called inside the runtime, because
    /// the pool starts a task.
    ///
    /// # Errors
    /// When the address is not usable. The mail server is not contacted.
    pub fn smtp(url: &str) -> Result<Self, Error> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|error| Error::Transport(error.to_string()))?;
        Ok(Self(builder.timeout(Some(TIMEOUT)).build()))
    }
}

/// The job `send_mail`: sends one mail of the outbox.
#[derive(Clone, Debug)]
pub struct SendMail {
    /// Where the outbox is.
    pub pool: PgPool,
    /// `None` when no mail server is configured: mails are held.
    pub transport: Option<Transport>,
}

enum Outcome {
    Sent,
    Held,
    /// Worth another attempt.
    Later(String),
    /// Never.
    Refused(String),
}

impl jobs::Job for SendMail {
    const NAME: &'static str = "send_mail";
    type Payload = Uuid;

    async fn run(&self, id: Uuid, attempt: jobs::Attempt) -> anyhow::Result<()> {
        // The lock lasts until the outcome is written: should the job run twice at a time, the second
        // run waits here and then finds the mail sent.
        // The commit does not wait for the disk: what is lost with a machine's power is the word "sent", and then the mail goes
        // out again with its Message-ID, as after any death between the server's answer and the row.
        let mut transaction = self
            .pool
            .begin_with("BEGIN; SET LOCAL synchronous_commit = off")
            .await?;
        let mail: Option<Mail> =
            sqlx::query_as("SELECT * FROM mails WHERE id = $1 AND status = 'queued' FOR UPDATE")
                .bind(id)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some(mail) = mail else {
            tracing::debug!(%id, "the mail is not queued any more");
            return Ok(());
        };

        let outcome = match (&self.transport, message(&mail)) {
            (None, _) => Outcome::Held,
            (Some(_), Err(problem)) => Outcome::Refused(problem),
            (Some(transport), Ok(message)) => match transport.0.send(message).await {
                Ok(_) => Outcome::Sent,
                Err(error) if error.is_permanent() => Outcome::Refused(chain(&error)),
                Err(error) => Outcome::Later(chain(&error)),
            },
        };
        let (status, error, word) = match &outcome {
            Outcome::Sent => (Status::Sent, None, "sent"),
            Outcome::Held => (Status::Held, None, "held"),
            Outcome::Refused(error) => (Status::Failed, Some(error), "refused"),
            Outcome::Later(error) if attempt.is_last() => (Status::Failed, Some(error), "given_up"),
            Outcome::Later(error) => (Status::Queued, Some(error), "postponed"),
        };
        sqlx::query(
            "UPDATE mails SET status = $2, last_error = $3, attempts = attempts + CASE WHEN $2 = 'held' THEN 0 ELSE 1 END,
                    sent_at = CASE WHEN $2 = 'sent' THEN clock_timestamp() END
              WHERE id = $1",
        )
        .bind(id)
        .bind(status)
        .bind(error)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        metrics::counter!("portico_mails_total", "outcome" => word).increment(1);
        match status {
            // The row is where a given-up mail is seen and sent again, so the job itself is done.
            Status::Failed => {
                tracing::error!(%id, template = mail.template, error, "a mail cannot be delivered")
            }
            Status::Queued => anyhow::bail!("{}", error.map_or("", String::as_str)),
            Status::Held | Status::Sent => {}
        }
        Ok(())
    }
}

/// The mail as it goes over the wire. An error here is for good: the row will not change.
fn message(mail: &Mail) -> Result<Message, String> {
    let mailbox = |text: &str| {
        text.parse::<Mailbox>()
            .map_err(|error| format!("`{text}` is not a mail address: {error}"))
    };
    let (sender, recipient) = (mailbox(&mail.sender)?, mailbox(&mail.recipient)?);
    let envelope = Envelope::new(Some(sender.email.clone()), vec![recipient.email.clone()])
        .map_err(|error| format!("cannot address the mail: {error}"))?;
    let shown = match &mail.shown_recipient {
        Some(shown) => mailbox(shown)?,
        None => recipient,
    };
    Message::builder()
        .message_id(Some(mail.message_id.clone()))
        .date(mail.created_at.into())
        .from(sender)
        .to(shown)
        .envelope(envelope)
        .subject(one_line(&mail.subject))
        // RFC 3834: answering machines stay silent.
        .raw_header(lettre::message::header::HeaderValue::new(
            lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .multipart(MultiPart::alternative_plain_html(
            mail.text_body.clone(),
            mail.html_body.clone(),
        ))
        .map_err(|error| format!("cannot make a message: {error}"))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn mail(sender: &str, recipient: &str, subject: &str) -> Mail {
        Mail {
            shown_recipient: None,
            id: Uuid::nil(),
            service_id: None,
            template: "service_activated".to_owned(),
            message_id: "<1@portico.example>".to_owned(),
            sender: sender.to_owned(),
            recipient: recipient.to_owned(),
            subject: subject.to_owned(),
            text_body: "text".to_owned(),
            html_body: "<p>html</p>".to_owned(),
            status: Status::Queued,
            attempts: 0,
            last_error: None,
            created_at: DateTime::UNIX_EPOCH,
            sent_at: None,
        }
    }

    fn headers(message: &Message) -> Vec<String> {
        let text = String::from_utf8(message.formatted()).expect("ASCII headers");
        let head = text.split("\r\n\r\n").next().expect("a header");
        head.lines()
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap_or("").to_owned())
            .collect()
    }

    #[test]
    fn line_breaks_in_names_and_subjects_add_no_header() {
        let sender = crate::mailbox(
            Some("Evil\r\nBcc: all@example.com\r\n\r\nbody"),
            "a@example.com",
        )
        .expect("a mailbox");
        let recipient = crate::mailbox(Some("Ž\"\n,; <x@y>"), "b@example.com").expect("a mailbox");
        let message = message(&mail(
            &sender.to_string(),
            &recipient.to_string(),
            "Hi\r\nBcc: all@example.com",
        ))
        .expect("a message");
        assert_eq!(
            headers(&message),
            [
                "Message-ID",
                "Date",
                "From",
                "To",
                "Subject",
                "Auto-Submitted",
                "MIME-Version",
                "Content-Type"
            ]
        );
        assert_eq!(
            message
                .envelope()
                .to()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["b@example.com"]
        );
    }

    #[test]
    fn line_breaks_in_addresses_are_refused() {
        for address in [
            "a@example.com\r\nRCPT TO:<b@example.com>",
            "a\n@example.com",
            "a@exa\rmple.com",
            "a@b>, <c@d",
        ] {
            assert!(crate::mailbox(None, address).is_err(), "{address:?}");
        }
        assert!(
            message(&mail(
                "a@example.com",
                "b@example.com\r\nBcc: c@example.com",
                "x"
            ))
            .is_err()
        );
    }

    #[tokio::test]
    async fn transports_are_made_from_addresses_only() {
        for url in [
            "smtp://localhost:25",
            "smtps://user:pass@mail.example.com",
            "smtp://mail.example.com:587?tls=required",
        ] {
            Transport::smtp(url).expect(url);
        }
        assert!(Transport::smtp("http://example.com").is_err());
    }
}
