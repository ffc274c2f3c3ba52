//! The mails of every flow, read from a real SMTP server, and what becomes of them when Portico dies.

use crate::crash::Sink;
use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use mail::{NewMail, Rendered};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
const DANA: &str = "dana@example.org";
const PASSWORD: &str = "plum 7 tractor hills";

/// What arrived, in any order, until somebody asks for it.
struct Inbox {
    sink: Sink,
    arrived: Vec<(String, String, String)>,
}

impl Inbox {
    /// The text of the mail to this address whose subject begins so.
    async fn text(&mut self, to: &str, subject: &str) -> anyhow::Result<String> {
        loop {
            let found = self
                .arrived
                .iter()
                .position(|mail| mail.0 == to && mail.1.starts_with(subject));
            if let Some(at) = found {
                return Ok(self.arrived.remove(at).2);
            }
            let mail = self.sink.next().await.with_context(|| {
                format!("waiting for `{subject}` to {to}, have {:?}", self.arrived)
            })?;
            let message = mail["message"].as_str().unwrap_or_default();
            let to = mail["to"][0].as_str().unwrap_or_default().to_owned();
            let (head, _) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
            let head = head.replace("\r\n ", " ");
            let subject = head
                .lines()
                .find_map(|line| line.strip_prefix("Subject: "))
                .context("no subject")?
                .to_owned();
            self.arrived.push((to, subject, text(message)));
        }
    }

    /// The ticket in such a mail.
    async fn ticket(&mut self, to: &str, subject: &str) -> anyhow::Result<String> {
        let text = self.text(to, subject).await?;
        let (_, rest) = text.split_once("?ticket=").with_context(|| text.clone())?;
        Ok(rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '='))
            .collect())
    }
}

/// The text of all parts of a message.
fn text(message: &str) -> String {
    let mut out = String::new();
    for part in message.split("\r\n--") {
        let Some((head, body)) = part.split_once("\r\n\r\n") else {
            continue;
        };
        if head.contains("quoted-printable") {
            let body = body.replace("=\r\n", "");
            let mut bytes = Vec::new();
            let mut rest = body.as_bytes();
            while let Some((&first, others)) = rest.split_first() {
                let hex = others
                    .get(..2)
                    .and_then(|hex| std::str::from_utf8(hex).ok())
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok());
                match (first, hex) {
                    (b'=', Some(byte)) => {
                        bytes.push(byte);
                        rest = &others[2..];
                    }
                    _ => {
                        bytes.push(first);
                        rest = others;
                    }
                }
            }
            out.push_str(&String::from_utf8_lossy(&bytes));
        } else {
            out.push_str(body);
        }
    }
    out
}

/// A browser on the developer portal.
#[derive(Default)]
struct Browser {
    client: reqwest::Client,
    cookie: Option<String>,
}

impl Browser {
    async fn send(
        &mut self,
        method: Method,
        url: &str,
        body: Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut request = self
            .client
            .request(method, url)
            .header("x-portico-portal", "1");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let reply = request.send().await?;
        if let Some(set) = reply.headers().get(header::SET_COOKIE) {
            self.cookie = set.to_str()?.split(';').next().map(str::to_owned);
        }
        let status = reply.status();
        let text = reply.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    async fn post(&mut self, url: &str, body: Value) -> anyhow::Result<Value> {
        let (status, reply) = self.send(Method::POST, url, body).await?;
        anyhow::ensure!(status.is_success(), "{url}: {status} {reply}");
        Ok(reply)
    }
}

#[tokio::test]
async fn every_flow_mails_whom_it_concerns() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let sink = Sink::start().await?;
    let smtp = sink.url.clone();
    let mut inbox = Inbox {
        sink,
        arrived: Vec::new(),
    };
    let portico = Portico::start(BINARY, &database, &[("PORTICO_SMTP_URL", smtp.as_str())]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "demo").await?;
    let manage = async |method: Method, below: &str, body: Value| -> anyhow::Result<Value> {
        let body = (!body.is_null()).then_some(body);
        let path = format!("{service}{below}");
        let answer = portico
            .send(&token, method, &path, &[("If-Match", "*")], body.as_ref())
            .await?;
        anyhow::ensure!(answer.status.is_success(), "{path}: {answer:?}");
        Ok(answer.body)
    };
    let shown = manage(Method::GET, "", Value::Null).await?;
    let api = format!(
        "{}/api",
        shown["properties"]["developerPortalUrl"]
            .as_str()
            .context("no portal")?
    );
    let publisher = "publisher@example.org";
    inbox.text(publisher, "Your API Management service").await?;

    // Sign-up with a confirmed address, then the welcome.
    let mut browser = Browser::default();
    let person =
        json!({"firstName": "Dana", "lastName": "Developer", "email": DANA, "password": PASSWORD});
    browser.post(&format!("{api}/sign-up"), person).await?;
    let ticket = inbox.ticket(DANA, "Confirm your new").await?;
    browser
        .post(&format!("{api}/confirm"), json!({"ticket": ticket}))
        .await?;
    inbox.text(DANA, "Welcome to").await?;

    // A forgotten password.
    browser
        .post(&format!("{api}/reset"), json!({"email": DANA}))
        .await?;
    let ticket = inbox.ticket(DANA, "Choose a new password").await?;
    browser
        .post(
            &format!("{api}/confirm"),
            json!({"ticket": ticket, "password": PASSWORD}),
        )
        .await?;

    // A subscription that needs approval: requested, declined with a reason; another is approved.
    for product in ["unlimited"] {
        manage(
            Method::PATCH,
            &format!("/products/{product}"),
            json!({"properties": {"approvalRequired": true, "subscriptionsLimit": 5}}),
        )
        .await?;
    }
    let subscribe = json!({"product": "unlimited", "displayName": "Mine"});
    let first = browser
        .post(&format!("{api}/subscriptions"), subscribe.clone())
        .await?;
    inbox
        .text(DANA, "We have received your request for")
        .await?;
    let asked = inbox.text(publisher, "Subscription to").await?;
    assert!(asked.contains(DANA), "{asked}");
    let sid = first["name"].as_str().context("no name")?;
    manage(
        Method::PATCH,
        &format!("/subscriptions/{sid}"),
        json!({"properties": {"state": "rejected", "stateComment": "No contract <yet>."}}),
    )
    .await?;
    let declined = inbox.text(DANA, "Your request for").await?;
    assert!(
        declined.contains("No contract <yet>.") && declined.contains("No contract &lt;yet&gt;."),
        "{declined}"
    );
    let second = browser
        .post(&format!("{api}/subscriptions"), subscribe)
        .await?;
    inbox
        .text(DANA, "We have received your request for")
        .await?;
    let sid = second["name"].as_str().context("no name")?.to_owned();
    manage(
        Method::PATCH,
        &format!("/subscriptions/{sid}"),
        json!({"properties": {"state": "active"}}),
    )
    .await?;
    inbox.text(DANA, "Your subscription to").await?;
    inbox.text(publisher, "New subscription to").await?;

    // A replaced key.
    browser
        .post(
            &format!("{api}/subscriptions/{sid}/regenerate"),
            json!({"key": "primary"}),
        )
        .await?;
    inbox.text(DANA, "Your primary key for").await?;

    // An invitation.
    let guest = json!({"properties": {"firstName": "Guest", "lastName": "One", "email": "guest@example.org",
                       "state": "pending", "confirmation": "invite"}});
    manage(Method::PUT, "/users/guest", guest).await?;
    let ticket = inbox.ticket("guest@example.org", "You are invited").await?;
    let accepted = json!({"ticket": ticket, "password": PASSWORD});
    Browser::default()
        .post(&format!("{api}/confirm"), accepted)
        .await?;
    inbox.text("guest@example.org", "Welcome to").await?;

    // A password that an administrator sets.
    manage(
        Method::PATCH,
        "/users/guest",
        json!({"properties": {"password": "another plum 8 tractor"}}),
    )
    .await?;
    let told = inbox
        .text("guest@example.org", "Your password has been reset")
        .await?;
    assert!(told.contains("another plum 8 tractor"), "{told}");

    // A new address: the old one stays until the link in the mail to the new one is opened.
    let moved = "dana@example.com";
    let (status, _) = browser
        .send(
            Method::POST,
            &format!("{api}/profile/email"),
            json!({"email": moved, "password": "wrong"}),
        )
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    browser
        .post(
            &format!("{api}/profile/email"),
            json!({"email": moved, "password": PASSWORD}),
        )
        .await?;
    let ticket = inbox.ticket(moved, "Confirm your new e-mail").await?;
    let users = format!("/users?$filter=email eq '{DANA}'");
    let before = manage(Method::GET, &users, Value::Null).await?;
    assert_eq!(before["count"], 1);
    let name = before["value"][0]["name"]
        .as_str()
        .context("no name")?
        .to_owned();
    browser
        .post(&format!("{api}/confirm"), json!({"ticket": ticket}))
        .await?;
    let user = manage(Method::GET, &format!("/users/{name}"), Value::Null).await?;
    assert_eq!(user["properties"]["email"], moved);

    // A closed account, with its subscriptions; its session is over.
    browser
        .post(
            &format!("{api}/profile/close"),
            json!({"email": moved, "password": PASSWORD}),
        )
        .await?;
    inbox.text(moved, "Your demo API account is closed").await?;
    inbox.text(publisher, "Account of Dana").await?;

    // Who did all that stands in the audit trail.
    for (action, caller) in [
        ("users/delete", moved),
        ("subscriptions/regeneratePrimaryKey/action", DANA),
        ("users/password/write", DANA),
    ] {
        let entries = manage(
            Method::GET,
            &format!("/auditEntries?$filter=endswith(action,'{action}') and caller eq '{caller}'"),
            Value::Null,
        )
        .await?;
        assert!(
            entries["count"].as_i64() >= Some(1),
            "{action} by {caller}: {entries}"
        );
    }

    // The outbox says what was sent, and a mail goes out again on request, with its Message-ID.
    let sent = manage(
        Method::GET,
        "/mails?template=accountClosedDeveloper&status=sent&recipient=DANA",
        Value::Null,
    )
    .await?;
    assert_eq!(sent["count"], 1, "{sent}");
    let mail = sent["value"][0]["name"].as_str().context("no mail")?;
    manage(Method::POST, &format!("/mails/{mail}/resend"), Value::Null).await?;
    inbox.text(moved, "Your demo API account is closed").await?;
    let entries = manage(
        Method::GET,
        "/auditEntries?$filter=endswith(action,'mails/resend/action')",
        Value::Null,
    )
    .await?;
    assert_eq!(entries["count"], 1);
    let page = manage(Method::GET, "/mails?$top=2", Value::Null).await?;
    assert_eq!(page["value"].as_array().map(Vec::len), Some(2));
    assert!(
        page["nextLink"]
            .as_str()
            .is_some_and(|next| next.contains("skip=2")),
        "{page}"
    );
    portico.stop().await?;
    Ok(())
}

#[tokio::test]
async fn queued_mails_survive_a_kill() -> anyhow::Result<()> {
    survive(500).await
}

#[tokio::test]
#[ignore = "takes minutes on a busy machine; the test above is the same with fewer mails"]
async fn ten_thousand_queued_mails_survive_a_kill() -> anyhow::Result<()> {
    survive(10_000).await
}

/// Queues mails at once, kills Portico when a fifth has arrived, and reads on until all have.
async fn survive(mails_in_all: usize) -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let mut sink = Sink::start().await?;
    let smtp = sink.url.clone();
    let environment = [("PORTICO_SMTP_URL", smtp.as_str())];
    let portico = Portico::start(BINARY, &database, &environment).await?;
    let address = |at: usize| format!("reader-{at}@example.org");
    {
        let mut connection = database.pool().acquire().await?;
        let mails = (0..mails_in_all)
            .map(|at| {
                Ok(NewMail {
                    service_id: None,
                    template: "newDeveloperNotificationMessage".to_owned(),
                    sender: mail::mailbox(None, "portico@example.org")?,
                    recipient: mail::mailbox(None, &address(at))?,
                    shown_recipient: None,
                    content: Rendered {
                        subject: format!("Mail {at}"),
                        text: "Hello\n".to_owned(),
                        html: "<p>Hello</p>".to_owned(),
                    },
                    max_attempts: None,
                })
            })
            .collect::<Result<Vec<_>, mail::Error>>()?;
        mail::queue_all(&mut connection, mails).await?;
    }
    let mut arrived = sink
        .message_ids_until(|found| found.len() >= mails_in_all / 5)
        .await?;
    assert!(arrived.len() < mails_in_all, "the kill comes in the middle");
    portico.kill().await?;
    let portico = Portico::start(BINARY, &database, &environment).await?;
    let known: BTreeSet<String> = arrived.keys().cloned().collect();
    // Some come a second time.
    let wanted: BTreeSet<String> = (0..mails_in_all)
        .map(address)
        .filter(|to| !known.contains(to))
        .collect();
    let mut missing = wanted;
    let rest = sink
        .message_ids_until(|found| {
            // Looked at only now and then: there are many.
            if found.len() % 64 == 0 || found.len() >= missing.len() {
                missing.retain(|to| !found.contains_key(to));
            }
            missing.is_empty()
        })
        .await?;
    for (to, ids) in rest {
        arrived.entry(to).or_default().extend(ids);
    }
    assert_eq!(arrived.len(), mails_in_all);
    for (to, ids) in &arrived {
        assert_eq!(ids.len(), 1, "{to} got several Message-IDs: {ids:?}");
    }
    // The last outcomes are being written when the last mail is already there.
    let unsent = "SELECT count(*) FROM mails WHERE status <> 'sent'";
    let pool = database.pool();
    tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let waiting: i64 = sqlx::query_scalar(unsent).fetch_one(&pool).await?;
            if waiting == 0 {
                return Ok::<(), sqlx::Error>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await??;
    portico.stop().await?;
    Ok(())
}
