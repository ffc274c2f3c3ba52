//! From one snapshot to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::effective::PolicyState;
use crate::entity::{Entity, Gateway, Kind, Operation, PolicyScope, Product, Subscription};
use crate::map::IdMap;
use crate::service::{
    ApiState, DEEPEST, OperationState, ServiceState, depth, path_key, schema_key,
};

/// Host of a service that answers to every host that no other service has: that of a gateway with one service only.
pub const ANY_HOST: &str = "*";

/// One difference between two snapshots.
#[expect(
    clippy::large_enum_variant,
    reason = "changes are consumed one by one; nearly all of them are the large one"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The entity is new or has changed.
    Put(Entity),
    /// The entity is gone, and everything below it.
    Remove {
        /// Its kind.
        kind: Kind,
        /// Its id.
        id: Uuid,
    },
}

/// Where an entity is, so that it can be removed by its id alone.
#[derive(Clone, Copy, Debug)]
struct Place {
    service: Uuid,
    /// API of an operation; nil otherwise.
    api: Uuid,
}

/// The configuration of a gateway at one moment. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    revision: u64,
    /// Of the last application of changes, to stamp policies.
    serial: u64,
    services: IdMap<Uuid, Arc<ServiceState>>,
    hosts: IdMap<Box<str>, Uuid>,
    places: IdMap<Uuid, Place>,
}

impl Snapshot {
    /// The control plane's number for this state; 0 unless set.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The same configuration with another number.
    #[must_use]
    pub fn at_revision(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    /// The service of a `Host` header: `host:port` first, then `host`, then [`ANY_HOST`]. Compared without case.
    #[must_use]
    pub fn service(&self, authority: &str) -> Option<&Arc<ServiceState>> {
        let mut lowered = String::new();
        let authority = if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lowered.push_str(authority);
            lowered.make_ascii_lowercase();
            lowered.as_str()
        } else {
            authority
        };
        let id = self
            .hosts
            .get(authority)
            .or_else(|| self.hosts.get(without_port(authority)))
            .or_else(|| self.hosts.get(ANY_HOST))?;
        self.services
            .get(id)
            .filter(|state| state.service.is_some())
    }

    /// A service by id.
    #[must_use]
    pub fn service_by_id(&self, id: Uuid) -> Option<&Arc<ServiceState>> {
        self.services
            .get(&id)
            .filter(|state| state.service.is_some())
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceState>> {
        self.services
            .values()
            .filter(|state| state.service.is_some())
    }

    /// Number of entities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is nothing to serve.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The next snapshot. Costs the changes, not what stays as it is; their order does not matter, except for changes of one entity.
    #[must_use]
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Self {
        // Unique in the process: two snapshots made from one share cells that are valid for one of them only.
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let mut next = self.clone();
        next.serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        for change in changes {
            match change {
                Change::Put(entity) => next.put(entity),
                Change::Remove { kind, id } => next.remove(kind, id),
            }
        }
        next
    }

    /// A configuration from a sequence of entities, each applied as it is read: a list of all of them would for a moment need more
    /// memory than the configuration, and a program that has once needed it keeps it.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize_entities<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        struct Entities(Snapshot);

        impl<'de> Visitor<'de> for Entities {
            type Value = Snapshot;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sequence of entities")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Snapshot, A::Error> {
                while let Some(entity) = seq.next_element()? {
                    self.0.put(entity);
                }
                Ok(self.0)
            }
        }

        deserializer.deserialize_seq(Entities(Self::default().apply([])))
    }

    /// All entities, in no order: [`Snapshot::apply`] of them to an empty snapshot gives the same configuration.
    #[must_use]
    pub fn entities(&self) -> Vec<Entity> {
        let mut entities = Vec::with_capacity(self.len());
        for state in self.services.values() {
            state.collect(&mut entities);
        }
        entities
    }

    /// The service that an entity belongs to and, for an operation, its API.
    pub(crate) fn place(&self, id: Uuid) -> Option<(Uuid, Uuid)> {
        self.places.get(&id).map(|place| (place.service, place.api))
    }

    /// As [`Snapshot::service_by_id`], also while the service itself has not arrived.
    pub(crate) fn state(&self, service: Uuid) -> Option<&Arc<ServiceState>> {
        self.services.get(&service)
    }

    /// A gateway apart, by id.
    #[must_use]
    pub fn gateway(&self, id: Uuid) -> Option<&Arc<Gateway>> {
        let (service, _) = self.place(id)?;
        self.services.get(&service)?.gateways.get(&id)
    }

    fn put(&mut self, entity: Entity) {
        let id = entity.id();
        let place = match &entity {
            Entity::Service(entity) => Place {
                service: entity.id,
                api: Uuid::nil(),
            },
            Entity::Operation(entity) => Place {
                service: entity.service_id,
                api: entity.api_id,
            },
            Entity::Api(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Product(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Subscription(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::User(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Policy(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Fragment(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::NamedValue(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Backend(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Certificate(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Cache(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Logger(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Schema(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
            Entity::Diagnostic(entity) => Place {
                service: entity.service_id,
                api: entity.api_id.unwrap_or_default(),
            },
            Entity::Gateway(entity) => Place {
                service: entity.service_id,
                api: Uuid::nil(),
            },
        };
        if let Some(old) = self.places.insert(id, place)
            && (old.service, old.api) != (place.service, place.api)
        {
            // An id never moves; if it does, the old place must forget it.
            self.places.insert(id, old);
            self.remove(entity.kind(), id);
            self.places.insert(id, place);
        }
        let serial = self.serial;
        let mut shared = self.services.remove(&place.service).unwrap_or_default();
        let state = Arc::make_mut(&mut shared);
        match entity {
            Entity::Service(service) => {
                if let Some(old) = &state.service {
                    forget_hosts(&mut self.hosts, &old.hostnames, old.id);
                }
                for host in &service.hostnames {
                    self.hosts
                        .insert(host.to_ascii_lowercase().into(), service.id);
                }
                state.service = Some(Arc::new(service));
            }
            Entity::Api(api) => {
                let mut known = state.apis.remove(&id).unwrap_or_default();
                if let Some(old) = &known.api {
                    state.forget_path(&path_key(old), id);
                }
                state.learn_path(path_key(&api), id);
                Arc::make_mut(&mut known).api = Some(Arc::new(api));
                state.apis.insert(id, known);
            }
            Entity::Operation(operation) => {
                let mut api = state.apis.remove(&place.api).unwrap_or_default();
                Arc::make_mut(&mut api).put_operation(operation);
                state.apis.insert(place.api, api);
            }
            Entity::Product(mut product) => {
                state.forget_product(id);
                // Calls search it.
                product.api_ids.sort_unstable();
                if product.is_published && !product.subscription_required {
                    for api in &product.api_ids {
                        let mut ids = state.open_products.get(api).cloned().unwrap_or_default();
                        ids.push(id);
                        ids.sort_unstable();
                        state.open_products.insert(*api, ids);
                    }
                }
                state.products.insert(id, Arc::new(product));
            }
            Entity::Subscription(subscription) => {
                state.forget_subscription(id);
                let subscription = Arc::new(subscription);
                state
                    .keys
                    .insert(subscription.primary_digest, Arc::clone(&subscription));
                state
                    .keys
                    .insert(subscription.secondary_digest, Arc::clone(&subscription));
                state.subscriptions.insert(id, subscription);
            }
            Entity::User(user) => {
                state.users.insert(id, Arc::new(user));
            }
            Entity::Policy(policy) => {
                state.forget_policy(id);
                state.policy_scopes.insert(id, policy.scope);
                state
                    .policies
                    .insert(policy.scope, Arc::new(PolicyState::new(policy, serial)));
            }
            Entity::Fragment(fragment) => {
                state.substitution_stamp = serial;
                state
                    .fragments
                    .put(id, |entity| entity.name.clone(), fragment);
            }
            Entity::NamedValue(value) => {
                state.substitution_stamp = serial;
                state
                    .named_values
                    .put(id, |entity| entity.display_name.clone(), value);
            }
            Entity::Backend(backend) => {
                state
                    .backends
                    .put(id, |entity| entity.name.clone(), backend)
            }
            Entity::Certificate(certificate) => {
                state
                    .certificates
                    .put(id, |entity| entity.name.clone(), certificate)
            }
            Entity::Cache(cache) => state.caches.put(id, |entity| entity.name.clone(), cache),
            Entity::Logger(logger) => state.loggers.put(id, |entity| entity.name.clone(), logger),
            Entity::Schema(schema) => {
                state
                    .schemas
                    .put(id, |entity| schema_key(entity.api_id, &entity.name), schema);
            }
            Entity::Diagnostic(diagnostic) => {
                state.forget_diagnostic(place.api, id);
                let mut known = state
                    .diagnostics
                    .get(&place.api)
                    .cloned()
                    .unwrap_or_default();
                known.push(Arc::new(diagnostic));
                known.sort_by(|one, other| one.name.cmp(&other.name));
                state.diagnostics.insert(place.api, known);
            }
            Entity::Gateway(gateway) => {
                state.gateways.insert(id, Arc::new(gateway));
            }
        }
        self.services.insert(place.service, shared);
    }

    fn remove(&mut self, kind: Kind, id: Uuid) {
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        let Some(mut shared) = self.services.remove(&place.service) else {
            return;
        };
        if kind == Kind::Service {
            if let Some(service) = &shared.service {
                forget_hosts(&mut self.hosts, &service.hostnames, service.id);
            }
            let mut gone = Self::default();
            gone.services.insert(id, shared);
            for entity in gone.entities() {
                self.places.remove(&entity.id());
            }
            return;
        }
        let state = Arc::make_mut(&mut shared);
        match kind {
            Kind::Service => {}
            Kind::Api => {
                if let Some(old) = state.apis.remove(&id) {
                    if let Some(api) = &old.api {
                        state.forget_path(&path_key(api), id);
                    }
                    for operation in old.operations.keys() {
                        self.places.remove(operation);
                        state.forget_scope(PolicyScope::Operation(*operation), &mut self.places);
                    }
                }
                state.forget_scope(PolicyScope::Api(id), &mut self.places);
                for diagnostic in state.diagnostics.remove(&id).into_iter().flatten() {
                    self.places.remove(&diagnostic.id);
                }
                let schemas: Vec<Uuid> = state
                    .schemas
                    .values()
                    .filter(|schema| schema.api_id == Some(id))
                    .map(|schema| schema.id)
                    .collect();
                for schema in schemas {
                    self.places.remove(&schema);
                    state
                        .schemas
                        .remove(schema, |entity| schema_key(entity.api_id, &entity.name));
                }
            }
            Kind::Operation => {
                if let Some(mut api) = state.apis.remove(&place.api) {
                    Arc::make_mut(&mut api).remove_operation(id);
                    state.apis.insert(place.api, api);
                }
                state.forget_scope(PolicyScope::Operation(id), &mut self.places);
            }
            Kind::Product => {
                state.forget_product(id);
                state.forget_scope(PolicyScope::Product(id), &mut self.places);
            }
            Kind::Subscription => state.forget_subscription(id),
            Kind::User => {
                state.users.remove(&id);
            }
            Kind::Policy => state.forget_policy(id),
            Kind::Fragment => {
                state.substitution_stamp = self.serial;
                state.fragments.remove(id, |entity| entity.name.clone());
            }
            Kind::NamedValue => {
                state.substitution_stamp = self.serial;
                state
                    .named_values
                    .remove(id, |entity| entity.display_name.clone());
            }
            Kind::Backend => state.backends.remove(id, |entity| entity.name.clone()),
            Kind::Certificate => state.certificates.remove(id, |entity| entity.name.clone()),
            Kind::Cache => state.caches.remove(id, |entity| entity.name.clone()),
            Kind::Logger => state.loggers.remove(id, |entity| entity.name.clone()),
            Kind::Schema => state
                .schemas
                .remove(id, |entity| schema_key(entity.api_id, &entity.name)),
            Kind::Diagnostic => state.forget_diagnostic(place.api, id),
            Kind::Gateway => {
                state.gateways.remove(&id);
            }
        }
        self.services.insert(place.service, shared);
    }
}

/// The host of an authority; an IPv6 address keeps its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(at)
            if authority[at + 1..]
                .bytes()
                .all(|byte| byte.is_ascii_digit()) =>
        {
            &authority[..at]
        }
        _ => authority,
    }
}

/// Another service may have taken over a host, in either order of changes.
fn forget_hosts(hosts: &mut IdMap<Box<str>, Uuid>, names: &[String], owner: Uuid) {
    for host in names {
        let host = host.to_ascii_lowercase();
        if hosts.get(&*host) == Some(&owner) {
            hosts.remove(&*host);
        }
    }
}

impl ApiState {
    fn put_operation(&mut self, operation: Operation) {
        self.remove_operation(operation.id);
        let id = operation.id;
        let state = Arc::new(OperationState { operation });
        self.matcher.insert(
            &state.operation.method,
            &state.operation.url_template,
            id,
            Arc::clone(&state),
        );
        self.operations.insert(id, state);
    }

    fn remove_operation(&mut self, id: Uuid) {
        if let Some(old) = self.operations.remove(&id) {
            self.matcher
                .remove(&old.operation.method, &old.operation.url_template, id);
        }
    }
}

impl ServiceState {
    /// Everything of the service, in no order.
    pub(crate) fn collect(&self, entities: &mut Vec<Entity>) {
        let state = self;
        entities.extend(state.service.as_deref().cloned().map(Entity::Service));
        for api in state.apis.values() {
            entities.extend(api.api.as_deref().cloned().map(Entity::Api));
            entities.extend(
                api.operations
                    .values()
                    .map(|state| state.operation.clone().into()),
            );
        }
        entities.extend(
            state
                .products
                .values()
                .map(|entity| Product::clone(entity).into()),
        );
        entities.extend(
            state
                .subscriptions
                .values()
                .map(|entity| Subscription::clone(entity).into()),
        );
        entities.extend(
            state
                .users
                .values()
                .map(|entity| Entity::User((**entity).clone())),
        );
        entities.extend(
            state
                .policies
                .values()
                .map(|state| state.policy.clone().into()),
        );
        entities.extend(
            state
                .fragments
                .values()
                .map(|entity| Entity::Fragment((**entity).clone())),
        );
        entities.extend(
            state
                .named_values
                .values()
                .map(|entity| Entity::NamedValue((**entity).clone())),
        );
        entities.extend(
            state
                .backends
                .values()
                .map(|entity| Entity::Backend((**entity).clone())),
        );
        entities.extend(
            state
                .certificates
                .values()
                .map(|entity| Entity::Certificate((**entity).clone())),
        );
        entities.extend(
            state
                .caches
                .values()
                .map(|entity| Entity::Cache((**entity).clone())),
        );
        entities.extend(
            state
                .loggers
                .values()
                .map(|entity| Entity::Logger((**entity).clone())),
        );
        entities.extend(
            state
                .schemas
                .values()
                .map(|entity| Entity::Schema((**entity).clone())),
        );
        entities.extend(
            state
                .diagnostics
                .values()
                .flatten()
                .map(|entity| Entity::Diagnostic((**entity).clone())),
        );
        entities.extend(
            state
                .gateways
                .values()
                .map(|entity| Entity::Gateway((**entity).clone())),
        );
    }

    fn learn_path(&mut self, path: String, id: Uuid) {
        let depth = depth(&path);
        if depth > DEEPEST {
            return;
        }
        if self.depths.len() <= depth {
            self.depths.resize(depth + 1, 0);
        }
        self.depths[depth] += 1;
        let path: Box<str> = path.into();
        let mut ids = self.paths.get(&path).cloned().unwrap_or_default();
        ids.push(id);
        self.paths.insert(path, ids);
    }

    fn forget_path(&mut self, path: &str, id: Uuid) {
        let Some(mut ids) = self.paths.remove(path) else {
            return;
        };
        let before = ids.len();
        ids.retain(|known| *known != id);
        self.depths[depth(path)] -= before - ids.len();
        if !ids.is_empty() {
            self.paths.insert(path.into(), ids);
        }
        while self.depths.last() == Some(&0) {
            self.depths.pop();
        }
    }

    fn forget_product(&mut self, id: Uuid) {
        let Some(old) = self.products.remove(&id) else {
            return;
        };
        for api in &old.api_ids {
            if let Some(mut ids) = self.open_products.remove(api) {
                ids.retain(|known| *known != id);
                if !ids.is_empty() {
                    self.open_products.insert(*api, ids);
                }
            }
        }
    }

    fn forget_diagnostic(&mut self, api: Uuid, id: Uuid) {
        if let Some(mut known) = self.diagnostics.remove(&api) {
            known.retain(|diagnostic| diagnostic.id != id);
            if !known.is_empty() {
                self.diagnostics.insert(api, known);
            }
        }
    }

    fn forget_subscription(&mut self, id: Uuid) {
        let Some(old) = self.subscriptions.remove(&id) else {
            return;
        };
        for digest in [old.primary_digest, old.secondary_digest] {
            if self.keys.get(&digest).is_some_and(|known| known.id == id) {
                self.keys.remove(&digest);
            }
        }
    }

    fn forget_scope(&mut self, scope: PolicyScope, places: &mut IdMap<Uuid, Place>) {
        if let Some(state) = self.policies.remove(&scope) {
            self.policy_scopes.remove(&state.policy.id);
            places.remove(&state.policy.id);
        }
    }

    fn forget_policy(&mut self, id: Uuid) {
        let Some(scope) = self.policy_scopes.remove(&id) else {
            return;
        };
        // The scope may have a new document already, with an id of its own.
        if self
            .policies
            .get(&scope)
            .is_some_and(|state| state.policy.id == id)
        {
            self.policies.remove(&scope);
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    revision: u64,
    entities: Vec<Entity>,
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = Stored {
            revision: self.revision,
            entities: self.entities(),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        Ok(Self::default()
            .apply(stored.entities.into_iter().map(Change::Put))
            .at_revision(stored.revision))
    }
}
