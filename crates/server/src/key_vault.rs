//! Secrets out of key vaults, for named values and certificates whose `keyVault` says where theirs is.
//!
//! A write gets the secret that the vault gives before the engine sees it, and `lastStatus` says how the reading went; what
//! callers say of either is not taken. `refreshSecret` reads again and writes what it found. A named value whose vault gives
//! nothing is kept without a value, and policies do not find it; a certificate is refused.
//!
//! The vaults are those of the configuration, and only they are shown this installation's token: anybody who may write a named
//! value could have it sent anywhere otherwise.

use crate::{
    State,
    fetch::{Form, Links},
    settings::KeyVaultSettings,
};
use engine::{
    Access, Error, IfMatch, Method, Query, Reply, Request, Result, Value, json, workspace,
};
use kinds::key_vault::SUCCESS;
use serde::Deserialize;

/// Version of the vaults' protocol.
const API_VERSION: &str = "7.4";

/// The vaults that this installation may read.
pub struct Vaults {
    settings: KeyVaultSettings,
    links: Links,
}

/// One of the two kinds that have secrets in vaults, and the member that takes the secret.
struct Holder {
    segment: &'static str,
    member: &'static str,
}

const HOLDERS: &[Holder] = &[
    Holder {
        segment: "namedValues",
        member: "value",
    },
    Holder {
        segment: "certificates",
        member: "data",
    },
];

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

#[derive(Deserialize)]
struct Secret {
    value: String,
}

impl Vaults {
    /// Reads over these links.
    #[must_use]
    pub const fn new(settings: KeyVaultSettings, links: Links) -> Self {
        Self { settings, links }
    }

    /// The secret of an identifier, or a sentence that says why there is none.
    async fn secret(&self, identifier: &str) -> std::result::Result<String, String> {
        let known = self.settings.key_vaults.iter().any(|vault| {
            let vault = format!("{}/", vault.trim_end_matches('/')).to_ascii_lowercase();
            identifier.to_ascii_lowercase().starts_with(&vault)
        });
        let (true, Some(token_url), Some(id), Some(secret)) = (
            known,
            &self.settings.key_vault_token_url,
            &self.settings.key_vault_client_id,
            &self.settings.key_vault_client_secret,
        ) else {
            return Err(format!(
                "{identifier} is in none of the key vaults that this installation may read (--key-vaults)."
            ));
        };
        let form = Form {
            body: url::form_urlencoded::Serializer::new(String::new())
                .append_pair("grant_type", "client_credentials")
                .append_pair("scope", &self.settings.key_vault_scope)
                .finish(),
            credentials: Some((id, secret)),
        };
        let token = self
            .links
            .post(token_url, &form)
            .await
            .map_err(|error| format!("The URL of tokens for key vaults {error}."))?;
        let token: Token = serde_json::from_str(&token)
            .map_err(|_| "The URL of tokens for key vaults gave none.".to_owned())?;
        let link = format!("{identifier}?api-version={API_VERSION}");
        let found = self
            .links
            .shown(&link, &token.access_token)
            .await
            .map_err(|error| format!("{identifier} {error}."))?;
        let found: Secret = serde_json::from_str(&found)
            .map_err(|_| format!("{identifier} was answered with something that is no secret."))?;
        Ok(found.value)
    }
}

/// What of a named value or a certificate a request is about: its kind, and what stands behind its name.
fn held(request: &Request) -> Option<(&'static Holder, Option<&str>)> {
    let entered = workspace::entered(&request.path);
    let pairs = &entered.as_ref().unwrap_or(&request.path).pairs;
    let [(service, _), (segment, _)] = pairs.as_slice() else {
        return None;
    };
    let holder = HOLDERS
        .iter()
        .find(|holder| holder.segment.eq_ignore_ascii_case(segment))?;
    service
        .eq_ignore_ascii_case("service")
        .then_some((holder, request.path.tail.as_deref()))
}

/// The `keyVault` of a body of `properties`, if it is an object.
fn place(properties: &Value) -> Option<&serde_json::Map<String, Value>> {
    properties.get("keyVault").and_then(Value::as_object)
}

/// Puts what the vault gives into the properties, and how the reading went.
async fn read(state: &State, holder: &Holder, identifier: &str, properties: &mut Value) {
    let found = state.vaults.secret(identifier).await;
    let (code, message) = match &found {
        Ok(_) => (SUCCESS, ""),
        Err(why) => ("Failed", why.as_str()),
    };
    properties["keyVault"]["lastStatus"] =
        json!({"code": code, "message": message, "timeStampUtc": state.engine.now()});
    if let Ok(secret) = found {
        properties[holder.member] = secret.into();
    }
}

/// A write whose secret is in a key vault, with that secret; `None` for every other request.
///
/// # Errors
/// Not allowed to write, a secret both here and there, a certificate that the vault does not give.
pub async fn followed(state: &State, request: &Request) -> Result<Option<Request>> {
    if !matches!(request.method, Method::Put | Method::Patch) {
        return Ok(None);
    }
    let Some((holder, None)) = held(request) else {
        return Ok(None);
    };
    // Most writes name no vault: they are not parsed twice.
    if !request.body.windows(8).any(|part| part == b"keyVault") {
        return Ok(None);
    }
    let mut body = request.json()?;
    let Some(properties) = body.get_mut("properties") else {
        return Ok(None);
    };
    let Some(keeps) = place(properties) else {
        return Ok(None);
    };
    let identifier = keeps.get("secretIdentifier").cloned();
    if properties
        .get(holder.member)
        .is_some_and(|given| !given.is_null())
    {
        return Err(Error::invalid(
            holder.member,
            "must be left out where a keyVault keeps the secret",
        ));
    }
    {
        // Given back before the vault is asked: a slow one must not hold connections to Postgres.
        let mut connection = state.engine.pool.acquire().await?;
        let action = format!("{}/write", holder.segment);
        state
            .engine
            .enter(&mut connection, request, Access::Write, &action)
            .await?;
    }
    // What is no text is refused by the kind.
    if let Some(identifier) = identifier.as_ref().and_then(Value::as_str) {
        read(state, holder, identifier, properties).await;
    } else if let Some(Value::Object(keeps)) = properties.get_mut("keyVault") {
        keeps.remove("lastStatus");
    }
    let body = serde_json::to_vec(&body).map_err(Error::internal)?;
    Ok(Some(Request {
        body: body.into(),
        ..request.clone()
    }))
}

/// The reply to `refreshSecret` of what is in a vault; `None` for other requests, and for what is in none.
///
/// # Errors
/// Not found, not allowed, a certificate that the vault does not give.
pub async fn answer(state: &State, request: &Request) -> Result<Option<Reply>> {
    let Some((holder, Some(tail))) = held(request) else {
        return Ok(None);
    };
    if !tail.eq_ignore_ascii_case("refreshSecret") || request.method != Method::Post {
        return Ok(None);
    }
    {
        let mut connection = state.engine.pool.acquire().await?;
        let action = format!("{}/refreshSecret/action", holder.segment);
        state
            .engine
            .enter(&mut connection, request, Access::Write, &action)
            .await?;
    }
    let mut path = request.path.clone();
    path.tail = None;
    let item = Request {
        method: Method::Get,
        path,
        query: Query::default(),
        if_match: IfMatch::parse(None),
        body: Vec::new().into(),
        ..request.clone()
    };
    let stored = state.engine.handle(&item).await?;
    let tag = stored
        .headers
        .iter()
        .find(|(name, _)| *name == "ETag")
        .map(|(_, tag)| tag.clone());
    let stored = stored.body.unwrap_or_default();
    let Some(keeps) = place(&stored["properties"]) else {
        return Ok(None);
    };
    let identifier = keeps["secretIdentifier"].as_str().unwrap_or_default();
    let mut properties = json!({"keyVault": keeps});
    read(state, holder, identifier, &mut properties).await;
    // A certificate knows no PATCH, and has nothing besides. Of two refreshes at one time the later one wins by its own reading.
    let method = match holder.member {
        "value" => Method::Patch,
        _ => Method::Put,
    };
    let body = serde_json::to_vec(&json!({"properties": properties})).map_err(Error::internal)?;
    let write = Request {
        method,
        if_match: IfMatch::parse(tag.as_deref()),
        body: body.into(),
        ..item
    };
    state.engine.handle(&write).await.map(Some)
}
