//! Azure blob storage as the batch service uses it: an account named by a connection string, one blob read, one blob
//! written, and a token with which anybody may read the written one.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, ObjectStore, ObjectStoreExt, PutOptions, RetryConfig,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::Rejection;

/// What `UseDevelopmentStorage=true` stands for: the account and key that Azure documents for its storage emulators.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_BLOB_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// The storage version whose rules the token's signature follows. Later rules add nothing needed here.
const SAS_VERSION: &str = "2021-12-02";

/// How far the token's validity starts before now, for a storage server whose clock is behind.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Where a blob lies, as callers of the batch service write it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobReference {
    /// Azure storage connection string.
    #[serde(rename = "ConnectionString", default)]
    pub connection_string: Option<String>,
    /// `container/blob`, with or without a slash before it.
    #[serde(rename = "RelativeLocation", default)]
    pub relative_location: Option<String>,
    /// Part of the other form of a reference, which is refused: nothing can be written or signed without the key.
    #[serde(
        rename = "BaseLocation",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub base_location: Option<String>,
    /// See `base_location`.
    #[serde(
        rename = "SasBlobToken",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub sas_blob_token: Option<String>,
}

/// A blob that the service can read, write and sign a token for.
pub struct Blob {
    account: Account,
    container: String,
    path: Path,
}

struct Account {
    name: String,
    key: Vec<u8>,
    /// Ends with a slash.
    blob_endpoint: Url,
}

/// What a caller needs to download a blob: the three parts, concatenated, are its URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLocation {
    /// URL of the account's blobs, with a slash at its end.
    pub base_location: String,
    /// Percent-encoded `container/blob`.
    pub relative_location: String,
    /// Query with a shared access signature that allows reading, with its question mark.
    pub sas_blob_token: String,
}

/// Why a blob could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store refused or could not be reached.
    #[error("Unable to access the provided Azure blob - {blob}. Azure error message: {source}")]
    Access {
        /// `container/blob`.
        blob: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// The input is larger than the service takes.
    #[error("The input blob {blob} has {size} bytes; at most {limit} are taken.")]
    TooLarge {
        /// `container/blob`.
        blob: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

impl Blob {
    /// Checks a reference; `role` names it in refusals, such as `Outputs.output1`.
    pub fn from_reference(reference: &BlobReference, role: &str) -> Result<Self, Rejection> {
        if reference.base_location.is_some() || reference.sas_blob_token.is_some() {
            return Err(Rejection::bad_argument(
                "InvalidBlob",
                format!(
                    "Invalid blob specification for {role}: BaseLocation and SasBlobToken are not supported here; \
                     give ConnectionString and RelativeLocation."
                ),
            ));
        }
        let (Some(connection_string), Some(location)) =
            (&reference.connection_string, &reference.relative_location)
        else {
            return Err(Rejection::bad_argument(
                "MissingInputBlobInformation",
                format!("{role} needs both ConnectionString and RelativeLocation."),
            ));
        };
        let account = Account::from_connection_string(connection_string).map_err(|problem| {
            Rejection::bad_argument(
                "InvalidBlobConnectionString",
                format!("{role}.ConnectionString is invalid: {problem}"),
            )
        })?;
        let (container, name) = location
            .strip_prefix('/')
            .unwrap_or(location)
            .split_once('/')
            .ok_or_else(|| {
                Rejection::bad_argument(
                    "InputBlobRelativeLocationInvalid",
                    format!("{role}.RelativeLocation '{location}' has no blob name; write container/blob.csv."),
                )
            })?;
        if !is_container_name(container) {
            return Err(Rejection::bad_argument(
                "ContainerSegmentInvalid",
                format!(
                    "{role}.RelativeLocation names the container '{container}'; a container's name has 3 to 63 lower-case \
                     letters, digits and single hyphens, the first and last of them no hyphen."
                ),
            ));
        }
        let path = Path::parse(name).map_err(|problem| {
            Rejection::bad_argument(
                "InvalidBlob",
                format!("Invalid blob specification for {role}: {problem}"),
            )
        })?;
        if !path.as_ref().to_ascii_lowercase().ends_with(".csv") {
            return Err(Rejection::bad_argument(
                "InvalidBlobExtension",
                format!(
                    "{role}.RelativeLocation '{location}' has an invalid or missing file extension. Supported: \".csv\"."
                ),
            ));
        }
        Ok(Self {
            account,
            container: container.to_owned(),
            path,
        })
    }

    /// `container/blob`, for messages.
    pub fn name(&self) -> String {
        format!("{}/{}", self.container, self.path)
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// The blob's bytes, at most `limit` of them.
    pub async fn read(&self, limit: u64) -> Result<Bytes, StorageError> {
        let found = self
            .store()?
            .get(&self.path)
            .await
            .map_err(|source| self.inaccessible(source))?;
        if found.meta.size > limit {
            return Err(StorageError::TooLarge {
                blob: self.name(),
                size: found.meta.size,
                limit,
            });
        }
        found
            .bytes()
            .await
            .map_err(|source| self.inaccessible(source))
    }

    /// Writes the blob as CSV, over an existing one. The container must exist.
    pub async fn write(&self, csv: Vec<u8>) -> Result<(), StorageError> {
        let options = PutOptions {
            attributes: Attributes::from_iter([(
                Attribute::ContentType,
                "text/csv; charset=utf-8",
            )]),
            ..PutOptions::default()
        };
        self.store()?
            .put_opts(&self.path, csv.into(), options)
            .await
            .map_err(|source| self.inaccessible(source))?;
        Ok(())
    }

    /// The blob's address with a service SAS that allows reading it until `now + valid_for`.
    ///
    /// Signed here and not by `object_store`'s `Signer`: that one signs the percent-encoded path, which Azure refuses
    /// for names with a space or another character that a URL encodes, and it starts the validity at the local clock.
    /// The fields and their order: <https://learn.microsoft.com/rest/api/storageservices/create-service-sas>.
    pub fn signed_location(&self, now: DateTime<Utc>, valid_for: TimeDelta) -> SignedLocation {
        let starts = (now - CLOCK_SKEW).to_rfc3339_opts(SecondsFormat::Secs, true);
        let expires = (now + valid_for).to_rfc3339_opts(SecondsFormat::Secs, true);
        let https_only = self.account.blob_endpoint.scheme() == "https";
        let protocol = if https_only { "https" } else { "" };
        let resource = format!(
            "/blob/{}/{}/{}",
            self.account.name, self.container, self.path
        );
        let text = [
            "r",
            &starts,
            &expires,
            &resource, // permissions, validity, what
            "",
            "",
            protocol,
            SAS_VERSION,
            "b", // stored policy, address range, protocol, version, a blob
            "",
            "",
            "",
            "",
            "",
            "",
            "", // snapshot, encryption scope, five response headers
        ]
        .join("\n");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &self.account.key);
        let signature = BASE64.encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()));

        let mut query = url::form_urlencoded::Serializer::new(String::from("?"));
        query
            .append_pair("sv", SAS_VERSION)
            .append_pair("sr", "b")
            .append_pair("sp", "r");
        query.append_pair("st", &starts).append_pair("se", &expires);
        if https_only {
            query.append_pair("spr", protocol);
        }
        query.append_pair("sig", &signature);

        let base = self.account.blob_endpoint.as_str();
        let mut address = self.account.blob_endpoint.clone();
        if let Ok(mut segments) = address.path_segments_mut() {
            segments
                .pop_if_empty()
                .push(&self.container)
                .extend(self.path.as_ref().split('/'));
        }
        SignedLocation {
            base_location: base.to_owned(),
            relative_location: address.as_str()[base.len()..].to_owned(),
            // The serializer separates from what it was given with '&'.
            sas_blob_token: query.finish().replacen("?&", "?", 1),
        }
    }

    fn store(&self) -> Result<MicrosoftAzure, StorageError> {
        let endpoint = &self.account.blob_endpoint;
        MicrosoftAzureBuilder::new()
            .with_account(&self.account.name)
            .with_access_key(BASE64.encode(&self.account.key))
            .with_container_name(&self.container)
            .with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned())
            .with_client_options(
                ClientOptions::new()
                    .with_connect_timeout(Duration::from_secs(5))
                    .with_timeout(Duration::from_secs(120)),
            )
            .with_allow_http(endpoint.scheme() == "http")
            .with_retry(RetryConfig {
                max_retries: 3,
                retry_timeout: Duration::from_secs(60),
                ..RetryConfig::default()
            })
            .build()
            .map_err(|source| self.inaccessible(source))
    }

    fn inaccessible(&self, source: object_store::Error) -> StorageError {
        StorageError::Access {
            blob: self.name(),
            source,
        }
    }
}

impl Account {
    /// Parses a connection string. Problems name the setting, never its value: it may be the key.
    fn from_connection_string(text: &str) -> Result<Self, String> {
        let mut settings: HashMap<String, &str> = HashMap::new();
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (name, value) = part
                .split_once('=')
                .ok_or("it must have the form Name=value;Name=value.")?;
            settings.insert(name.trim().to_ascii_lowercase(), value.trim());
        }
        let development = settings
            .get("usedevelopmentstorage")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let setting = |name: &str, emulated: Option<&'static str>| {
            settings
                .get(name.to_ascii_lowercase().as_str())
                .copied()
                .or(emulated.filter(|_| development))
        };

        let name =
            setting("AccountName", Some(EMULATOR_ACCOUNT)).ok_or("AccountName is missing.")?;
        if !(3..=24).contains(&name.len())
            || !name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            return Err("AccountName has 3 to 24 lower-case letters and digits.".to_owned());
        }
        let key = setting("AccountKey", Some(EMULATOR_KEY))
            .ok_or("AccountKey is missing; it is needed to sign the result's SasBlobToken.")?;
        let key = BASE64
            .decode(key)
            .map_err(|_| "AccountKey is not Base64.")?;
        let blob_endpoint = match setting("BlobEndpoint", Some(EMULATOR_BLOB_ENDPOINT)) {
            Some(endpoint) => endpoint.to_owned(),
            None => {
                let scheme = setting("DefaultEndpointsProtocol", None).unwrap_or("https");
                let suffix = setting("EndpointSuffix", None).unwrap_or("core.windows.net");
                format!("{scheme}://{name}.blob.{suffix}")
            }
        };
        let mut blob_endpoint = Url::parse(&format!("{}/", blob_endpoint.trim_end_matches('/')))
            .map_err(|problem| format!("its blob endpoint is no URL: {problem}."))?;
        if !matches!(blob_endpoint.scheme(), "http" | "https") {
            return Err("its blob endpoint must be an http or https URL.".to_owned());
        }
        blob_endpoint.set_query(None);
        blob_endpoint.set_fragment(None);
        Ok(Self {
            name: name.to_owned(),
            key,
            blob_endpoint,
        })
    }
}

fn is_container_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a2V5";

    fn endpoint_of(connection_string: &str) -> Result<(String, String), String> {
        Account::from_connection_string(connection_string)
            .map(|account| (account.name, account.blob_endpoint.to_string()))
    }

    #[test]
    fn connection_strings_name_the_account_and_its_endpoint() {
        for (text, name, endpoint) in [
            (
                format!(
                    "DefaultEndpointsProtocol=https;AccountName=mine;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn"
                ),
                "mine",
                "https://mine.blob.core.chinacloudapi.cn/",
            ),
            (
                format!("AccountName=mine; accountkey={KEY};"),
                "mine",
                "https://mine.blob.core.windows.net/",
            ),
            (
                format!("AccountName=mine;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/mine/"),
                "mine",
                "http://127.0.0.1:1/mine/",
            ),
            (
                "UseDevelopmentStorage=true".to_owned(),
                "devstoreaccount1",
                "http://127.0.0.1:10000/devstoreaccount1/",
            ),
        ] {
            assert_eq!(
                endpoint_of(&text),
                Ok((name.to_owned(), endpoint.to_owned()))
            );
        }
    }

    #[test]
    fn unusable_connection_strings_are_refused_without_repeating_the_key() {
        for (text, problem) in [
            ("secret", "it must have the form Name=value;Name=value."),
            ("AccountKey=secret", "AccountName is missing."),
            (
                "AccountName=mine",
                "AccountKey is missing; it is needed to sign the result's SasBlobToken.",
            ),
            (
                "AccountName=mine;AccountKey=!secret",
                "AccountKey is not Base64.",
            ),
            (
                "AccountName=No/Name;AccountKey=a2V5",
                "AccountName has 3 to 24 lower-case letters and digits.",
            ),
            (
                "AccountName=mine;AccountKey=a2V5;BlobEndpoint=file:///etc",
                "its blob endpoint must be an http or https URL.",
            ),
        ] {
            assert_eq!(endpoint_of(text), Err(problem.to_owned()));
        }
    }
}
