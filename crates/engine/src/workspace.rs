//! Workspaces: a service inside a service (`service/{s}/workspaces/{w}`), with the same kinds below it.
//!
//! A workspace has a row of its own among the services, which refers to the service that it is in. What stands in the workspace
//! has that row for its parent, so that every statement, rule and hook of a kind holds there as it stands: names are unique per
//! workspace, and nothing of it is in the service's lists. Only paths differ, and this module is where they do. See
//! `docs/adr/0012-workspaces.md`.

use crate::{cx::ServiceAt, kind::Kind};
use arm_id::ResourcePath;

/// The segment before a workspace's name.
pub const SEGMENT: &str = "workspaces";

/// The kinds that content of a workspace refers to although they stand in the service alone.
const SHARED: &[&str] = &[
    "users",
    "authorizationServers",
    "authorization_servers",
    "openidConnectProviders",
    "openid_connect_providers",
];

/// Whether rows of this kind, by its segment or table, are the service's also for its workspaces.
pub(crate) fn is_shared(name: &str) -> bool {
    SHARED.contains(&name)
}

/// A path to something in a workspace, as if the workspace were the service; `None` for every other path.
#[must_use]
pub fn entered(path: &ResourcePath) -> Option<ResourcePath> {
    let [(service, name), (segment, workspace), below @ ..] = path.pairs.as_slice() else {
        return None;
    };
    if !segment.eq_ignore_ascii_case(SEGMENT) || (below.is_empty() && path.tail.is_none()) {
        return None;
    }
    let mut pairs = vec![(service.clone(), stored_name(name, workspace))];
    pairs.extend_from_slice(below);
    Some(ResourcePath {
        root: path.root.clone(),
        pairs,
        tail: path.tail.clone(),
    })
}

/// What the workspace's row among the services is called; no service has a slash in its name.
#[must_use]
pub fn stored_name(service: &str, workspace: &str) -> String {
    format!("{service}/{workspace}")
}

/// Whether this is the name of a workspace's row among the services.
pub(crate) fn is_stored_name(name: &str) -> bool {
    name.contains('/')
}

/// `{root}/service/{name}`, or that of the workspace that has this name among the services.
#[must_use]
pub fn service_path(root: &arm_id::Root, stored: &str) -> String {
    match stored.split_once('/') {
        None => format!("{root}/service/{stored}"),
        Some((service, workspace)) => format!("{root}/service/{service}/{SEGMENT}/{workspace}"),
    }
}

/// The id below which a kind that is referred to stands.
pub(crate) fn base<'p>(service_path: &'p str, segment: &str) -> &'p str {
    match service_path.rsplit_once("/workspaces/") {
        Some((service, _)) if is_shared(segment) => service,
        _ => service_path,
    }
}

/// The name of the service, or of the workspace's row, that rows of a kind stand below; `names` lead to something beside them.
pub(crate) fn service_of(kind: &dyn Kind, names: &[String]) -> String {
    let stored = names.first().map_or("", String::as_str);
    match stored.split_once('/') {
        Some((service, _)) if is_shared(kind.facts().segment) => service.to_owned(),
        _ => stored.to_owned(),
    }
}

impl ServiceAt {
    /// Where rows of a kind stand that something here refers to.
    pub(crate) fn with(self, kind: &dyn Kind) -> Self {
        if !self.is_workspace() || !is_shared(kind.facts().segment) {
            return self;
        }
        let name = self.name.split('/').next().unwrap_or_default().to_owned();
        let path = base(&self.path, kind.facts().segment).to_owned();
        Self {
            id: self.root,
            root: self.root,
            name,
            path,
        }
    }

    /// The id of a sibling that something here refers to.
    #[must_use]
    pub fn id_of(&self, segment: &str, name: &str) -> String {
        format!("{}/{segment}/{name}", base(&self.path, segment))
    }

    /// Whether this is a workspace of a service.
    #[must_use]
    pub fn is_workspace(&self) -> bool {
        self.root != self.id
    }

    /// `Microsoft.ApiManagement/service/apis`, and in a workspace `Microsoft.ApiManagement/service/workspaces/apis`.
    pub(crate) fn type_name(&self, type_name: String) -> String {
        match type_name.split_once("/service/") {
            Some((provider, below)) if self.is_workspace() => {
                format!("{provider}/service/{SEGMENT}/{below}")
            }
            _ => type_name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str =
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.ApiManagement/service/demo";

    #[test]
    fn only_what_is_below_a_workspace_is_in_it() {
        let inside = |below: &str| {
            let path = ResourcePath::parse(&format!("{SERVICE}{below}")).expect("a path");
            entered(&path).map(|path| (path.pairs, path.tail))
        };
        assert_eq!(inside("/workspaces/team"), None);
        assert_eq!(inside("/workspaces"), None);
        assert_eq!(inside("/apis/workspaces"), None);
        let service = ("service".to_owned(), "demo/team".to_owned());
        assert_eq!(
            inside("/Workspaces/team/apis"),
            Some((vec![service.clone()], Some("apis".to_owned())))
        );
        assert_eq!(
            inside("/workspaces/team/apis/echo"),
            Some((vec![service, ("apis".into(), "echo".into())], None))
        );
    }

    #[test]
    fn users_are_those_of_the_service() {
        let workspace = format!("{SERVICE}/workspaces/team");
        assert_eq!(base(&workspace, "users"), SERVICE);
        assert_eq!(base(&workspace, "products"), workspace);
        assert_eq!(base(SERVICE, "users"), SERVICE);
    }
}
