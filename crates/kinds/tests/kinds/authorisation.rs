//! Who may do what: every operation of every kind and link against every role.
//!
//! `docs/authorisation.md` is the closed list. An operation that is missing there, or stands there with
//! another role, fails the first test; that the code does what the list says is the second.

use crate::world::{EDGE, PROVIDER, World, api_gateway, service};
use engine::{Access, Kind, Method, NameRule, Resource as _, Value, json, sqlx};
use std::{fmt::Write as _, path::PathBuf};
use uuid::Uuid;

/// The workspace whose kinds are asked for, too.
const TEAM: &str = "/workspaces/team";

/// An operation: what it is called, where, how, and whom it needs.
struct Operation {
    method: Method,
    path: String,
    access: Access,
    /// Whether only roles over the installation count.
    is_of_installation: bool,
}

fn existing(segment: &str) -> &'static str {
    match segment {
        "apis" => "echo-api",
        "operations" => "retrieve-resource",
        "products" => "starter",
        "resolvers" => "users",
        "tags" => "labelled",
        "notifications" => "BCC",
        "issues" => "reported",
        "gateways" => "plant",
        "contentTypes" => "page",
        "authorizationProviders" => "directory",
        "authorizations" => "connection",
        other => panic!("name an existing parent among {other}"),
    }
}

/// A name of the kind; it need not exist, because permission comes before existence.
fn named(kind: &dyn Kind) -> &'static str {
    match kind.facts().name {
        NameRule::Fixed(names) => names[0],
        NameRule::Email => "ops@example.org",
        NameRule::Id { .. } | NameRule::Label { .. } => "some",
    }
}

fn is_of_installation(kind: &dyn Kind) -> bool {
    let parents = kind.parents();
    let root = parents.first().map_or(kind.facts(), |root| root.facts());
    root.of_installation
}

fn item(kind: &dyn Kind) -> String {
    let mut path = if is_of_installation(kind) {
        EDGE.to_owned()
    } else {
        String::new()
    };
    for parent in kind.parents().iter().skip(1) {
        let segment = parent.facts().segment;
        path.push_str(&format!("/{segment}/{}", existing(segment)));
    }
    if kind.is_root() {
        return path;
    }
    format!("{path}/{}/{}", kind.facts().segment, named(kind))
}

/// Every operation of the registry.
fn operations(world: &World) -> Vec<Operation> {
    let mut out = Vec::new();
    let mut add = |method, path: String, access| {
        out.push(Operation {
            method,
            is_of_installation: path.starts_with(EDGE),
            path,
            access,
        })
    };
    let kinds = world.engine.registry.kinds().iter();
    for (kind, above) in kinds.flat_map(|kind| [(kind, ""), (kind, TEAM)]) {
        if !above.is_empty() && !kind.facts().in_workspaces {
            continue;
        }
        let (facts, item) = (kind.facts(), format!("{above}{}", item(*kind)));
        let is_root = kind.is_root();
        let collection = item
            .rsplit_once('/')
            .map_or("", |(head, _)| head)
            .to_owned();
        if facts.verbs.list && !is_root {
            add(Method::Get, collection, Access::Read);
        }
        if facts.verbs.get {
            add(Method::Get, item.clone(), Access::Read);
        }
        add(Method::Head, item.clone(), Access::Read);
        if facts.verbs.put {
            add(Method::Put, item.clone(), Access::Write);
        }
        if facts.verbs.patch {
            add(Method::Patch, item.clone(), Access::Write);
        }
        for action in facts.actions {
            add(
                Method::Post,
                format!("{item}/{}", action.name),
                action.access,
            );
        }
        for view in facts.views {
            add(Method::Get, format!("{item}/{}", view.name), view.access);
        }
        if facts.verbs.delete && !is_root {
            add(Method::Delete, item, Access::Write);
        }
    }
    let links = world.engine.registry.links().iter();
    for (link, above) in links.flat_map(|link| [(link, ""), (link, TEAM)]) {
        if !above.is_empty() && !link.in_workspaces {
            continue;
        }
        let parent = format!("{above}{}", item(link.parent));
        let parent = match parent.rsplit_once('/') {
            Some((head, "some")) if link.parent.facts().segment == "groups" => {
                format!("{head}/developers")
            }
            Some((head, "some")) if link.parent.facts().segment == "users" => format!("{head}/1"),
            Some((head, "some")) => format!("{head}/{}", existing(link.parent.facts().segment)),
            _ => parent,
        };
        let one = format!("{parent}/{}/{}", link.segment, named(link.target));
        add(
            Method::Get,
            format!("{parent}/{}", link.segment),
            Access::Read,
        );
        if link.readable {
            add(Method::Get, one.clone(), Access::Read);
        }
        if link.writable {
            add(Method::Head, one.clone(), Access::Read);
            add(Method::Put, one.clone(), Access::Write);
            add(Method::Delete, one, Access::Write);
        }
    }
    let listings = world.engine.registry.listings().iter();
    for (listing, above) in listings.flat_map(|listing| [(listing, ""), (listing, TEAM)]) {
        if !above.is_empty() && !listing.in_workspaces {
            continue;
        }
        let parent = if listing.parent.parents().is_empty() {
            String::new()
        } else {
            format!(
                "/{0}/{1}",
                listing.parent.facts().segment,
                existing(listing.parent.facts().segment)
            )
        };
        add(
            Method::Get,
            format!("{above}{parent}/{}", listing.segment),
            Access::Read,
        );
    }
    // Last, because they end the gateway and the service.
    add(Method::Delete, EDGE.to_owned(), Access::Own);
    add(Method::Delete, String::new(), Access::Own);
    out
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/authorisation.md")
}

fn role(access: Access) -> &'static str {
    match access {
        Access::Read => "reader",
        Access::Write => "contributor",
        Access::Secret => "contributor (secret)",
        Access::Own => "owner",
    }
}

#[tokio::test]
async fn every_operation_is_in_the_list_with_its_role() {
    let world = World::empty().await;
    let mut text = String::from(
        "# Who may do what\n\n\
         Roles are given over one service or over the whole installation: owner, contributor, reader, developer, each with\n\
         what the next may do. Without any role a service looks absent (404); with too small a one the answer is 403. A\n\
         developer may use the portals only. Creating a service needs contributor over the installation; listing services\n\
         shows those over which one may read. Reading a secret is recorded in the audit trail like a write.\n\n\
         A path that begins with `…/gateways` is of the installation, and only roles over the installation count there. All other\n\
         paths are below `…/service/{serviceName}`; names stand for any name. This list is generated\n\
         (`UPDATE_GOLDENS=1 cargo test -p kinds authorisation`) and tested against every role.\n\n\
         | method | path | least role |\n| --- | --- | --- |\n",
    );
    for operation in operations(&world) {
        let path = match operation.path.strip_prefix(PROVIDER) {
            Some(below) => format!("…{below}"),
            None if operation.path.is_empty() => "/".to_owned(),
            None => operation.path.clone(),
        };
        writeln!(
            text,
            "| {} | `{path}` | {} |",
            operation.method.name(),
            role(operation.access)
        )
        .expect("a line");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's switch to write its golden"
    )]
    if std::env::var("UPDATE_GOLDENS").is_ok() {
        std::fs::write(golden(), &text).expect("the list is written");
    }
    let committed = std::fs::read_to_string(golden()).expect("docs/authorisation.md");
    assert!(
        committed == text,
        "docs/authorisation.md differs from the code: UPDATE_GOLDENS=1 writes it"
    );
}

/// Gives the test's principal one role, over this service or the whole installation; `None` takes all away.
async fn grant(world: &World, role: Option<&str>, scope: Option<Uuid>) {
    sqlx::query("DELETE FROM role_assignments")
        .execute(&world.pool)
        .await
        .expect("no roles");
    if let Some(role) = role {
        sqlx::query(
            "INSERT INTO role_assignments (id, principal_id, scope_service_id, role, created_at) VALUES ($1, $1, $2, $3, now())",
        )
        .bind(Uuid::from_u128(1))
        .bind(scope)
        .bind(role)
        .execute(&world.pool)
        .await
        .expect("a role");
    }
}

#[tokio::test]
async fn every_role_may_do_what_the_list_says_and_nothing_else() {
    let world = World::new().await;
    world
        .put(
            "/apis/echo-api/issues/reported",
            json!({"properties": kinds::issue::Issue::example()}),
        )
        .await
        .expect(201);
    world
        .put(
            "/gateways/plant",
            json!({"properties": kinds::gateway::Gateway::example()}),
        )
        .await
        .expect(201);
    for (path, example) in [
        ("/contentTypes/page", kinds::content::ContentType::example()),
        ("/tags/labelled", kinds::tag::Tag::example()),
        (
            "/apis/echo-api/resolvers/users",
            kinds::resolver::Resolver::example(),
        ),
        (TEAM, kinds::workspace::Workspace::example()),
        (
            "/workspaces/team/apis/echo-api",
            json!({"displayName": "Echo", "path": "team-echo"}),
        ),
        (
            "/workspaces/team/apis/echo-api/operations/retrieve-resource",
            json!({"displayName": "Retrieve", "method": "GET", "urlTemplate": "/resource"}),
        ),
        (
            "/workspaces/team/products/starter",
            kinds::product::Product::example(),
        ),
        ("/workspaces/team/tags/labelled", kinds::tag::Tag::example()),
        (
            "/workspaces/team/groups/developers",
            json!({"displayName": "Developers"}),
        ),
        (
            "/authorizationProviders/directory",
            kinds::authorization::AuthorizationProvider::example(),
        ),
        (
            "/authorizationProviders/directory/authorizations/connection",
            kinds::authorization::Authorization::example(),
        ),
    ] {
        world
            .put(path, json!({"properties": example}))
            .await
            .expect(201);
    }
    world.put(EDGE, api_gateway()).await.expect(201);
    let other =
        "/subscriptions/s1/resourceGroups/rg_1/providers/Microsoft.ApiManagement/service/other";
    world.put(other, service()).await.expect(201);
    let id = |name: &'static str| {
        let pool = world.pool.clone();
        async move {
            sqlx::query_scalar::<_, Uuid>("SELECT id FROM services WHERE name = $1")
                .bind(name)
                .fetch_one(&pool)
                .await
                .expect("a service")
        }
    };
    let (demo, other) = (id("demo").await, id("other").await);
    let roles = [
        (None, None, 0),
        (Some("owner"), Some(other), 0),
        (Some("developer"), Some(demo), 1),
        (Some("reader"), Some(demo), 2),
        (Some("contributor"), Some(demo), 3),
        (Some("owner"), Some(demo), 4),
        (Some("reader"), None, 2),
        (Some("owner"), None, 4),
    ];
    let mut wrong = Vec::new();
    for operation in operations(&world) {
        let least = match operation.access {
            Access::Read => 2,
            Access::Write | Access::Secret => 3,
            Access::Own => 4,
        };
        for (role, scope, power) in roles {
            let power = if operation.is_of_installation && scope.is_some() {
                0
            } else {
                power
            };
            grant(&world, role, scope).await;
            let body = if operation.method == Method::Put {
                json!({})
            } else {
                Value::Null
            };
            // A revision that nothing has, so that what may be written is not.
            let answer = world
                .send(
                    operation.method,
                    &operation.path,
                    Some("\"AAAAAAAAAAA=\""),
                    body,
                )
                .await;
            let code = answer.body["error"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let hidden = answer.status == 404
                && (operation.method == Method::Head
                    || code.starts_with("The Resource 'Microsoft.ApiManagement/service/")
                    || code.starts_with("The Resource 'Microsoft.ApiManagement/gateways/"));
            let right = match power {
                0 => hidden || (answer.status == 404 && operation.method == Method::Delete),
                power if power < least => answer.status == 403,
                _ => answer.status != 403 && (!hidden || operation.method == Method::Head),
            };
            // A missing service deletes like one that was deleted before.
            let right = right
                || (power == 0
                    && operation.method == Method::Delete
                    && operation.path.is_empty()
                    && answer.status == 204);
            if !right {
                wrong.push(format!(
                    "{} {} as {role:?} over {}: {} {code}",
                    operation.method.name(),
                    operation.path,
                    if scope == Some(demo) {
                        "it"
                    } else if scope.is_some() {
                        "another"
                    } else {
                        "all"
                    },
                    answer.status
                ));
            }
            if operation.path.is_empty()
                && operation.method == Method::Delete
                && answer.status == 200
            {
                sqlx::query("UPDATE services SET deleted_at = NULL")
                    .execute(&world.pool)
                    .await
                    .expect("the service again");
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn creating_a_service_needs_a_role_over_the_installation() {
    let world = World::new().await;
    let path =
        "/subscriptions/s1/resourceGroups/rg_1/providers/Microsoft.ApiManagement/service/fresh";
    let demo: Uuid = sqlx::query_scalar("SELECT id FROM services")
        .fetch_one(&world.pool)
        .await
        .expect("a service");
    for (role, scope, status) in [
        (None, None, 403),
        (Some("owner"), Some(demo), 403),
        (Some("reader"), None, 403),
        (Some("contributor"), None, 201),
    ] {
        grant(&world, role, scope).await;
        world.put(path, service()).await.expect(status);
    }
}
