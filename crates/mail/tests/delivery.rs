//! From the outbox to a real SMTP server.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use embedded_postgres::Error as DatabaseError;
use embedded_postgres::test_database::TestDatabase;
use jobs::{Jobs, Worker, WorkerOptions};
use mail::{Mail, NewMail, Rendered, SendMail, Status, Transport, mailbox, queue};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

/// The mail server of `scripts/smtp-sink.sh`.
struct Sink {
    process: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    port: u16,
}

impl Sink {
    fn start(port: u16) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/smtp-sink.sh");
        let mut process = Command::new(script)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let port = first["port"].as_u64().unwrap().try_into().unwrap();
        Self {
            process,
            lines: Some(lines),
            port,
        }
    }

    fn transport(&self) -> Transport {
        Transport::smtp(&format!("smtp://127.0.0.1:{}", self.port)).unwrap()
    }

    /// The next mail accepted.
    async fn next(&mut self) -> serde_json::Value {
        let mut lines = self.lines.take().unwrap();
        let reading = tokio::task::spawn_blocking(move || (lines.next(), lines));
        let (line, lines) = tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap()
            .unwrap();
        self.lines = Some(lines);
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    }

    /// Stops the server; the mails accepted and not yet read.
    fn stop(&mut self) -> Vec<String> {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
        self.lines
            .take()
            .unwrap()
            .map(|line| line.unwrap())
            .collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

async fn database() -> TestDatabase {
    const MIGRATION: &str = concat!(
        include_str!("../../../migrations/0003_mail.sql"),
        include_str!("../../../migrations/0044_mails.sql")
    );
    let mut content = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(MIGRATION, &mut content);
    TestDatabase::from_template(
        &format!("mail_{:x}", std::hash::Hasher::finish(&content)),
        async |pool| {
            jobs::migrate(pool)
                .await
                .map_err(|error| DatabaseError::Fill(error.into()))?;
            sqlx::raw_sql(MIGRATION).execute(pool).await?;
            Ok(())
        },
    )
    .await
    .unwrap()
}

async fn worker(pool: &PgPool, transport: Option<Transport>) -> Worker {
    Worker::start(
        pool.clone(),
        Jobs::new().register(SendMail {
            pool: pool.clone(),
            transport,
        }),
        WorkerOptions::default(),
    )
    .await
    .unwrap()
}

fn new_mail(recipient: &str) -> NewMail {
    NewMail {
        service_id: None,
        template: "newDeveloperNotificationMessage".to_owned(),
        sender: mailbox(Some("Příklad API"), "apim@example.com").unwrap(),
        recipient: mailbox(Some("Ann Novák"), recipient).unwrap(),
        shown_recipient: None,
        content: Rendered {
            subject: "Vítejte".to_owned(),
            text: "Hello Ann\n".to_owned(),
            html: "<p>Hello Ann</p>".to_owned(),
        },
        max_attempts: None,
    }
}

async fn queued(connection: &mut PgConnection, mail: NewMail) -> Uuid {
    queue(connection, mail).await.unwrap()
}

/// Waits until a mail has the wanted form.
async fn until(connection: &mut PgConnection, id: Uuid, wanted: impl Fn(&Mail) -> bool) -> Mail {
    tokio::time::timeout(PATIENCE, async {
        loop {
            let mail = mail::mail(connection, id).await.unwrap().unwrap();
            if wanted(&mail) {
                break mail;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_queued_mail_is_delivered_and_its_row_says_so() {
    let database = database().await;
    let pool = database.pool();
    let mut sink = Sink::start(0);
    let worker = worker(&pool, Some(sink.transport())).await;
    let mut connection = pool.acquire().await.unwrap();

    let mut rolled_back = pool.begin().await.unwrap();
    queue(&mut rolled_back, new_mail("nobody@example.com"))
        .await
        .unwrap();
    rolled_back.rollback().await.unwrap();
    let id = queued(&mut connection, new_mail("ann@example.com")).await;

    let received = sink.next().await;
    let row = until(&mut connection, id, |mail| mail.status == Status::Sent).await;
    assert_eq!(
        (received["from"].as_str(), &received["to"]),
        (
            Some("apim@example.com"),
            &serde_json::json!(["ann@example.com"])
        )
    );
    let message = received["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("Message-ID: {}\r\n", row.message_id)),
        "{message}"
    );
    assert!(
        message.contains("Hello Ann")
            && message.contains("<p>Hello Ann</p>")
            && message.contains("multipart/alternative"),
        "{message}"
    );
    assert_eq!(
        (row.attempts, row.last_error, row.sent_at.is_some()),
        (1, None, true)
    );
    worker.stop().await;
    assert_eq!(sink.stop(), Vec::<String>::new());
}

#[tokio::test]
async fn a_mail_waits_for_the_server_and_keeps_its_message_id() {
    let database = database().await;
    let pool = database.pool();
    let mut sink = Sink::start(0);
    let (transport, port) = (sink.transport(), sink.port);
    sink.stop();
    let mut connection = pool.acquire().await.unwrap();
    let id = queued(&mut connection, new_mail("ann@example.com")).await;
    let worker = worker(&pool, Some(transport)).await;
    let failed = until(&mut connection, id, |mail| mail.attempts == 1).await;
    assert_eq!(failed.status, Status::Queued);
    assert!(
        failed
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("Connection")),
        "{failed:?}"
    );

    let mut sink = Sink::start(port);
    let received = sink.next().await;
    let sent = until(&mut connection, id, |mail| mail.status == Status::Sent).await;
    assert_eq!(sent.message_id, failed.message_id);
    assert!(
        received["message"]
            .as_str()
            .unwrap()
            .contains(&sent.message_id)
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_refused_mail_is_a_visible_dead_letter_that_can_be_sent_again() {
    let database = database().await;
    let pool = database.pool();
    let mut sink = Sink::start(0);
    let worker = worker(&pool, Some(sink.transport())).await;
    let mut connection = pool.acquire().await.unwrap();
    let id = queued(&mut connection, new_mail("refused@example.com")).await;
    let dead = until(&mut connection, id, |mail| mail.status == Status::Failed).await;
    assert_eq!(dead.attempts, 1);
    assert!(
        dead.last_error
            .as_deref()
            .is_some_and(|error| error.contains("No such mailbox")),
        "{dead:?}"
    );
    assert_eq!(
        mail::mails(
            &mut connection,
            &mail::Search {
                status: Some(Status::Failed),
                top: 10,
                ..mail::Search::default()
            }
        )
        .await
        .unwrap(),
        (vec![dead.clone()], 1)
    );

    sqlx::query("UPDATE mails SET recipient = 'ann@example.com' WHERE id = $1")
        .bind(id)
        .execute(&mut *connection)
        .await
        .unwrap();
    assert!(mail::requeue(&mut connection, id).await.unwrap());
    assert!(
        sink.next().await["message"]
            .as_str()
            .unwrap()
            .contains(&dead.message_id)
    );
    until(&mut connection, id, |mail| mail.status == Status::Sent).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_mail_that_fails_too_often_is_given_up() {
    let database = database().await;
    let pool = database.pool();
    let sink = Sink::start(0);
    let worker = worker(&pool, Some(sink.transport())).await;
    let mut connection = pool.acquire().await.unwrap();
    let id = queued(
        &mut connection,
        NewMail {
            max_attempts: Some(2),
            ..new_mail("later@example.com")
        },
    )
    .await;
    let given_up = until(&mut connection, id, |mail| mail.status == Status::Failed).await;
    assert_eq!(given_up.attempts, 2);
    assert!(
        given_up
            .last_error
            .as_deref()
            .is_some_and(|error| error.contains("Try again later")),
        "{given_up:?}"
    );
    worker.stop().await;
}

#[tokio::test]
async fn without_a_mail_server_mails_are_held_until_there_is_one() {
    let database = database().await;
    let pool = database.pool();
    let mut connection = pool.acquire().await.unwrap();
    let without = worker(&pool, None).await;
    let id = queued(&mut connection, new_mail("ann@example.com")).await;
    let held = until(&mut connection, id, |mail| mail.status == Status::Held).await;
    assert_eq!(
        (held.attempts, held.last_error, held.text_body.as_str()),
        (0, None, "Hello Ann\n")
    );
    without.stop().await;

    let mut sink = Sink::start(0);
    let with = worker(&pool, Some(sink.transport())).await;
    assert_eq!(mail::requeue_held(&mut connection).await.unwrap(), 1);
    sink.next().await;
    let sent = until(&mut connection, id, |mail| mail.status == Status::Sent).await;
    with.stop().await;
    assert_eq!(
        mail::purge_sent(&mut connection, sent.sent_at.unwrap())
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        mail::purge_sent(
            &mut connection,
            sent.sent_at.unwrap() + Duration::from_secs(1)
        )
        .await
        .unwrap(),
        1
    );
}

#[tokio::test]
async fn a_job_that_runs_twice_sends_once() {
    let database = database().await;
    let pool = database.pool();
    let mut sink = Sink::start(0);
    let mut connection = pool.acquire().await.unwrap();
    let id = queued(&mut connection, new_mail("ann@example.com")).await;
    let job = SendMail {
        pool: pool.clone(),
        transport: Some(sink.transport()),
    };
    let attempt = jobs::Attempt { number: 1, max: 3 };
    let (first, second) = tokio::join!(
        jobs::Job::run(&job, id, attempt),
        jobs::Job::run(&job, id, attempt)
    );
    first.unwrap();
    second.unwrap();
    assert_eq!(sink.stop().len(), 1);
}
