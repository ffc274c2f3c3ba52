//! What a gateway apart from the control plane is told: its service, the APIs that are its own, and what these need.

use std::collections::HashSet;

use uuid::Uuid;

use crate::change::{ANY_HOST, Change, Snapshot};
use crate::entity::{Entity, Gateway, Kind, PolicyScope};
use crate::service::ServiceState;

/// The part of a snapshot that one gateway serves.
///
/// A gateway gets its own service without the service's other gateways; of the APIs only those that it is associated with, with
/// their operations, policies and schemas; everything else of the service, because policies may refer to it. It answers to every
/// host, since nothing but this service can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    gateway: Uuid,
}

/// What decides on single entities.
struct Scope<'s> {
    snapshot: &'s Snapshot,
    state: &'s ServiceState,
    gateway: &'s Gateway,
    apis: HashSet<Uuid>,
}

impl<'s> Scope<'s> {
    fn new(snapshot: &'s Snapshot, gateway: Uuid) -> Option<Self> {
        let gateway = snapshot.gateway(gateway)?;
        Some(Self {
            snapshot,
            state: snapshot.state(gateway.service_id)?,
            gateway,
            apis: gateway.api_ids.iter().copied().collect(),
        })
    }

    fn serves(&self, api: Uuid) -> bool {
        self.gateway.serves_all
            || self
                .state
                .apis
                .get(&api)
                .and_then(|state| state.api())
                .is_some_and(|api| self.apis.contains(&api.root()) || self.apis.contains(&api.id))
    }

    /// The entity as the gateway sees it.
    fn seen(&self, entity: Entity) -> Option<Entity> {
        let (service, _) = self.snapshot.place(entity.id())?;
        if service != self.gateway.service_id {
            return None;
        }
        let shown = match &entity {
            Entity::Api(api) => self.serves(api.id),
            Entity::Operation(operation) => self.serves(operation.api_id),
            Entity::Schema(schema) => schema.api_id.is_none_or(|api| self.serves(api)),
            Entity::Diagnostic(diagnostic) => diagnostic.api_id.is_none_or(|api| self.serves(api)),
            Entity::Policy(policy) => match policy.scope {
                PolicyScope::Global | PolicyScope::Product(_) => true,
                PolicyScope::Api(api) => self.serves(api),
                PolicyScope::Operation(operation) => self
                    .snapshot
                    .place(operation)
                    .is_some_and(|(_, api)| self.serves(api)),
            },
            Entity::Gateway(_) => false,
            Entity::Service(_)
            | Entity::Product(_)
            | Entity::Subscription(_)
            | Entity::User(_)
            | Entity::Fragment(_)
            | Entity::NamedValue(_)
            | Entity::Backend(_)
            | Entity::Certificate(_)
            | Entity::Cache(_)
            | Entity::Logger(_) => true,
        };
        if !shown {
            return None;
        }
        Some(match entity {
            Entity::Service(mut service) => {
                service
                    .hostnames
                    .extend(self.gateway.hostnames.iter().cloned());
                service.hostnames.push(ANY_HOST.to_owned());
                service.gateway.clone_from(&self.gateway.name);
                service.authorities.clone_from(&self.gateway.authorities);
                // Its own hosts count before those of the service.
                service
                    .tls_hosts
                    .splice(..0, self.gateway.tls_hosts.iter().cloned());
                Entity::Service(service)
            }
            other => other,
        })
    }
}

impl View {
    /// The view of a gateway, by id.
    #[must_use]
    pub fn of(gateway: Uuid) -> Self {
        Self { gateway }
    }

    /// Everything that the gateway is to know; nothing if there is no such gateway.
    #[must_use]
    pub fn entities(self, snapshot: &Snapshot) -> Vec<Entity> {
        let Some(scope) = Scope::new(snapshot, self.gateway) else {
            return Vec::new();
        };
        let mut entities = Vec::new();
        scope.state.collect(&mut entities);
        entities
            .into_iter()
            .filter_map(|entity| scope.seen(entity))
            .collect()
    }

    /// What the gateway must hear of changes that made `after` out of `before`. Costs the changes, except that an API which is
    /// associated anew comes with everything in it.
    #[must_use]
    pub fn changes(self, before: &Snapshot, after: &Snapshot, changes: &[Change]) -> Vec<Change> {
        let (then, now) = (
            Scope::new(before, self.gateway),
            Scope::new(after, self.gateway),
        );
        let Some(now) = now else {
            // A gateway that is gone has nothing left to serve: all of it goes with its service.
            return then
                .map(|then| Change::Remove {
                    kind: Kind::Service,
                    id: then.gateway.service_id,
                })
                .into_iter()
                .collect();
        };
        let Some(then) = then else {
            return self.entities(after).into_iter().map(Change::Put).collect();
        };
        let mut told = Vec::new();
        let mut looked_at = HashSet::new();
        for change in changes {
            match change {
                Change::Put(entity) => {
                    told.extend(now.seen(entity.clone()).map(Change::Put));
                    match entity {
                        Entity::Api(api) => {
                            looked_at.insert(api.id);
                        }
                        // Its policy may have come before it, when nobody knew yet whose it is.
                        Entity::Operation(operation) if before.place(operation.id).is_none() => {
                            told.extend(
                                now.policy(PolicyScope::Operation(operation.id))
                                    .and_then(|policy| now.seen(policy))
                                    .map(Change::Put),
                            );
                        }
                        _ => {}
                    }
                }
                Change::Remove { kind, id } => {
                    let is_ours = before
                        .place(*id)
                        .is_some_and(|(service, _)| service == now.gateway.service_id);
                    if is_ours && *kind != Kind::Gateway {
                        told.push(change.clone());
                    }
                }
            }
        }
        if then.gateway != now.gateway {
            let own = |gateway: &Gateway| {
                let Gateway {
                    name,
                    hostnames,
                    tls_hosts,
                    authorities,
                    ..
                } = gateway.clone();
                (name, hostnames, tls_hosts, authorities)
            };
            if own(then.gateway) != own(now.gateway)
                && let Some(service) = now.state.service.as_deref()
            {
                let service = Entity::Service(service.clone());
                told.extend(now.seen(service).map(Change::Put));
            }
            looked_at.extend(now.state.apis.keys());
        }
        for api in looked_at {
            match (then.serves(api), now.serves(api)) {
                (false, true) => told.extend(now.below(api).into_iter().map(Change::Put)),
                (true, false) => told.push(Change::Remove {
                    kind: Kind::Api,
                    id: api,
                }),
                (true, true) | (false, false) => {}
            }
        }
        told
    }
}

impl Scope<'_> {
    fn policy(&self, scope: PolicyScope) -> Option<Entity> {
        let state = self.state.policies.get(&scope)?;
        Some(Entity::Policy(state.policy.clone()))
    }

    /// An API with everything in it.
    fn below(&self, id: Uuid) -> Vec<Entity> {
        let Some(state) = self.state.apis.get(&id) else {
            return Vec::new();
        };
        let mut entities: Vec<Entity> = state
            .api()
            .map(|api| Entity::Api((**api).clone()))
            .into_iter()
            .collect();
        entities.extend(self.policy(PolicyScope::Api(id)));
        for operation in state.operations() {
            let operation = &operation.operation;
            entities.push(Entity::Operation(operation.clone()));
            entities.extend(self.policy(PolicyScope::Operation(operation.id)));
        }
        entities.extend(
            self.state
                .schemas
                .values()
                .filter(|schema| schema.api_id == Some(id))
                .map(|schema| Entity::Schema((**schema).clone())),
        );
        entities.extend(
            self.state
                .diagnostics
                .get(&id)
                .into_iter()
                .flatten()
                .map(|diagnostic| Entity::Diagnostic((**diagnostic).clone())),
        );
        entities
    }
}
