//! `kill -9` of Portico and of Postgres during writes: what was acknowledged is there, and every mail
//! arrives at least once with one Message-ID.

use anyhow::Context as _;
use embedded_postgres::test_database::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Stdio,
    time::Duration,
};
use testkit::Portico;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

/// A real SMTP server that prints what it accepts.
pub(crate) struct Sink {
    child: Child,
    pub(crate) url: String,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/smtp-sink.sh");
        let mut child = Command::new(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let first: Value = serde_json::from_str(&lines.next_line().await?.context("no port")?)?;
        let url = format!("smtp://127.0.0.1:{}", first["port"]);
        Ok(Self { child, url, lines })
    }

    /// Message-IDs by recipient, read until every recipient has a mail.
    async fn message_ids(
        &mut self,
        wanted: &BTreeSet<String>,
    ) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
        self.message_ids_until(|found| wanted.iter().all(|to| found.contains_key(to)))
            .await
    }

    /// The next mail.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Value> {
        let line = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line())
            .await
            .context("no more mails came")??
            .context("the mail server ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Message-IDs by recipient, read until there are enough.
    pub(crate) async fn message_ids_until(
        &mut self,
        mut enough: impl FnMut(&BTreeMap<String, BTreeSet<String>>) -> bool,
    ) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        while !enough(&found) {
            let mail = self
                .next()
                .await
                .with_context(|| format!("{} mails came", found.len()))?;
            let message = mail["message"].as_str().unwrap_or_default();
            let id = message
                .lines()
                .find_map(|line| line.strip_prefix("Message-ID: "))
                .with_context(|| format!("no Message-ID in {message}"))?;
            let recipient = mail["to"][0].as_str().unwrap_or_default().to_owned();
            found.entry(recipient).or_default().insert(id.to_owned());
        }
        Ok(found)
    }
}

/// Writes before the kill of a round.
const BEFORE: usize = 10;
/// Writes that are tried after it; a Postgres that comes back quickly may fail none of them.
const AFTER: usize = 40;

/// Creates users until a write fails; each creation queues a mail. After some it kills the process of
/// this id, while it goes on writing. The acknowledged names.
async fn create_users_while_killing(
    portico: &Portico,
    token: &str,
    service: &str,
    round: usize,
    pid: String,
) -> anyhow::Result<Vec<String>> {
    let mut acknowledged = Vec::new();
    let mut killer = None;
    for at in 0..BEFORE + AFTER {
        let name = format!("user-{round}-{at}");
        let body = json!({"properties": {
            "firstName": "Ann", "lastName": "Bee", "email": format!("{name}@example.org"), "confirmation": "invite"
        }});
        let path = format!("{service}/users/{name}");
        match portico
            .send(token, Method::PUT, &path, &[], Some(&body))
            .await
        {
            Ok(answer) if answer.status.as_u16() == 201 => acknowledged.push(name),
            Ok(_) | Err(_) => break,
        }
        if acknowledged.len() == BEFORE {
            let pid = pid.clone();
            killer = Some(tokio::spawn(async move {
                Command::new("kill").args(["-9", &pid]).status().await
            }));
        }
    }
    killer.context("a write failed before the kill")?.await??;
    Ok(acknowledged)
}

#[tokio::test]
async fn a_killed_portico_loses_no_acknowledged_write_and_no_mail() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let mut sink = Sink::start().await?;
    let smtp = sink.url.clone();
    let environment = [("PORTICO_SMTP_URL", smtp.as_str())];
    let mut portico = Portico::start(BINARY, &database, &environment).await?;
    let service = {
        let token = portico.token().await?;
        portico.service(&token, "crash").await?
    };
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let token = portico.token().await?;
        let pid = portico.pid().context("no pid")?.to_string();
        acknowledged
            .extend(create_users_while_killing(&portico, &token, &service, round, pid).await?);
        portico = Portico::start(BINARY, &database, &environment).await?;
    }
    let token = portico.token().await?;
    for name in &acknowledged {
        let found = portico
            .send(
                &token,
                Method::GET,
                &format!("{service}/users/{name}"),
                &[],
                None,
            )
            .await?;
        assert_eq!(found.status.as_u16(), 200, "{name} is lost");
    }
    let wanted: BTreeSet<String> = acknowledged
        .iter()
        .map(|name| format!("{name}@example.org"))
        .collect();
    let arrived = sink.message_ids(&wanted).await?;
    for recipient in &wanted {
        assert_eq!(
            arrived[recipient].len(),
            1,
            "{recipient} got several Message-IDs: {:?}",
            arrived[recipient]
        );
    }
    sink.child.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_postgres_loses_no_acknowledged_write() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("portico-crash-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let data = folder.to_string_lossy().into_owned();
    // An empty DATABASE_URL is none: Portico runs a durable Postgres of its own.
    let portico = Portico::start_over(BINARY, "", &[("PORTICO_DATA_DIR", &data)]).await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "crash").await?;
    let pid_file = folder.join("postgres/cluster/postmaster.pid");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let pid = std::fs::read_to_string(&pid_file)?
            .lines()
            .next()
            .context("no pid")?
            .to_owned();
        acknowledged
            .extend(create_users_while_killing(&portico, &token, &service, round, pid).await?);
        let mut back = false;
        for _ in 0..600 {
            let answer = portico
                .send(&token, Method::GET, &service, &[], None)
                .await?;
            back = answer.status.as_u16() == 200;
            if back {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(back, "Postgres did not come back");
    }
    for name in &acknowledged {
        let found = portico
            .send(
                &token,
                Method::GET,
                &format!("{service}/users/{name}"),
                &[],
                None,
            )
            .await?;
        assert_eq!(found.status.as_u16(), 200, "{name} is lost");
    }
    portico.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
