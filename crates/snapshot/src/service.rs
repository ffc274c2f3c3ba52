//! One service as the gateway serves it.

use std::borrow::Cow;
use std::sync::Arc;

use imbl::HashMap;
use uuid::Uuid;

use crate::effective::PolicyState;
use crate::entity::{
    Api, Backend, Cache, Certificate, Diagnostic, Digest, Fragment, Gateway, Logger, NamedValue,
    Operation, PolicyScope, Product, Schema, Service, Subscription, User, VersionScheme,
};
use crate::map::{FlatMap, IdMap};
use crate::matcher::{Found, Matcher};

/// Entities of one kind, by id and by a second, lower-case key.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    by_id: IdMap<Uuid, Arc<T>>,
    by_key: HashMap<Box<str>, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            by_id: IdMap::default(),
            by_key: HashMap::new(),
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn put(&mut self, id: Uuid, key: impl Fn(&T) -> String, entity: T) {
        self.remove(id, &key);
        let entity = Arc::new(entity);
        self.by_key
            .insert(key(&entity).to_lowercase().into(), Arc::clone(&entity));
        self.by_id.insert(id, entity);
    }

    pub(crate) fn remove(&mut self, id: Uuid, key: impl Fn(&T) -> String) {
        if let Some(old) = self.by_id.remove(&id) {
            let key = key(&old).to_lowercase();
            // The key may have gone to another entity meanwhile: a rename and a creation can arrive in either order.
            if self
                .by_key
                .get(&*key)
                .is_some_and(|known| Arc::ptr_eq(known, &old))
            {
                self.by_key.remove(&*key);
            }
        }
    }

    pub(crate) fn by_key(&self, key: &str) -> Option<&Arc<T>> {
        match self.by_key.get(key) {
            None if key.chars().any(char::is_uppercase) => self.by_key.get(&*key.to_lowercase()),
            found => found,
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<T>> {
        self.by_id.values()
    }
}

/// An operation with nothing around it.
#[derive(Debug)]
pub struct OperationState {
    /// The operation.
    pub operation: Operation,
}

/// A revision of an API with its operations.
#[derive(Clone, Debug, Default)]
pub struct ApiState {
    /// Absent while only children have arrived.
    pub(crate) api: Option<Arc<Api>>,
    pub(crate) operations: IdMap<Uuid, Arc<OperationState>>,
    pub(crate) matcher: Matcher<Arc<OperationState>>,
}

impl ApiState {
    /// The API. `None` cannot be seen by callers of [`ServiceState::api`].
    #[must_use]
    pub fn api(&self) -> Option<&Arc<Api>> {
        self.api.as_ref()
    }

    /// The operation of a request; `path` is what follows the API's own path.
    #[must_use]
    pub fn operation<'r>(
        &self,
        method: &str,
        path: &'r str,
        query: &str,
    ) -> Option<Found<'_, 'r, Arc<OperationState>>> {
        self.matcher.find(method, path, query)
    }

    /// All operations, in no order.
    pub fn operations(&self) -> impl Iterator<Item = &Arc<OperationState>> {
        self.operations.values()
    }
}

/// The API of a request.
#[derive(Clone, Copy, Debug)]
pub struct ApiMatch<'s> {
    /// Its state.
    pub state: &'s Arc<ApiState>,
    /// The API.
    pub api: &'s Arc<Api>,
    /// Bytes of the request path that belong to the API: its path, version and revision. What follows is the operation's.
    pub prefix_bytes: usize,
}

/// One service with everything in it.
#[derive(Clone, Debug, Default)]
pub struct ServiceState {
    /// Absent while only children have arrived.
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) apis: IdMap<Uuid, Arc<ApiState>>,
    /// APIs by path and segment version, lower case.
    pub(crate) paths: IdMap<Box<str>, Vec<Uuid>>,
    /// How many entries of `paths` have as many segments as the index says.
    pub(crate) depths: Vec<usize>,
    pub(crate) products: IdMap<Uuid, Arc<Product>>,
    /// Products without need of a subscription, by [`Api::root`].
    pub(crate) open_products: IdMap<Uuid, Vec<Uuid>>,
    pub(crate) subscriptions: IdMap<Uuid, Arc<Subscription>>,
    pub(crate) keys: FlatMap<Digest, Arc<Subscription>>,
    pub(crate) users: IdMap<Uuid, Arc<User>>,
    pub(crate) policies: IdMap<PolicyScope, Arc<PolicyState>>,
    pub(crate) policy_scopes: IdMap<Uuid, PolicyScope>,
    pub(crate) fragments: Table<Fragment>,
    pub(crate) named_values: Table<NamedValue>,
    pub(crate) backends: Table<Backend>,
    pub(crate) certificates: Table<Certificate>,
    pub(crate) caches: Table<Cache>,
    pub(crate) loggers: Table<Logger>,
    pub(crate) schemas: Table<Schema>,
    /// By API; nil for those of the service.
    pub(crate) diagnostics: IdMap<Uuid, Vec<Arc<Diagnostic>>>,
    pub(crate) gateways: IdMap<Uuid, Arc<Gateway>>,
    /// When a named value or fragment last changed.
    pub(crate) substitution_stamp: u64,
}

/// Path of an API with its segment version: how callers write it, lower case.
pub(crate) fn path_key(api: &Api) -> String {
    let path = api.path.trim_matches('/').to_ascii_lowercase();
    match &api.version {
        Some(version) if version.scheme == VersionScheme::Segment && !version.name.is_empty() => {
            format!("{path}/{}", version.name.to_ascii_lowercase())
                .trim_start_matches('/')
                .to_owned()
        }
        _ => path,
    }
}

/// Number of segments.
pub(crate) fn depth(path: &str) -> usize {
    if path.is_empty() {
        0
    } else {
        1 + path.bytes().filter(|byte| *byte == b'/').count()
    }
}

impl ServiceState {
    /// The service. `None` cannot be seen by callers of [`Snapshot::service`](crate::Snapshot::service).
    #[must_use]
    pub fn service(&self) -> Option<&Arc<Service>> {
        self.service.as_ref()
    }

    /// The API of a request path: the longest API path that is a prefix of it, compared without case, by whole segments. Several
    /// APIs of one path differ by version, which `said` reads from the request, or by revision, `path;rev=2`.
    pub fn api<'s>(
        &'s self,
        path: &str,
        said: &mut dyn FnMut(&VersionScheme) -> Option<String>,
    ) -> Option<ApiMatch<'s>> {
        let text = path.strip_prefix('/').unwrap_or(path);
        let slash = path.len() - text.len();
        // A search for one byte first: few paths have any, and preparing the search for a text costs more than the path is long.
        let semicolon = text.bytes().position(|byte| byte == b';');
        let revision_at = semicolon.and_then(|from| Some(from + text[from..].find(";rev=")?));
        let (text, revision, revision_bytes) = match revision_at {
            Some(at) => {
                let number = &text[at + 5..];
                let length = number.find('/').unwrap_or(number.len());
                (&text[..at], Some(&number[..length]), 5 + length)
            }
            None => (text, None, 0),
        };
        let lowered: Cow<'_, str> = if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            text.to_ascii_lowercase().into()
        } else {
            text.into()
        };
        // Ends of the first segments, as many as the deepest API has.
        let deepest = self.depths.len().saturating_sub(1);
        let mut ends = [0_usize; DEEPEST + 1];
        let mut segments = 0;
        let mut at = 0;
        while segments < deepest && at < lowered.len() {
            let rest = lowered.as_bytes()[at..].iter();
            let length = rest.take_while(|byte| **byte != b'/').count();
            let end = at + length;
            segments += 1;
            ends[segments] = end;
            at = end + 1;
        }
        for depth in (0..=segments).rev() {
            if self.depths.get(depth).is_none_or(|count| *count == 0) {
                continue;
            }
            let end = ends[depth];
            // A revision is named at the end of the API's path.
            if revision.is_some() && end != lowered.len() {
                continue;
            }
            let Some(ids) = self.paths.get(&lowered[..end]) else {
                continue;
            };
            let (state, api) = self.choose(ids, revision, said)?;
            return Some(ApiMatch {
                state,
                api,
                // Without a path of its own an API leaves the slash to its operations.
                prefix_bytes: if end + revision_bytes == 0 {
                    0
                } else {
                    slash + end + revision_bytes
                },
            });
        }
        None
    }

    fn choose<'s>(
        &'s self,
        ids: &[Uuid],
        revision: Option<&str>,
        said: &mut dyn FnMut(&VersionScheme) -> Option<String>,
    ) -> Option<(&'s Arc<ApiState>, &'s Arc<Api>)> {
        let mut default = None;
        for id in ids {
            let Some(state) = self.apis.get(id) else {
                continue;
            };
            let Some(api) = &state.api else { continue };
            let reachable = match revision {
                Some(revision) => api.revision == revision,
                None => api.is_current,
            };
            if !reachable {
                continue;
            }
            match &api.version {
                Some(version) if version.scheme != VersionScheme::Segment => {
                    match said(&version.scheme).filter(|said| !said.is_empty()) {
                        Some(said) if said.eq_ignore_ascii_case(&version.name) => {
                            return Some((state, api));
                        }
                        None if version.name.is_empty() => default = Some((state, api)),
                        _ => {}
                    }
                }
                _ => default = Some((state, api)),
            }
        }
        // Who asks for a version that does not exist must not get another one.
        let asked_elsewhere = ids.iter().any(|id| {
            let api = self.apis.get(id).and_then(|state| state.api.as_ref());
            api.and_then(|api| api.version.as_ref())
                .is_some_and(|version| {
                    version.scheme != VersionScheme::Segment
                        && said(&version.scheme).is_some_and(|said| !said.is_empty())
                })
        });
        default.filter(|_| !asked_elsewhere)
    }

    /// A revision of an API by id.
    #[must_use]
    pub fn api_state(&self, id: Uuid) -> Option<&Arc<ApiState>> {
        self.apis.get(&id)
    }

    /// A product by id.
    #[must_use]
    pub fn product(&self, id: Uuid) -> Option<&Arc<Product>> {
        self.products.get(&id)
    }

    /// A subscription by id.
    #[must_use]
    pub fn subscription(&self, id: Uuid) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&id)
    }

    /// A user by id.
    #[must_use]
    pub fn user(&self, id: Uuid) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// A backend by name.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.by_key(name)
    }

    /// A certificate by name.
    #[must_use]
    pub fn certificate(&self, name: &str) -> Option<&Arc<Certificate>> {
        self.certificates.by_key(name)
    }

    /// All certificates, in no order.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.certificates.values()
    }

    /// The certificates that vouch for callers.
    pub fn authorities(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        let named = self.own_authorities();
        self.certificates.values().filter(move |certificate| {
            named.is_none_or(|names| {
                names
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(&certificate.name))
            })
        })
    }

    /// Authorities of a gateway apart, which vouch for backends, too.
    fn own_authorities(&self) -> Option<&Vec<String>> {
        self.service.as_ref()?.authorities.as_ref()
    }

    /// The certificates that vouch for backends besides the web's authorities, in PEM; `None` where there are none.
    #[must_use]
    pub fn backend_authorities(&self) -> Option<String> {
        self.own_authorities()?;
        let mut chains: Vec<&str> = self
            .authorities()
            .map(|certificate| certificate.chain_pem.as_str())
            .collect();
        chains.sort_unstable();
        (!chains.is_empty()).then(|| chains.concat())
    }

    /// A certificate by thumbprint.
    #[must_use]
    pub fn certificate_by_thumbprint(&self, thumbprint: &str) -> Option<&Arc<Certificate>> {
        // A service has a handful of certificates: no index.
        self.certificates
            .values()
            .find(|certificate| certificate.thumbprint.eq_ignore_ascii_case(thumbprint))
    }

    /// Connection string of the external cache that gateways of the service's region use: that of the region, else the default one.
    #[must_use]
    pub fn external_cache(&self) -> Option<String> {
        self.caches.values().next()?;
        let plain = |text: &str| text.replace(' ', "").to_lowercase();
        let region = plain(self.service.as_ref().map_or("", |service| &service.region));
        // A service has a handful of caches.
        let of = |wanted: &str| {
            let mut all = self.caches.values();
            all.find(|cache| plain(&cache.location) == wanted)
        };
        let cache = of(&region).or_else(|| of("default"))?;
        let reference = cache.connection.strip_prefix("{{");
        match reference.and_then(|rest| rest.strip_suffix("}}")) {
            None => Some(cache.connection.clone()),
            Some(name) => Some(self.named_values.by_key(name)?.value.clone()),
        }
    }

    /// A logger by name.
    #[must_use]
    pub fn logger(&self, name: &str) -> Option<&Arc<Logger>> {
        self.loggers.by_key(name)
    }

    /// The diagnostics of calls of a revision of an API: its own, and those of the service that it does not replace.
    #[must_use]
    pub fn diagnostics(&self, api: Uuid) -> Vec<Arc<Diagnostic>> {
        if self.diagnostics.is_empty() {
            return Vec::new();
        }
        let mut found = self.diagnostics.get(&api).cloned().unwrap_or_default();
        for general in self.diagnostics.get(&Uuid::nil()).into_iter().flatten() {
            if !found.iter().any(|own| own.name == general.name) {
                found.push(Arc::clone(general));
            }
        }
        found
    }

    /// A schema of an API, or one of the service when `api` is `None`, by name.
    #[must_use]
    pub fn schema(&self, api: Option<Uuid>, name: &str) -> Option<&Arc<Schema>> {
        self.schemas.by_key(&schema_key(api, name))
    }

    /// Values that traces must hide.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.named_values
            .values()
            .filter(|value| value.secret && !value.value.is_empty())
            .map(|value| value.value.as_str())
    }
}

/// Most segments that an API's path may have with its version; deeper ones are unreachable. The contract's 400 characters allow
/// more, but nobody uses them, and the bound lets a search live on the stack.
pub(crate) const DEEPEST: usize = 64;

pub(crate) fn schema_key(api: Option<Uuid>, name: &str) -> String {
    let api = api.unwrap_or_default();
    format!("{api}/{name}")
}
