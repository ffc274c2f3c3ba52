//! The revisions of an API: what a write of one means for the others.
//!
//! Every function here runs while the API's row in `api_roots` is locked: writes of an API lock it first (the engine
//! does), and a release does. So the revisions of one API change one after the other, and no two of them are current.

use crate::{
    api::{Api, ApiContract, REVISIONS},
    import::STATE,
    subscription,
};
use engine::{
    Cx, Engine, Error, Filter, PgConnection, Resource as _, Result, Violations,
    arm_id::ResourcePath, kind, listing::Listing, sqlx, strip_service,
};
use uuid::Uuid;

/// `apis/{id}/revisions`
pub(crate) const LISTING: Listing = Listing {
    operation: "ApiRevision_ListByService",
    summary: "Lists the revisions of the API.",
    parent: kind::<Api>(),
    segment: "revisions",
    of_all_revisions: true,
    in_workspaces: true,
    filters: &[Filter::text("apiRevision", "api_revision")],
    switches: &[],
    rows: |_| {
        "SELECT lpad(a.api_revision, 100, '0') AS key, a.api_revision, jsonb_strip_nulls(jsonb_build_object( \
         'apiId', '/apis/' || a.revision_name, 'apiRevision', a.api_revision, \
         'createdDateTime', to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
         'updatedDateTime', to_char(a.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
         'description', a.api_revision_description, 'privateUrl', '/' || a.path || ';rev=' || a.api_revision, \
         'isOnline', coalesce(a.is_online, true), 'isCurrent', a.is_current)) AS item FROM apis a WHERE a.root_id = $1"
    },
    keys: &["key"],
};

/// Finds or makes the row that the revisions of the API of this name refer to.
pub(crate) async fn root(
    conn: &mut PgConnection,
    engine: &Engine,
    service: Uuid,
    name: &str,
) -> Result<Uuid> {
    let new: Option<Uuid> = sqlx::query_scalar(
        "INSERT INTO api_roots (id, parent_id, name) VALUES ($1, $2, $3) \
         ON CONFLICT (parent_id, lower(name)) DO NOTHING RETURNING id",
    )
    .bind(engine.new_id())
    .bind(service)
    .bind(name)
    .fetch_optional(&mut *conn)
    .await?;
    match new {
        Some(id) => Ok(id),
        None => Ok(sqlx::query_scalar(
            "SELECT id FROM api_roots WHERE parent_id = $1 AND lower(name) = lower($2)",
        )
        .bind(service)
        .bind(name)
        .fetch_one(conn)
        .await?),
    }
}

/// Gives a new row its place: the first revision of a new API, or another one of a known API.
///
/// When another request made the row meanwhile, the write begins anew as an update.
pub(crate) async fn place(cx: &mut Cx<'_>, new: &mut ApiContract) -> Result<()> {
    let name = cx.name.clone();
    let (plain, number) = match REVISIONS.split(&name) {
        None => (name.as_str(), None),
        Some((plain, number)) => (plain, Some(number)),
    };
    if plain.is_empty() {
        return Err(Error::invalid("apiId", "names a revision of no API"));
    }
    if let Some(number) = number {
        let digits = !number.is_empty()
            && number.len() <= 100
            && number.bytes().all(|b| b.is_ascii_digit())
            && !number.starts_with('0');
        if !digits {
            return Err(Error::invalid(
                "apiId",
                "must name the revision as ;rev= and a whole number of at least 1",
            ));
        }
        number.clone_into(&mut new.api_revision);
    } else if new.api_revision.is_empty() || !new.api_revision.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::invalid("apiRevision", "must be a whole number"));
    }
    let known: Option<(Uuid, String)> = sqlx::query_as(
        "SELECT id, name FROM api_roots WHERE parent_id = $1 AND lower(name) = lower($2) FOR NO KEY UPDATE",
    )
    .bind(cx.service.id)
    .bind(plain)
    .fetch_optional(&mut *cx.conn)
    .await?;
    match (known, number) {
        (None, None | Some("1")) => {
            let made = sqlx::query(
                "INSERT INTO api_roots (id, parent_id, name) VALUES ($1, $2, $3) \
                 ON CONFLICT (parent_id, lower(name)) DO NOTHING",
            )
            .bind(cx.id)
            .bind(cx.service.id)
            .bind(plain)
            .execute(&mut *cx.conn)
            .await?;
            if made.rows_affected() == 0 {
                cx.restored = true;
                return Ok(());
            }
            new.root_id = cx.id;
            new.is_current = true;
            cx.name = plain.to_owned();
        }
        (None, Some(number)) => {
            return Err(Error::invalid(
                "apiId",
                format!(
                    "names revision {number} of the API '{plain}', which does not exist: create the API first"
                ),
            ));
        }
        (Some(_), None) => cx.restored = true,
        (Some((root, plain)), Some(number)) => {
            let name = format!("{plain}{}{number}", REVISIONS.marker);
            let exists: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM apis WHERE parent_id = $1 AND lower(revision_name) = lower($2))",
            )
            .bind(cx.service.id)
            .bind(&name)
            .fetch_one(&mut *cx.conn)
            .await?;
            cx.restored = exists;
            new.root_id = root;
            new.is_current = false;
            cx.name = name;
        }
    }
    Ok(())
}

/// The row that `sourceApiId` names.
async fn source(cx: &mut Cx<'_>, new: &ApiContract) -> Result<Option<Uuid>> {
    let Some(id) = &new.source_api_id else {
        return Ok(None);
    };
    let name = strip_service(id, &cx.service.path)
        .and_then(|rest| ResourcePath::parse(&rest).ok())
        .and_then(|path| match (path.pairs.as_slice(), &path.tail) {
            ([(kind, name)], None) if kind.eq_ignore_ascii_case(Api::SEGMENT) => Some(name.clone()),
            _ => None,
        })
        .ok_or_else(|| {
            Error::invalid(
                "sourceApiId",
                "must be a resource id that ends in /apis/{apiId}",
            )
        })?;
    match named(cx, &name).await? {
        Some((id, _)) => Ok(Some(id)),
        None => Err(Error::invalid(
            "sourceApiId",
            format!("names the API {name}, which does not exist"),
        )),
    }
}

/// The revision of this name, and what it is a revision of; a plain name is that of the current one.
pub(crate) async fn named(cx: &mut Cx<'_>, name: &str) -> Result<Option<(Uuid, Uuid)>> {
    let sql = match REVISIONS.split(name) {
        None => {
            "SELECT id, root_id FROM apis WHERE parent_id = $1 AND lower(name) = lower($2) AND is_current"
        }
        Some(_) => {
            "SELECT id, root_id FROM apis WHERE parent_id = $1 AND lower(revision_name) = lower($2)"
        }
    };
    Ok(sqlx::query_as(sql)
        .bind(cx.service.id)
        .bind(name)
        .fetch_optional(&mut *cx.conn)
        .await?)
}

/// Takes what the body leaves out from the source.
pub(crate) async fn inherit(cx: &mut Cx<'_>, new: &mut ApiContract) -> Result<()> {
    let Some(source) = source(cx, new).await? else {
        return Ok(());
    };
    let source = cx.read::<Api>(source).await?;
    let given = cx.given.clone();
    let absent = |field: &str| !given.iter().any(|given| given == field);
    macro_rules! inherit {
        ($($wire:literal => $field:ident),* $(,)?) => {$(
            if absent($wire) {
                new.$field = source.$field;
            }
        )*};
    }
    inherit! {
        "displayName" => display_name,
        "description" => description,
        "serviceUrl" => service_url,
        "protocols" => protocols,
        "type" => r#type,
        "subscriptionRequired" => subscription_required,
        "subscriptionKeyParameterNames" => subscription_key_parameter_names,
        "authenticationSettings" => authentication_settings,
        "termsOfServiceUrl" => terms_of_service_url,
        "contact" => contact,
        "license" => license,
    }
    Ok(())
}

/// A revision that is not current is found by the path and version of the current one: it has no other.
pub(crate) async fn same_place(cx: &mut Cx<'_>, new: &mut ApiContract) -> Result<()> {
    let (path, set, version): (String, Option<String>, Option<String>) = sqlx::query_as(
        "SELECT path, api_version_set_id, api_version FROM apis WHERE root_id = $1 AND is_current",
    )
    .bind(new.root_id)
    .fetch_one(&mut *cx.conn)
    .await?;
    let mut violations = Violations::default();
    let mut shared = |field: &str, given: Option<&str>, current: Option<&str>| {
        let differs = given.is_some_and(|given| {
            !current.is_some_and(|current| current.eq_ignore_ascii_case(given))
        });
        if differs {
            violations.add(
                field,
                format!(
                    "belongs to all revisions of the API and is '{}': change it on the current one",
                    current.unwrap_or_default()
                ),
            );
        }
    };
    let last = |id: &Option<String>| {
        id.as_deref()
            .and_then(|id| id.rsplit('/').next())
            .map(str::to_owned)
    };
    shared("path", Some(&new.path), Some(&path));
    shared(
        "apiVersionSetId",
        last(&new.api_version_set_id).as_deref(),
        last(&set).as_deref(),
    );
    shared("apiVersion", new.api_version.as_deref(), version.as_deref());
    violations.into_result()?;
    (new.path, new.api_version_set_id, new.api_version) = (path, set, version);
    Ok(())
}

/// After a row was made: copies what stands below its source.
pub(crate) async fn copied(cx: &mut Cx<'_>, new: &ApiContract) -> Result<()> {
    if let Some(source) = source(cx, new).await? {
        let id = cx.id;
        engine::revision::copy(cx, kind::<Api>(), source, id).await?;
        copy_document(cx, source).await?;
    }
    Ok(())
}

/// What of an API may differ without its being another than the document says.
const OF_REVISION: &[&str] = &[
    "id",
    "parent_id",
    "root_id",
    "name",
    "revision_name",
    "rev",
    "created_at",
    "updated_at",
    "api_revision",
    "api_revision_description",
    "is_current",
    "is_online",
];

/// A copy of an API comes from the same document; an export of it is that document if the source's is and nothing was changed
/// on the way.
async fn copy_document(cx: &mut Cx<'_>, source: Uuid) -> Result<()> {
    let untouched: Option<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "SELECT d.state = ({STATE}) AND to_jsonb(s) - $3::text[] = to_jsonb(n) - $3::text[] \
         FROM api_sources d JOIN apis s ON s.id = d.api_id JOIN apis n ON n.id = $2 WHERE d.api_id = $1"
    )))
    .bind(source)
    .bind(cx.id)
    .bind(OF_REVISION)
    .fetch_optional(&mut *cx.conn)
    .await?;
    let Some(untouched) = untouched else {
        return Ok(());
    };
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "INSERT INTO api_sources (api_id, imported_at, format, document, state, report) \
         SELECT $1, imported_at, format, document, CASE WHEN $3 THEN ({STATE}) ELSE '' END, report FROM api_sources WHERE api_id = $2"
    )))
    .bind(cx.id)
    .bind(source)
    .bind(untouched)
    .execute(&mut *cx.conn)
    .await?;
    Ok(())
}

/// After the current revision got another path or version: the others follow.
pub(crate) async fn moved(cx: &mut Cx<'_>, new: &ApiContract) -> Result<()> {
    if !new.is_current {
        return Ok(());
    }
    let others: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE apis SET path = $3, api_version_set_id = $4, api_version = $5, api_version_set = $6, rev = rev + 1, \
         updated_at = $7 WHERE root_id = $1 AND id <> $2 RETURNING id",
    )
    .bind(new.root_id)
    .bind(cx.id)
    .bind(&new.path)
    .bind(&new.api_version_set_id)
    .bind(&new.api_version)
    .bind(new.api_version_set.as_ref().map(|set| &set.0.0))
    .bind(cx.now)
    .fetch_all(&mut *cx.conn)
    .await?;
    for id in others {
        cx.changed(Api::TABLE, id);
    }
    Ok(())
}

/// Makes a revision the current one; the root is locked.
pub(crate) async fn make_current(cx: &mut Cx<'_>, root: Uuid, revision: Uuid) -> Result<()> {
    let before: Option<Uuid> = sqlx::query_scalar(
        "UPDATE apis SET is_current = false, name = revision_name, rev = rev + 1, updated_at = $3 \
         WHERE root_id = $1 AND is_current AND id <> $2 RETURNING id",
    )
    .bind(root)
    .bind(revision)
    .bind(cx.now)
    .fetch_optional(&mut *cx.conn)
    .await?;
    let Some(before) = before else { return Ok(()) };
    sqlx::query(
        "UPDATE apis a SET is_current = true, name = r.name, rev = rev + 1, updated_at = $2 \
         FROM api_roots r WHERE a.id = $1 AND r.id = a.root_id",
    )
    .bind(revision)
    .bind(cx.now)
    .execute(&mut *cx.conn)
    .await?;
    // Both in one transaction: the gateway reads both rows in one statement and serves both in one step.
    cx.changed(Api::TABLE, before);
    cx.changed(Api::TABLE, revision);
    Ok(())
}

/// Before a revision goes: with `deleteRevisions=true`, or as the last one, the API goes with everything.
pub(crate) async fn deleting(cx: &mut Cx<'_>, api: &ApiContract) -> Result<()> {
    let all = cx.query.switch("deleteRevisions")?;
    let others: Vec<(Uuid, String)> = sqlx::query_as(
        "SELECT id, revision_name FROM apis WHERE root_id = $1 AND id <> $2 ORDER BY lpad(api_revision, 100, '0')",
    )
    .bind(api.root_id)
    .bind(cx.id)
    .fetch_all(&mut *cx.conn)
    .await?;
    let id = cx.id;
    engine::revision::gone(cx, kind::<Api>(), id).await?;
    if !others.is_empty() && !all {
        if !api.is_current {
            return Ok(());
        }
        let names: Vec<&str> = others.iter().map(|(_, name)| name.as_str()).collect();
        return Err(Error::invalid(
            "deleteRevisions",
            format!(
                "must be true to delete the current revision, because the API has others, which go with it: {}",
                names.join(", ")
            ),
        ));
    }
    for (other, _) in others {
        engine::revision::gone(cx, kind::<Api>(), other).await?;
        cx.changed(Api::TABLE, other);
    }
    for (table, sql) in [
        (
            "products",
            "SELECT product_id FROM product_apis WHERE api_id = $1",
        ),
        (
            "gateways",
            "SELECT gateway_id FROM gateway_apis WHERE api_id = $1",
        ),
        (
            subscription::Subscription::TABLE,
            "SELECT id FROM subscriptions WHERE scope_api_id = $1",
        ),
    ] {
        let ids: Vec<Uuid> = sqlx::query_scalar(sql)
            .bind(api.root_id)
            .fetch_all(&mut *cx.conn)
            .await?;
        for id in ids {
            cx.changed(table, id);
        }
    }
    subscription::kept_by_api(cx, api.root_id).await?;
    // Everything else refers to the root.
    sqlx::query("DELETE FROM api_roots WHERE id = $1")
        .bind(api.root_id)
        .execute(&mut *cx.conn)
        .await?;
    Ok(())
}
