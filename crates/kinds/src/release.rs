//! Releases of an API: each made a revision the current one, and its notes are the API's change log.

use crate::{
    api::{Api, REVISIONS},
    revision,
};
use chrono::{DateTime, Utc};
use engine::{
    BoxFuture, Contract, Cx, Error, Filter, NameRule, Resource, Result, Value,
    arm_id::ResourcePath, json, sqlx, strip_service,
};
use utoipa::ToSchema;
use uuid::Uuid;

/// A release.
#[derive(Clone, Debug, Contract, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ReleaseContract {
    /// The revision that the release made current, `/apis/{apiId};rev=2`; in a body, the plain id means the current one.
    pub api_id: Option<String>,
    /// When it was released.
    #[contract(read_only)]
    pub created_date_time: DateTime<Utc>,
    /// When the release was last changed.
    #[contract(read_only)]
    pub updated_date_time: DateTime<Utc>,
    /// What changed.
    pub notes: Option<String>,
    /// Row of the revision.
    #[contract(internal)]
    pub revision_id: Uuid,
}

/// The kind.
pub struct Release;

impl Resource for Release {
    type Parent = Api;
    type Contract = ReleaseContract;
    const TITLE: &'static str = "ApiRelease";
    const NOUN: &'static str = "Release";
    const SEGMENT: &'static str = "releases";
    const PARAMETER: &'static str = "releaseId";
    const TABLE: &'static str = "api_releases";
    const IN_WORKSPACES: bool = true;
    const NAME: NameRule = NameRule::id(80);
    const OF_ALL_REVISIONS: bool = true;
    const FILTERS: &'static [Filter] = &[Filter::name(), Filter::text("notes", "notes")];

    fn example() -> Value {
        json!({"apiId": "/apis/echo-api", "notes": "The third feature is right now."})
    }

    fn prepare<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ReleaseContract>,
        new: &'a mut ReleaseContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let root = cx.parents.last().copied().unwrap_or_default();
            if old.is_none() {
                // Of two releases at once the second one waits here and then sees what the first one did.
                sqlx::query("SELECT FROM api_roots WHERE id = $1 FOR NO KEY UPDATE")
                    .bind(root)
                    .execute(&mut *cx.conn)
                    .await?;
                new.created_date_time = cx.now;
            }
            new.updated_date_time = cx.now;
            let plain: String = sqlx::query_scalar("SELECT name FROM api_roots WHERE id = $1")
                .bind(root)
                .fetch_one(&mut *cx.conn)
                .await?;
            let name = match &new.api_id {
                None => plain.clone(),
                Some(id) => named(cx, id)?,
            };
            if let Some(old) = old
                && REVISIONS.split(&name).is_none()
                && name.eq_ignore_ascii_case(&plain)
            {
                new.api_id.clone_from(&old.api_id);
                return Ok(());
            }
            match revision::named(cx, &name).await? {
                Some((id, of)) if of == root => new.revision_id = id,
                Some(_) => {
                    return Err(Error::invalid(
                        "apiId",
                        format!("names another API than '{plain}', whose release this is"),
                    ));
                }
                None => {
                    return Err(Error::invalid(
                        "apiId",
                        format!("names {name}, which does not exist"),
                    ));
                }
            }
            if old.is_some_and(|old| old.revision_id != new.revision_id) {
                return Err(Error::invalid(
                    "apiId",
                    "cannot be changed: what was released stays; make another release",
                ));
            }
            let stored: String = sqlx::query_scalar("SELECT revision_name FROM apis WHERE id = $1")
                .bind(new.revision_id)
                .fetch_one(&mut *cx.conn)
                .await?;
            new.api_id = Some(format!("{}/{}/{stored}", cx.service.path, Api::SEGMENT));
            Ok(())
        })
    }

    fn written<'a>(
        cx: &'a mut Cx<'_>,
        old: Option<&'a ReleaseContract>,
        new: &'a ReleaseContract,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let root = cx.parents.last().copied().unwrap_or_default();
            match old {
                None => revision::make_current(cx, root, new.revision_id).await,
                Some(_) => Ok(()),
            }
        })
    }
}

/// The API's name in a resource id.
fn named(cx: &Cx<'_>, id: &str) -> Result<String> {
    strip_service(id, &cx.service.path)
        .and_then(|rest| ResourcePath::parse(&rest).ok())
        .and_then(|path| match (path.pairs.as_slice(), &path.tail) {
            ([(kind, name)], None) if kind.eq_ignore_ascii_case(Api::SEGMENT) => Some(name.clone()),
            _ => None,
        })
        .ok_or_else(|| {
            Error::invalid(
                "apiId",
                "must be a resource id that ends in /apis/{apiId};rev={number}",
            )
        })
}
