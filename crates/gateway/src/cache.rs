//! Responses and values that policies keep, bounded in bytes. One process has one; nothing outlives it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// A response that can be given again.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) reason: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// By this process's clock; of what came from outside its age counts.
    pub(crate) stored_at_ms: u64,
    pub(crate) age_ms: u64,
}

#[derive(Clone, Debug)]
enum Item {
    Response(Arc<Stored>),
    Value(Arc<str>),
}

#[derive(Clone, Debug)]
struct Entry {
    item: Item,
    expires_at_ms: u64,
}

/// The cache. Expiry is checked against the gateway's clock when an entry is read; room is made by the least used.
#[derive(Debug)]
pub(crate) struct Cache(moka::future::Cache<String, Entry>);

impl Cache {
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |key: &String, entry: &Entry| {
            let item = match &entry.item {
                Item::Response(stored) => stored.body.len() + stored.headers.len() * 64,
                Item::Value(value) => value.len(),
            };
            u32::try_from(key.len() + item + 128).unwrap_or(u32::MAX)
        };
        Self(
            moka::future::Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .build(),
        )
    }

    async fn get(&self, key: &str, now_ms: u64) -> Option<Item> {
        let entry = self.0.get(key).await?;
        if entry.expires_at_ms <= now_ms {
            self.0.invalidate(key).await;
            return None;
        }
        Some(entry.item)
    }

    pub(crate) async fn response(&self, key: &str, now_ms: u64) -> Option<Arc<Stored>> {
        match self.get(key, now_ms).await? {
            Item::Response(stored) => Some(stored),
            Item::Value(_) => None,
        }
    }

    pub(crate) async fn value(&self, key: &str, now_ms: u64) -> Option<Arc<str>> {
        match self.get(key, now_ms).await? {
            Item::Value(value) => Some(value),
            Item::Response(_) => None,
        }
    }

    pub(crate) async fn put_response(&self, key: String, stored: Stored, expires_at_ms: u64) {
        let item = Item::Response(Arc::new(stored));
        self.0
            .insert(
                key,
                Entry {
                    item,
                    expires_at_ms,
                },
            )
            .await;
    }

    pub(crate) async fn put_value(&self, key: String, value: &str, expires_at_ms: u64) {
        let item = Item::Value(value.into());
        self.0
            .insert(
                key,
                Entry {
                    item,
                    expires_at_ms,
                },
            )
            .await;
    }

    pub(crate) async fn remove(&self, key: &str) {
        self.0.invalidate(key).await;
    }
}
