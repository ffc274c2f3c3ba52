//! External caches of services, in Redis or Valkey: what policies keep is shared by all gateways, and outlives them.
//!
//! A cache that does not answer within a bounded wait counts as empty: calls go on to the backend, and a connection is tried again
//! every [`PAUSE`]. Connections are made when a policy first needs them, one for each connection string.

use anyhow::{Context as _, bail};
use engine::BoxFuture;
use gateway::ExternalCaches;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Longest that a new connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Pause between attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// What every key begins with.
const PREFIX: &str = "portico:cache:";

enum State {
    Connected(u64, MultiplexedConnection),
    Connecting,
    /// Not before this moment again.
    Waiting(Instant),
}

struct Shared {
    wait: Duration,
    /// By connection string. Those that are not used any more are few: a service has a handful of caches.
    caches: Mutex<HashMap<String, State>>,
    numbers: std::sync::atomic::AtomicU64,
}

/// External caches in Redis.
pub struct RedisCaches(Arc<Shared>);

impl RedisCaches {
    /// Caches that calls wait for as long as this.
    #[must_use]
    pub fn new(wait: Duration) -> Self {
        Self(Arc::new(Shared {
            wait,
            caches: Mutex::default(),
            numbers: Default::default(),
        }))
    }
}

/// The URL of a connection string: it itself, or `host:port,password=…,ssl=True` as clients of .NET write it.
fn url(connection: &str) -> anyhow::Result<String> {
    let text = connection.trim();
    if text.starts_with("redis://") || text.starts_with("rediss://") {
        return Ok(text.to_owned());
    }
    let mut parts = text.split(',').map(str::trim);
    let host = parts
        .next()
        .filter(|host| !host.is_empty() && !host.contains('='));
    let Some(host) = host else {
        bail!("it names no host");
    };
    let (mut user, mut password, mut tls, mut database) = (String::new(), None, false, None);
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "password" => password = Some(value.to_owned()),
            "user" => value.clone_into(&mut user),
            "ssl" => tls = value.eq_ignore_ascii_case("true"),
            "defaultdatabase" => database = value.parse::<u32>().ok(),
            // Others tune the client of .NET.
            _ => {}
        }
    }
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let scheme = if tls { "rediss" } else { "redis" };
    let account = match password {
        Some(password) => format!("{}:{}@", encoded(&user), encoded(&password)),
        None => String::new(),
    };
    let port = if host.contains(':') { "" } else { ":6379" };
    let database = database.map_or_else(String::new, |number| format!("/{number}"));
    Ok(format!("{scheme}://{account}{host}{port}{database}"))
}

async fn connect(connection: &str, wait: Duration) -> anyhow::Result<MultiplexedConnection> {
    let client = Client::open(url(connection)?).context("the connection string cannot be used")?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(wait));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    // A server that accepts and then says nothing is none.
    let _: String = redis::cmd("PING").query_async(&mut connection).await?;
    Ok(connection)
}

impl Shared {
    /// The connection, if there is one; else one is made in the background.
    fn connection(self: &Arc<Self>, cache: &str) -> Option<(u64, MultiplexedConnection)> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        match caches.get(cache) {
            Some(State::Connected(number, connection)) => {
                return Some((*number, connection.clone()));
            }
            Some(State::Connecting) => return None,
            Some(State::Waiting(until)) if *until > Instant::now() => return None,
            Some(State::Waiting(_)) | None => {}
        }
        caches.insert(cache.to_owned(), State::Connecting);
        drop(caches);
        let (shared, cache) = (Arc::clone(self), cache.to_owned());
        tokio::spawn(async move {
            let made = connect(&cache, shared.wait).await;
            let state = match made {
                Ok(connection) => {
                    tracing::info!("an external cache is connected");
                    let number = shared
                        .numbers
                        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    State::Connected(number, connection)
                }
                Err(error) => {
                    // The connection string may hold a password: it is not repeated.
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "an external cache cannot be reached"
                    );
                    State::Waiting(Instant::now() + PAUSE)
                }
            };
            let mut caches = shared.caches.lock().unwrap_or_else(PoisonError::into_inner);
            caches.insert(cache, state);
        });
        None
    }

    fn lost(&self, cache: &str, number: u64) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(caches.get(cache), Some(State::Connected(present, _)) if *present == number) {
            tracing::warn!("an external cache does not answer; it counts as empty until it does");
            caches.insert(cache.to_owned(), State::Waiting(Instant::now() + PAUSE));
        }
    }

    async fn ask<T: redis::FromRedisValue>(
        self: &Arc<Self>,
        cache: &str,
        command: redis::Cmd,
    ) -> Option<T> {
        let Some((number, mut connection)) = self.connection(cache) else {
            count("absent");
            return None;
        };
        let answer: Result<Result<T, RedisError>, _> =
            tokio::time::timeout(self.wait, command.query_async(&mut connection)).await;
        match answer {
            Ok(Ok(value)) => {
                count("answered");
                Some(value)
            }
            Ok(Err(_)) | Err(_) => {
                count("failed");
                self.lost(cache, number);
                None
            }
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("portico_gateway_external_cache_total", "outcome" => outcome).increment(1);
}

fn named(command: &str, key: &str) -> redis::Cmd {
    let mut command = redis::cmd(command);
    command.arg(format!("{PREFIX}{key}"));
    command
}

impl ExternalCaches for RedisCaches {
    fn get<'a>(&'a self, cache: &'a str, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            self.0
                .ask::<Option<Vec<u8>>>(cache, named("GET", key))
                .await
                .flatten()
        })
    }

    fn put<'a>(
        &'a self,
        cache: &'a str,
        key: &'a str,
        value: Vec<u8>,
        lifetime: Duration,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let lifetime_ms = u64::try_from(lifetime.as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
            let mut command = named("SET", key);
            command.arg(value).arg("PX").arg(lifetime_ms);
            // What is not kept is missed the next time.
            let _: Option<String> = self.0.ask(cache, command).await;
        })
    }

    fn remove<'a>(&'a self, cache: &'a str, key: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let _: Option<u64> = self.0.ask(cache, named("DEL", key)).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn connection_strings_are_urls_or_those_of_dot_net() -> anyhow::Result<()> {
        for (text, expected) in [
            ("redis://127.0.0.1:7000", "redis://127.0.0.1:7000"),
            ("rediss://:p@cache.example", "rediss://:p@cache.example"),
            ("cache.example", "redis://cache.example:6379"),
            (
                "cache.example:6380,password=a+b/c=,ssl=True,abortConnect=False",
                "rediss://:a%2Bb%2Fc%3D@cache.example:6380",
            ),
            (
                "cache.example:6380, user=me, password=p, defaultDatabase=2",
                "redis://me:p@cache.example:6380/2",
            ),
        ] {
            assert_eq!(url(text)?, expected, "{text}");
        }
        assert!(url("password=p").is_err());
        Ok(())
    }
}
