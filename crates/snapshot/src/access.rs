//! Who may call an API.

use std::sync::Arc;

use crate::entity::{
    Api, Digest, Product, Subscription, SubscriptionScope, SubscriptionState, User,
};
use crate::service::ServiceState;

/// In whose name a request goes on.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The subscription of the key.
    pub subscription: Option<Arc<Subscription>>,
    /// The product whose policies apply: that of the subscription, or an open one.
    pub product: Option<Arc<Product>>,
    /// The owner of the subscription.
    pub user: Option<Arc<User>>,
}

/// Why a request does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no key.
    Missing,
    /// There is a key, but not of an active subscription that covers the API.
    Invalid,
}

impl ServiceState {
    /// Decides on access to an API, by the digest of the key that the caller presented. As published: a valid key counts first; an
    /// open product that holds the API makes a missing or wrong key irrelevant; without a key the API's own setting decides.
    ///
    /// # Errors
    /// [`Denied`], which has a body of its own in the contract.
    pub fn access(&self, api: &Api, key: Option<&Digest>) -> Result<Access, Denied> {
        if let Some(access) = key.and_then(|key| self.by_key(api, key)) {
            return Ok(access);
        }
        if let Some(product) = self.open_product(api) {
            return Ok(Access {
                product: Some(product),
                ..Access::default()
            });
        }
        match key {
            Some(_) => Err(Denied::Invalid),
            None if api.subscription_required => Err(Denied::Missing),
            None => Ok(Access::default()),
        }
    }

    fn by_key(&self, api: &Api, key: &Digest) -> Option<Access> {
        let subscription = self.keys.get(key)?;
        if subscription.state != SubscriptionState::Active {
            return None;
        }
        let product = match subscription.scope {
            SubscriptionScope::All => None,
            SubscriptionScope::Api(id) => {
                if id != api.root() && id != api.id {
                    return None;
                }
                None
            }
            SubscriptionScope::Product(id) => {
                let product = self.products.get(&id)?;
                if product.api_ids.binary_search(&api.root()).is_err() {
                    return None;
                }
                Some(Arc::clone(product))
            }
        };
        let user = subscription.owner_id.and_then(|id| self.users.get(&id));
        if user.is_some_and(|user| user.is_blocked) {
            return None;
        }
        Some(Access {
            subscription: Some(Arc::clone(subscription)),
            product,
            user: user.cloned(),
        })
    }

    fn open_product(&self, api: &Api) -> Option<Arc<Product>> {
        let ids = self.open_products.get(&api.root())?;
        ids.first().and_then(|id| self.products.get(id)).cloned()
    }
}
