//! Version sets: the versions of one API and how callers say which they want.

use crate::{api::ApiContract, service::Service};
use engine::{
    Any, BoxFuture, Contract, Cx, Error, Filter, Json, NameRule, Resource, Result, TextColumn,
    Value, Violations, json, sqlx,
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
    const IN_WORKSPACES: bool = true;
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
                let details = details(cx, &cx.name.clone()).await?;
                let members = members(cx).await?;
                sqlx::query("UPDATE apis SET api_version_set = $2 WHERE id = ANY($1)")
                    .bind(&members)
                    .bind(details)
                    .execute(&mut *cx.conn)
                    .await?;
                for id in members {
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

/// What an API says about the version set of this name: `apiVersionSet` of the contract.
async fn details(cx: &mut Cx<'_>, name: &str) -> Result<Option<Value>> {
    Ok(sqlx::query_scalar(
        "SELECT jsonb_strip_nulls(jsonb_build_object('id', $3 || '/apiVersionSets/' || name, 'name', display_name, \
         'description', description, 'versioningScheme', versioning_scheme, 'versionQueryName', version_query_name, \
         'versionHeaderName', version_header_name)) FROM api_version_sets WHERE parent_id = $1 AND lower(name) = lower($2)",
    )
    .bind(cx.service.id)
    .bind(name)
    .bind(&cx.service.path)
    .fetch_optional(&mut *cx.conn)
    .await?)
}

/// Fills an API's details of the version set that it names, by id or in the details themselves.
pub(crate) async fn describe(cx: &mut Cx<'_>, api: &mut ApiContract) -> Result<()> {
    if api.api_version_set_id.is_none() {
        let named = api
            .api_version_set
            .as_ref()
            .and_then(|set| set.0.0["id"].as_str());
        api.api_version_set_id = named.map(str::to_owned);
    }
    let Some(id) = &api.api_version_set_id else {
        return Ok(());
    };
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    match details(cx, &name).await? {
        Some(details) => {
            api.api_version_set = Some(Json(Any(details)));
            Ok(())
        }
        None => Err(Error::invalid(
            "apiVersionSetId",
            format!("names apiVersionSets/{name}, which does not exist"),
        )),
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
