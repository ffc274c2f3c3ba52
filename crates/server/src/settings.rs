//! Settings of a process: flags, each with an environment variable. Only `main` reads the environment.

use crate::{client_address, edge::EdgeSettings, otlp::OtelSettings};
use clap::Args;
use ipnet::IpNet;
use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

/// Where state lives and how secrets are sealed.
#[derive(Args, Clone, Debug)]
pub struct StateSettings {
    /// Postgres 15 or newer; without it Portico runs a Postgres of its own in the data folder
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Folder of the embedded Postgres, the secret key and the gateway's state
    #[arg(long, env = "PORTICO_DATA_DIR", default_value = ".portico/data")]
    pub data_dir: PathBuf,
    /// Folder of Postgres' programs, where they are not in a usual place
    #[arg(long, env = "PORTICO_POSTGRES_BIN")]
    pub postgres_bin: Option<PathBuf>,
    /// Base64 of the 32 bytes that seal stored secrets; required with `DATABASE_URL`
    #[arg(long, env = "PORTICO_SECRET_KEY", hide_env_values = true)]
    pub secret_key: Option<String>,
    /// Connections to Postgres at most
    #[arg(long, env = "PORTICO_DATABASE_CONNECTIONS", default_value_t = 32)]
    pub database_connections: u32,
}

/// Fewer connections are not divided.
const DIVIDED: u32 = 16;

impl StateSettings {
    /// How many of the connections the threads that serve HTTP open for themselves; the others are the pool's.
    #[must_use]
    pub const fn own_connections(&self) -> u32 {
        if self.database_connections < DIVIDED {
            0
        } else {
            self.database_connections / 2
        }
    }
}

/// Where mails go.
#[derive(Args, Clone, Debug)]
pub struct MailSettings {
    /// SMTP server, `smtp://user:password@host:587` or `smtps://…`; without it mails stay readable in the outbox
    #[arg(long, env = "PORTICO_SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Share of a quota, in percent, from which its subscription's developer and publishers are told; used up is always told
    #[arg(long, env = "PORTICO_QUOTA_NOTICE_PERCENT", default_value_t = 80, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub quota_notice_percent: i32,
    /// Sender of mails where a service names none
    #[arg(long, env = "PORTICO_MAIL_SENDER", default_value = "portico@localhost")]
    pub mail_sender: String,
}

/// How callers reach the gateway, as printed in `gatewayUrl`.
#[derive(Args, Clone, Debug)]
pub struct AddressSettings {
    /// Address of the gateway; without a domain every service has a loopback address of its own, so it listens on all
    #[arg(long, env = "PORTICO_GATEWAY_LISTEN", default_value = "0.0.0.0:8081")]
    pub gateway_listen: SocketAddr,
    /// Domain whose subdomains are the services' hosts: `{service}.{domain}`
    #[arg(long, env = "PORTICO_GATEWAY_DOMAIN")]
    pub gateway_domain: Option<String>,
    /// Scheme and port of the gateway as callers see them, such as `https:443` behind a proxy
    #[arg(long, env = "PORTICO_GATEWAY_SEEN_AS")]
    pub gateway_seen_as: Option<String>,
    /// Base URL of the management API as clients see it
    #[arg(long, env = "PORTICO_MANAGEMENT_URL")]
    pub management_url: Option<String>,
    /// Address of the developer portals: a service's is under /{service}/
    #[arg(long, env = "PORTICO_PORTAL_LISTEN", default_value = "127.0.0.1:8082")]
    pub portal_listen: SocketAddr,
    /// Base URL of the developer portals as people see it
    #[arg(long, env = "PORTICO_PORTAL_URL")]
    pub portal_url: Option<String>,
}

/// Counters that several gateways share.
#[derive(Args, Clone, Debug, Default)]
pub struct RedisSettings {
    /// Redis or Valkey that counts rates for all gateways, `redis://…` or `rediss://…`; each gateway counts for itself without
    #[arg(long, env = "PORTICO_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Longest that a call waits for it, in milliseconds, before this gateway counts for itself
    #[arg(long, env = "PORTICO_REDIS_WAIT_MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub redis_wait_ms: u64,
}

/// `portico serve`
#[derive(Args, Clone, Debug)]
pub struct ServeSettings {
    /// State.
    #[command(flatten)]
    pub state: StateSettings,
    /// Mail.
    #[command(flatten)]
    pub mail: MailSettings,
    /// Addresses.
    #[command(flatten)]
    pub address: AddressSettings,
    /// The gateway's edge.
    #[command(flatten)]
    pub edge: EdgeSettings,
    /// Shared counters.
    #[command(flatten)]
    pub redis: RedisSettings,
    /// OpenTelemetry.
    #[command(flatten)]
    pub otel: OtelSettings,
    /// Database of addresses in MaxMind's format, for countries and regions in reports; a file that is replaced is read again
    #[arg(long, env = "PORTICO_GEO_DATABASE")]
    pub geo_database: Option<PathBuf>,
    /// Address of the management API
    #[arg(long, env = "PORTICO_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the management API over TLS
    #[arg(long, env = "PORTICO_TLS_LISTEN", default_value = "127.0.0.1:8443")]
    pub tls_listen: SocketAddr,
    /// Certificate chain of the management API, PEM
    #[arg(long, env = "PORTICO_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the management API, PEM
    #[arg(long, env = "PORTICO_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// First administrator
    #[arg(long, env = "PORTICO_ADMIN_EMAIL", default_value = "admin@localhost")]
    pub admin_email: String,
    /// First administrator's password; without it a one-time bootstrap secret is printed
    #[arg(long, env = "PORTICO_ADMIN_PASSWORD", hide_env_values = true)]
    pub admin_password: Option<String>,
    /// Do not run jobs in this process (`portico worker` does)
    #[arg(long, env = "PORTICO_NO_WORKER")]
    pub no_worker: bool,
    /// Do not run the gateway in this process (`portico gateway` does)
    #[arg(long, env = "PORTICO_NO_GATEWAY")]
    pub no_gateway: bool,
    /// Proxies in front of the management API and the portals, as addresses or networks, joined by commas: what they say in
    /// `X-Forwarded-For` is who asks. Of anybody else the header counts for nothing
    #[arg(long, env = "PORTICO_TRUSTED_PROXIES", value_delimiter = ',', value_parser = client_address::network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Requests a minute that one address may make to the developer API
    #[arg(long, env = "PORTICO_PORTAL_REQUESTS", default_value = "600")]
    pub portal_requests: NonZeroU32,
    /// Of those, how many may sign in, sign up, ask for mails or redeem tickets
    #[arg(long, env = "PORTICO_PORTAL_SIGN_INS", default_value = "30")]
    pub portal_sign_ins: NonZeroU32,
    /// Of those, how many may be calls of "Try it" through the gateway
    #[arg(long, env = "PORTICO_PORTAL_TRIES", default_value = "120")]
    pub portal_tries: NonZeroU32,
    /// Follow links of imports to private, loopback and other addresses that are not public
    #[arg(long, env = "PORTICO_IMPORT_PRIVATE_LINKS")]
    pub import_private_links: bool,
    /// Key vaults
    #[command(flatten)]
    pub key_vaults: KeyVaultSettings,
}

/// Key vaults that named values and certificates may be in.
#[derive(Args, Clone, Debug, Default)]
pub struct KeyVaultSettings {
    /// Key vaults that this installation may read, as URLs joined by commas: `https://contoso.vault.azure.net`
    #[arg(long, env = "PORTICO_KEY_VAULTS", value_delimiter = ',', requires_all = ["key_vault_token_url", "key_vault_client_id", "key_vault_client_secret"])]
    pub key_vaults: Vec<String>,
    /// Where this installation gets tokens for its key vaults (client credentials)
    #[arg(long, env = "PORTICO_KEY_VAULT_TOKEN_URL")]
    pub key_vault_token_url: Option<String>,
    /// Its client id there
    #[arg(long, env = "PORTICO_KEY_VAULT_CLIENT_ID")]
    pub key_vault_client_id: Option<String>,
    /// Its client secret there
    #[arg(long, env = "PORTICO_KEY_VAULT_CLIENT_SECRET", hide_env_values = true)]
    pub key_vault_client_secret: Option<String>,
    /// The scope that it asks for
    #[arg(
        long,
        env = "PORTICO_KEY_VAULT_SCOPE",
        default_value = "https://vault.azure.net/.default"
    )]
    pub key_vault_scope: String,
}

/// `portico gateway`
#[derive(Args, Clone, Debug)]
pub struct GatewaySettings {
    /// Base URL of the control plane; with it the gateway runs apart from the database
    #[arg(long, env = "PORTICO_CONTROL_URL", requires = "gateway_token")]
    pub control_url: Option<String>,
    /// The gateway's token, from `POST …/gateways/{id}/generateToken`
    #[arg(long, env = "PORTICO_GATEWAY_TOKEN", hide_env_values = true)]
    pub gateway_token: Option<String>,
    /// Certificates that vouch for the control plane, PEM; those of the web without it
    #[arg(long, env = "PORTICO_CONTROL_CA")]
    pub control_ca: Option<PathBuf>,
    /// Everything that `serve` has, too.
    #[command(flatten)]
    pub serve: ServeSettings,
}

impl GatewaySettings {
    /// Takes empty texts for absent ones.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        unset_if_empty(&mut self.control_url);
        unset_if_empty(&mut self.gateway_token);
        self.serve = self.serve.cleaned();
        self
    }
}

/// An empty variable is an unset one: Compose files pass `${NAME:-}`.
fn unset_if_empty(text: &mut Option<String>) {
    text.take_if(|text| text.trim().is_empty());
}

impl StateSettings {
    /// Takes empty texts for absent ones.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        unset_if_empty(&mut self.database_url);
        unset_if_empty(&mut self.secret_key);
        self
    }
}

impl ServeSettings {
    /// Takes empty texts for absent ones.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        self.state = self.state.cleaned();
        for text in [
            &mut self.mail.smtp_url,
            &mut self.redis.redis_url,
            &mut self.admin_password,
            &mut self.address.gateway_domain,
            &mut self.address.gateway_seen_as,
            &mut self.address.management_url,
            &mut self.address.portal_url,
            &mut self.key_vaults.key_vault_token_url,
            &mut self.key_vaults.key_vault_client_id,
            &mut self.key_vaults.key_vault_client_secret,
        ] {
            unset_if_empty(text);
        }
        self.key_vaults
            .key_vaults
            .retain(|vault| !vault.trim().is_empty());
        self
    }
}

impl AddressSettings {
    /// Scheme and port of the gateway as callers see them.
    ///
    /// # Errors
    /// When `--gateway-seen-as` is not `scheme:port`.
    pub fn gateway_seen(&self, bound: u16) -> anyhow::Result<(String, u16)> {
        let Some(text) = &self.gateway_seen_as else {
            return Ok(("http".to_owned(), bound));
        };
        match text.split_once(':') {
            Some((scheme @ ("http" | "https"), port)) => Ok((scheme.to_owned(), port.parse()?)),
            _ => anyhow::bail!("--gateway-seen-as must be http:PORT or https:PORT, not '{text}'"),
        }
    }
}
