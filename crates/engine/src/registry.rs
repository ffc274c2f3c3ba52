//! Which kind, link or action a path names.

use crate::{
    Engine, Error, Result,
    kind::Kind,
    link::{self, Link},
    listing::{self, Listing},
    page::{Method, Reply, Request},
    resource::{Action, Resource, kind},
    sql::Statements,
    verbs::{self, Target, type_name},
    workspace,
};
use arm_id::ResourcePath;
use std::collections::HashMap;

/// All kinds and links, with their statements.
#[derive(Default)]
pub struct Registry {
    kinds: Vec<&'static dyn Kind>,
    links: Vec<Link>,
    listings: Vec<Listing>,
    statements: HashMap<&'static str, Statements>,
    /// Lower-case types from the one under the provider down, joined by `/`.
    by_types: HashMap<String, Entry>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("types", &self.by_types.keys())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Entry {
    Kind(&'static dyn Kind),
    Link(usize),
    Listing(usize),
}

/// What a path names.
pub enum Place<'a> {
    /// One resource; names from the service down to it.
    Item(&'static dyn Kind, Vec<String>),
    /// All resources of a kind below a parent; names down to the parent.
    Collection(&'static dyn Kind, Vec<String>),
    /// One end of a link; names down to the target.
    Link(&'a Link, Vec<String>),
    /// All targets of a link; names down to the parent.
    Links(&'a Link, Vec<String>),
    /// A list of items that are no resources; names down to the parent.
    Listing(&'a Listing, Vec<String>),
    /// An action on a resource; names down to the resource.
    Action(&'static dyn Kind, &'static Action, Vec<String>),
    /// A view of a resource; names down to the resource.
    View(&'static dyn Kind, &'static Action, Vec<String>),
}

impl Place<'_> {
    /// Whether workspaces have what the path names.
    fn is_in_workspaces(&self) -> bool {
        match self {
            Self::Item(kind, _)
            | Self::Collection(kind, _)
            | Self::Action(kind, ..)
            | Self::View(kind, ..) => kind.facts().in_workspaces,
            Self::Link(link, _) | Self::Links(link, _) => link.in_workspaces,
            Self::Listing(listing, _) => listing.in_workspaces,
        }
    }

    /// The contract version that brought what the path names: the latest one on the way.
    fn since(&self) -> &'static str {
        let kind = match self {
            Self::Item(kind, _)
            | Self::Collection(kind, _)
            | Self::Action(kind, ..)
            | Self::View(kind, ..) => *kind,
            Self::Link(link, _) | Self::Links(link, _) => link.parent,
            Self::Listing(listing, _) => listing.parent,
        };
        let above = kind.parents().into_iter().map(|kind| kind.facts().since);
        above.fold(kind.facts().since, Ord::max)
    }
}

impl Registry {
    /// Adds a kind.
    ///
    /// # Panics
    /// When two kinds have one table or one path: a mistake in the list of kinds, found by its first test.
    #[must_use]
    pub fn with<R: Resource>(mut self) -> Self {
        let kind = kind::<R>();
        let twice = self
            .statements
            .insert(kind.facts().table, Statements::build(kind))
            .is_some()
            || self
                .by_types
                .insert(types_of(kind), Entry::Kind(kind))
                .is_some();
        assert!(!twice, "{} is listed twice", kind.facts().title);
        self.kinds.push(kind);
        self
    }

    /// Adds a link between two kinds.
    ///
    /// # Panics
    /// When its path is taken.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        let types = format!(
            "{}/{}",
            types_of(link.parent),
            link.segment.to_ascii_lowercase()
        );
        let twice = self
            .by_types
            .insert(types, Entry::Link(self.links.len()))
            .is_some();
        assert!(!twice, "{} is listed twice", link.title);
        self.links.push(link);
        self
    }

    /// Adds a list of items that are no resources.
    ///
    /// # Panics
    /// When its path is taken.
    #[must_use]
    pub fn listing(mut self, listing: Listing) -> Self {
        let types = format!(
            "{}/{}",
            types_of(listing.parent),
            listing.segment.to_ascii_lowercase()
        );
        let twice = self
            .by_types
            .insert(types, Entry::Listing(self.listings.len()))
            .is_some();
        assert!(!twice, "{} is listed twice", listing.operation);
        self.listings.push(listing);
        self
    }

    /// The kinds in the order of their list.
    #[must_use]
    pub fn kinds(&self) -> &[&'static dyn Kind] {
        &self.kinds
    }

    /// The links in the order of their list.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The lists of items that are no resources.
    #[must_use]
    pub fn listings(&self) -> &[Listing] {
        &self.listings
    }

    /// The statements of a registered kind.
    ///
    /// # Panics
    /// For a kind that is not in the list: [`Registry::find`] gives out none.
    #[must_use]
    pub(crate) fn statements(&self, kind: &dyn Kind) -> &Statements {
        &self.statements[kind.facts().table]
    }

    /// What [`sql`](Self::sql) says of statements that have to read rows in the order of an index.
    pub const RANGE: &str = "count of a range";

    /// Every statement that the engine sends by itself for kinds, links and listings, with what it is for: so that their plans can
    /// be looked at. Values are parameters.
    #[must_use]
    pub fn sql(&self) -> Vec<(String, String)> {
        const PAGE: &str = "ORDER BY lower(t.name) LIMIT 101";
        let mut all = Vec::new();
        for kind in &self.kinds {
            let table = kind.facts().table;
            let statements = self.statements(*kind);
            let is_root = kind.is_root();
            let mut add = |what: &str, sql: String| all.push((format!("{table}: {what}"), sql));
            for (what, sql) in statements.all(kind.facts().verbs) {
                add(what, sql.to_owned());
            }
            let (belongs, more) = if is_root {
                (
                    format!(
                        "{} AND lower(t.subscription_id) = lower($1)",
                        verbs::list::is_there(*kind)
                    ),
                    "AND lower(t.resource_group) = lower($2) AND lower(t.name) > $3",
                )
            } else {
                ("t.parent_id = $1".to_owned(), "AND lower(t.name) > $2")
            };
            let shown = &statements.shown.select;
            add("first page", format!("{shown} WHERE {belongs} {PAGE}"));
            add("page", format!("{shown} WHERE {belongs} {more} {PAGE}"));
            let count = format!("SELECT count(*) FROM {table} t WHERE {belongs}");
            add("count", count);
            if !is_root {
                let rows = format!("FROM {table} t WHERE {belongs}");
                add("marks", crate::count::marks(&rows));
                for filter in kind.facts().filters.iter().filter(|f| f.is_indexed) {
                    let field = format!("lower(t.{})", filter.column);
                    let rows = format!("SELECT {rows} AND {field} >= $2");
                    let what = format!("{} of {}", Self::RANGE, filter.field);
                    add(&what, crate::count::range(&rows, &field));
                }
            }
        }
        for link in &self.links {
            let (joined, belongs) = link.condition();
            let select = &self.statements(link.target).shown.select;
            all.push((
                format!("{}: page", link.title),
                format!("{select}{joined} WHERE {belongs} {PAGE}"),
            ));
        }
        for listing in &self.listings {
            let rows = (listing.rows)(&crate::Query::default());
            let keys = listing.keys.join(", ");
            all.push((
                format!("{}: page", listing.operation),
                format!("SELECT t.* FROM ({rows}) t ORDER BY {keys} LIMIT 101"),
            ));
        }
        all
    }

    /// The kind of a table.
    #[must_use]
    pub fn kind_of_table(&self, table: &str) -> Option<&'static dyn Kind> {
        self.kinds
            .iter()
            .copied()
            .find(|k| k.facts().table == table)
    }

    /// The kind directly under the provider that a path begins with.
    #[must_use]
    pub fn root(&self, path: &ResourcePath) -> Option<&'static dyn Kind> {
        let (segment, _) = path.pairs.first()?;
        match self.by_types.get(&segment.to_ascii_lowercase()) {
            Some(Entry::Kind(kind)) => Some(*kind),
            Some(Entry::Link(_) | Entry::Listing(_)) | None => None,
        }
    }

    /// The contract version that brought what a path names.
    fn since(&self, path: &ResourcePath, place: &Place<'_>) -> &'static str {
        let inside = workspace::entered(path).and(self.kind_of_table(workspace::SEGMENT));
        inside
            .map_or("", |kind| kind.facts().since)
            .max(place.since())
    }

    /// What a path names; types match without regard to case.
    #[must_use]
    pub fn find(&self, path: &ResourcePath) -> Option<Place<'_>> {
        let names_a_workspaces_row = |(_, name): &(String, String)| workspace::is_stored_name(name);
        if path.pairs.first().is_some_and(names_a_workspaces_row) {
            return None;
        }
        match workspace::entered(path) {
            None => self.find_in_service(path),
            Some(path) => self.find_in_service(&path).filter(Place::is_in_workspaces),
        }
    }

    fn find_in_service(&self, path: &ResourcePath) -> Option<Place<'_>> {
        let mut types = Vec::with_capacity(path.pairs.len() + 1);
        let mut names = Vec::with_capacity(path.pairs.len());
        for (segment, name) in &path.pairs {
            types.push(segment.to_ascii_lowercase());
            names.push(name.clone());
        }
        let place = match &path.tail {
            None => match self.by_types.get(&types.join("/")) {
                Some(Entry::Kind(kind)) => Some(Place::Item(*kind, names.clone())),
                Some(Entry::Link(at)) => Some(Place::Link(&self.links[*at], names.clone())),
                Some(Entry::Listing(_)) | None => None,
            },
            Some(tail) => {
                let mut key = types.clone();
                key.push(tail.to_ascii_lowercase());
                match self.by_types.get(&key.join("/")) {
                    Some(Entry::Kind(kind)) => Some(Place::Collection(*kind, names.clone())),
                    Some(Entry::Link(at)) => Some(Place::Links(&self.links[*at], names.clone())),
                    Some(Entry::Listing(at)) => {
                        Some(Place::Listing(&self.listings[*at], names.clone()))
                    }
                    None => None,
                }
            }
        };
        place.or_else(|| self.find_action(path, &types, &names))
    }

    /// An action's segments follow the name of its resource: `users/1/confirmations/password/send`.
    fn find_action(
        &self,
        path: &ResourcePath,
        types: &[String],
        names: &[String],
    ) -> Option<Place<'_>> {
        (1..=types.len()).rev().find_map(|depth| {
            let Some(Entry::Kind(kind)) = self.by_types.get(&types[..depth].join("/")) else {
                return None;
            };
            let mut rest: Vec<&str> = Vec::new();
            for (segment, name) in &path.pairs[depth..] {
                rest.extend([segment.as_str(), name.as_str()]);
            }
            rest.extend(path.tail.as_deref());
            let rest = rest.join("/");
            let facts = kind.facts();
            let named = |actions: &'static [Action]| {
                actions.iter().find(|a| a.name.eq_ignore_ascii_case(&rest))
            };
            let names = || names[..depth].to_vec();
            match (named(facts.actions), named(facts.views)) {
                (Some(action), _) => Some(Place::Action(*kind, action, names())),
                (None, Some(view)) => Some(Place::View(*kind, view, names())),
                (None, None) => None,
            }
        })
    }
}

fn types_of(kind: &dyn Kind) -> String {
    let name = type_name(kind).to_ascii_lowercase();
    name.split_once('/')
        .map_or_else(String::new, |(_, types)| types.to_owned())
}

pub(crate) async fn handle(engine: &Engine, request: &Request) -> Result<Reply> {
    let place = engine
        .registry
        .find(&request.path)
        .filter(|place| request.speaks(engine.registry.since(&request.path, place)))
        .ok_or_else(|| Error::UnknownType {
            path: request.path.to_string(),
        })?;
    let refused = || Err(Error::MethodNotAllowed(request.method.name().to_owned()));
    match place {
        Place::Item(kind, names) => {
            let verbs = kind.facts().verbs;
            let target = Target::new(kind, request, names)?;
            match request.method {
                Method::Get if verbs.get => verbs::get::get(engine, request, &target).await,
                Method::Head if verbs.get => verbs::get::head(engine, request, &target).await,
                Method::Head => verbs::get::exists(engine, request, &target).await,
                Method::Put if verbs.put => verbs::put::put(engine, request, &target).await,
                Method::Patch if verbs.patch => verbs::patch::patch(engine, request, &target).await,
                Method::Delete if verbs.delete => {
                    verbs::delete::delete(engine, request, &target).await
                }
                _ => refused(),
            }
        }
        Place::Collection(kind, names)
            if request.method == Method::Get && kind.facts().verbs.list =>
        {
            verbs::list::list(engine, request, kind, names).await
        }
        Place::Links(link, names) if request.method == Method::Get => {
            link::list(engine, request, link, names).await
        }
        Place::Listing(listing, names) if request.method == Method::Get => {
            listing::list(engine, request, listing, names).await
        }
        Place::Link(link, names) if link.readable && request.method == Method::Get => {
            link::get(engine, request, link, names).await
        }
        // The contract's HEAD of a link that can be read is that of an entity (`Tag_GetEntityStateByApi`).
        Place::Link(link, names) if link.readable && request.method == Method::Head => {
            let mut reply = link::get(engine, request, link, names).await?;
            reply.body = None;
            Ok(reply)
        }
        Place::Link(link, names) if link.writable => match request.method {
            Method::Head => link::exists(engine, request, link, names).await,
            Method::Put => link::put(engine, request, link, names).await,
            Method::Delete => link::delete(engine, request, link, names).await,
            _ => refused(),
        },
        Place::Action(kind, action, names) if request.method == Method::Post => {
            let target = Target::new(kind, request, names)?;
            verbs::action::run(engine, request, &target, action).await
        }
        Place::View(kind, view, names) if request.method == Method::Get => {
            let target = Target::new(kind, request, names)?;
            verbs::action::run(engine, request, &target, view).await
        }
        Place::Collection(..)
        | Place::Links(..)
        | Place::Listing(..)
        | Place::Link(..)
        | Place::Action(..)
        | Place::View(..) => refused(),
    }
}
