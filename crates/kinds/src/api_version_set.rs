//! Version sets: the versions of one API and how callers say which they want.

use crate::service::Service;
use engine::{
    BoxFuture, Contract, Cx, Error, Filter, NameRule, Resource, Result, TextColumn, Value,
    Violations, json, sqlx,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A version set.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ApiVersionSetContract {
    /// Name that people see.
    #[contract(length(1..=100))]
    pub display_name: String,
    /// Description.
    pub description: Option<String>,
    /// Where callers say the version.
    pub versioning_scheme: VersioningScheme,
    /// For `Query`: the query parameter.
    #[contract(length(1..=100))]
    pub version_query_name: Option<String>,
    /// For `Header`: the header.
    #[contract(length(1..=100))]
    pub version_header_name: Option<String>,
}

/// Where callers say the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TextColumn, ToSchema)]
pub enum VersioningScheme {
    /// A path segment after the API's suffix.
    Segment,
    /// A query parameter.
    Query,
    /// A header.
    Header,
}

/// The kind.
pub struct ApiVersionSet;

impl Resource for ApiVersionSet {
    type Parent = Service;
    type Contract = ApiVersionSetContract;
    const TITLE: &'static str = "ApiVersionSet";
    const SEGMENT: &'static str = "apiVersionSets";
    const PARAMETER: &'static str = "versionSetId";
    const TABLE: &'static str = "api_version_sets";
    const NAME: NameRule = NameRule::id(80);
    const FILTERS: &'static [Filter] =
        &[Filter::name(), Filter::text("displayName", "display_name")];

    fn example() -> Value {
        json!({"displayName": "Demo versions", "versioningScheme": "Segment", "description": "Versions of the demo API."})
    }

    fn validate(set: &ApiVersionSetContract, violations: &mut Violations) {
        match set.versioning_scheme {
            VersioningScheme::Query if set.version_query_name.is_none() => {
                violations.add("versionQueryName", "is required for the scheme Query");
            }
            VersioningScheme::Header if set.version_header_name.is_none() => {
                violations.add("versionHeaderName", "is required for the scheme Header");
            }
            _ => {}
        }
    }

    /// The APIs of the set are routed by its scheme.
    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ApiVersionSetContract>,
        _: &'a ApiVersionSetContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if old.is_some() {
                for id in members(cx).await? {
                    cx.changed("apis", id);
                }
            }
            Ok(())
        })
    }

    fn deleting<'a>(cx: &'a mut Cx<'_>, _: &'a ApiVersionSetContract) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if members(cx).await?.is_empty() {
                Ok(())
            } else {
                Err(Error::invalid(
                    "versionSetId",
                    "names a version set that still has APIs",
                ))
            }
        })
    }
}

/// The APIs of the set, which name it by resource id.
async fn members(cx: &mut Cx<'_>) -> Result<Vec<uuid::Uuid>> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM apis WHERE parent_id = $1 AND lower(regexp_replace(api_version_set_id, '^.*/', '')) = lower($2)",
    )
    .bind(cx.service.id)
    .bind(&cx.name)
    .fetch_all(&mut *cx.conn)
    .await?)
}
