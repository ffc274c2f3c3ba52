//! placeholder
use crate::settings::AddressSettings;
use std::sync::Arc;
/// x
pub struct DataPlane {}
impl DataPlane {
    /// x
    pub async fn start(_: &AddressSettings, _: std::net::TcpListener, _: sqlx::PgPool, _: engine::Clock) -> anyhow::Result<Self> { Ok(Self{}) }
    /// x
    pub fn publisher(&self) -> rollout::Publish { Arc::new(|_| ()) }
    /// x
    pub async fn stop(self) {}
}
