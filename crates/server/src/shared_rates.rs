//! Rates that all gateways count together, in Redis or Valkey.
//!
//! A window is one key, changed by one script ([`SCRIPT`]) that runs there as a whole, with the arithmetic of the gateway's own
//! windows: of any number of gateways under a limit of N, exactly N calls pass.
//!
//! Calls do not wait for a Redis that is not well: there is one connection, no answer within a bounded wait gives it up, and without one
//! each gateway counts for itself until a task in the background has another. The change is logged once each way;
//! `portico_gateway_shared_rates_connected` and `portico_gateway_shared_rates_total{outcome}` tell it too.

use crate::settings::RedisSettings;
use anyhow::Context as _;
use engine::BoxFuture;
use gateway::{RateQuestion, RateVerdict, SharedRates, slice_ms};
use redis::{AsyncConnectionConfig, Client, RedisError, Script, aio::MultiplexedConnection};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    sync::{Notify, watch},
};

/// Longest that a new connection may take, and the start of a process waits for its first.
const CONNECT: Duration = Duration::from_secs(2);
/// Pause between attempts to connect.
const PAUSE: Duration = Duration::from_millis(500);
/// What counts a window.
pub const SCRIPT: &str = include_str!("shared_rates/window.lua");

struct Shared {
    client: Client,
    script: Script,
    /// Longest that a call waits.
    wait: Duration,
    /// With a number that tells it from the next one; absent while there is none.
    connection: RwLock<Option<(u64, MultiplexedConnection)>>,
    is_lost: Notify,
    is_connected: watch::Sender<bool>,
}

/// Rates in Redis.
pub struct RedisRates {
    shared: Arc<Shared>,
    /// A thread of its own drives the connection, beside those that answer calls.
    runtime: Option<Runtime>,
}

impl RedisRates {
    /// Connects, in the background if it does not succeed soon.
    ///
    /// # Errors
    /// When the URL cannot be read or the thread cannot start.
    pub async fn start(url: &str, wait: Duration) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("shared-rates")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared {
            // The URL may hold a password: the error does not repeat it.
            client: Client::open(url).context("PORTICO_REDIS_URL cannot be used")?,
            script: Script::new(SCRIPT),
            wait,
            connection: RwLock::default(),
            is_lost: Notify::new(),
            is_connected: watch::channel(false).0,
        });
        let mut connected = shared.is_connected.subscribe();
        runtime.spawn(stay_connected(shared.clone()));
        if tokio::time::timeout(CONNECT, connected.wait_for(|connected| *connected))
            .await
            .is_err()
        {
            tracing::warn!("Redis does not answer; this gateway counts rates for itself");
        }
        Ok(Self {
            shared,
            runtime: Some(runtime),
        })
    }
}

/// The counters that the settings name, if they name any.
///
/// # Errors
/// As [`RedisRates::start`].
pub async fn start(settings: &RedisSettings) -> anyhow::Result<Option<Arc<dyn SharedRates>>> {
    let wait = Duration::from_millis(settings.redis_wait_ms);
    Ok(match settings.redis_url.as_deref() {
        None => None,
        Some(url) => Some(Arc::new(RedisRates::start(url, wait).await?)),
    })
}

impl Drop for RedisRates {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Keeps a connection: the first, and another one whenever it is lost.
async fn stay_connected(shared: Arc<Shared>) {
    let mut number = 0;
    let mut was_told = false;
    loop {
        match connect(&shared).await {
            Ok(connection) => {
                number += 1;
                was_told = false;
                *shared
                    .connection
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = Some((number, connection));
                shared.is_connected.send_replace(true);
                metrics::gauge!("portico_gateway_shared_rates_connected").set(1.0);
                tracing::info!("rates are counted together with other gateways, in Redis");
                shared.is_lost.notified().await;
                shared.is_connected.send_replace(false);
                metrics::gauge!("portico_gateway_shared_rates_connected").set(0.0);
            }
            Err(error) => {
                metrics::gauge!("portico_gateway_shared_rates_connected").set(0.0);
                if !was_told {
                    tracing::warn!(%error, "Redis cannot be reached; this gateway counts rates for itself until it can");
                    was_told = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A connection that has answered the script, so that a server that accepts and then says nothing is none.
async fn connect(shared: &Shared) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(shared.wait));
    let mut connection = shared
        .client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    shared
        .script
        .prepare_invoke()
        .load_async(&mut connection)
        .await?;
    Ok(connection)
}

impl Shared {
    async fn ask(&self, question: &RateQuestion) -> Option<RateVerdict> {
        let known = self
            .connection
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some((number, mut connection)) = known else {
            count("absent");
            return None;
        };
        let slice_ms = slice_ms(question.limit, question.period_ms);
        // A policy with another period counts anew, as it does in memory.
        let key = format!(
            "portico:rate:{}:{}:{slice_ms}",
            question.key, question.period_ms
        );
        let mut call = self.script.prepare_invoke();
        call.key(key)
            .arg(question.limit)
            .arg(question.period_ms)
            .arg(slice_ms)
            .arg(question.count)
            .arg(u8::from(question.is_admitted));
        let answer =
            tokio::time::timeout(self.wait, call.invoke_async::<(u8, u64)>(&mut connection));
        let problem = match answer.await {
            Ok(Ok((1, remaining))) => {
                count("answered");
                return Some(RateVerdict::Admitted { remaining });
            }
            Ok(Ok((_, wait_ms))) => {
                count("answered");
                return Some(RateVerdict::Refused { wait_ms });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        count("failed");
        self.give_up(number, &problem);
        None
    }

    /// The first of the calls that suffer from a connection ends it for all.
    fn give_up(&self, number: u64, problem: &str) {
        let mut connection = self
            .connection
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if connection
            .as_ref()
            .is_some_and(|(present, _)| *present == number)
        {
            *connection = None;
            tracing::warn!(
                problem,
                "Redis does not count; this gateway counts rates for itself until it does"
            );
            self.is_lost.notify_one();
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("portico_gateway_shared_rates_total", "outcome" => outcome).increment(1);
}

impl SharedRates for RedisRates {
    fn ask(&self, question: RateQuestion) -> BoxFuture<'_, Option<RateVerdict>> {
        Box::pin(async move { self.shared.ask(&question).await })
    }
}
