//! How often one address may ask, whoever it says it is: the limits of accounts (`session`) slow down who guesses one
//! account's password, these slow down who tries many.
//!
//! Each process counts for itself, in memory: the count has no meaning after a restart, and a database row for each
//! request of strangers would be a better attack than the one it stops.

use crate::{State, client_address, management::fail};
use actix_web::{
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    web,
};
use engine::Error;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

type Keyed<C> =
    RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// After so many requests, addresses that may ask freely again are forgotten.
const FORGET_EVERY: u32 = 4096;

/// The limits of a process. Each allows its minute's number at once, then one after the other.
pub struct Limits<C: Clock = DefaultClock> {
    requests: Keyed<C>,
    sign_ins: Keyed<C>,
    tries: Keyed<C>,
    clock: C,
    asked: AtomicU32,
}

/// What a request is counted as, besides as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// It proves who somebody is, or makes a mail go out.
    SignIn,
    /// It calls the gateway.
    Try,
    Other,
}

impl Sort {
    fn of(method: &Method, path: &str) -> Self {
        // The path below `/{service}/api`.
        let below = path.splitn(4, '/').nth(3).unwrap_or_default();
        match (method, below) {
            (&Method::POST, "relay") => Self::Try,
            (&Method::POST, "session" | "sign-up" | "reset" | "ticket" | "confirm" | "sso") => {
                Self::SignIn
            }
            (&Method::POST | &Method::DELETE, below) if below.starts_with("profile") => {
                Self::SignIn
            }
            (_, below) if below.starts_with("sign-in/") => Self::SignIn,
            _ => Self::Other,
        }
    }
}

/// One subscriber of IPv6 has a whole /64 to choose addresses from.
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Limits {
    /// Limits of requests a minute: of all, of those that sign in or up, and of those that call the gateway.
    #[must_use]
    pub fn new(requests: NonZeroU32, sign_ins: NonZeroU32, tries: NonZeroU32) -> Self {
        Self::with_clock(requests, sign_ins, tries, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn with_clock(requests: NonZeroU32, sign_ins: NonZeroU32, tries: NonZeroU32, clock: C) -> Self {
        let limiter = |a_minute| {
            RateLimiter::new(
                Quota::per_minute(a_minute),
                DefaultKeyedStateStore::default(),
                clock.clone(),
            )
        };
        Self {
            requests: limiter(requests),
            sign_ins: limiter(sign_ins),
            tries: limiter(tries),
            clock,
            asked: AtomicU32::new(0),
        }
    }

    /// Counts a request, or says after how many seconds the address may ask again.
    fn admit(&self, address: IpAddr, sort: Sort) -> Result<(), u64> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            for limiter in [&self.requests, &self.sign_ins, &self.tries] {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
        }
        let key = subscriber(address);
        let check = |limiter: &Keyed<C>| {
            limiter.check_key(&key).map_err(|refused| {
                let wait = refused.wait_time_from(self.clock.now());
                wait.as_secs() + 1
            })
        };
        check(&self.requests)?;
        match sort {
            Sort::SignIn => check(&self.sign_ins),
            Sort::Try => check(&self.tries),
            Sort::Other => Ok(()),
        }
    }
}

/// Refuses with 429 and `Retry-After` what an address asks too often.
pub(super) async fn wrap<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let address = client_address::of(request.request());
    let sort = Sort::of(request.method(), request.path());
    let refused = request
        .app_data::<web::Data<State>>()
        .and_then(|state| state.portal_limits.admit(address, sort).err());
    match refused {
        Some(seconds) => {
            metrics::counter!("portico_developer_requests_limited_total").increment(1);
            let response = fail(request.request(), &Error::TooManyRequests(seconds));
            Ok(request.into_response(response).map_into_right_body())
        }
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use std::time::Duration;

    fn limits(clock: &FakeRelativeClock) -> Limits<FakeRelativeClock> {
        let number = |n| NonZeroU32::new(n).unwrap();
        Limits::with_clock(number(6), number(2), number(3), clock.clone())
    }

    fn from(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_ask_so_often_and_others_do_not_suffer() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock);
        let ann = from("198.51.100.1");
        assert_eq!(limits.admit(ann, Sort::SignIn), Ok(()));
        assert_eq!(limits.admit(ann, Sort::SignIn), Ok(()));
        assert_eq!(limits.admit(ann, Sort::SignIn), Err(31));
        assert_eq!(limits.admit(ann, Sort::Try), Ok(()), "counts apart");
        assert_eq!(limits.admit(from("198.51.100.2"), Sort::SignIn), Ok(()));
        clock.advance(Duration::from_secs(31));
        assert_eq!(limits.admit(ann, Sort::SignIn), Ok(()), "a while later");
    }

    #[test]
    fn all_requests_together_have_a_limit() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock);
        let ann = from("198.51.100.1");
        for _ in 0..6 {
            assert_eq!(limits.admit(ann, Sort::Other), Ok(()));
        }
        assert_eq!(limits.admit(ann, Sort::Try), Err(11));
    }

    #[test]
    fn addresses_of_one_subscriber_are_one() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock);
        for host in 1..=2 {
            assert_eq!(
                limits.admit(from(&format!("2001:db8::{host}")), Sort::SignIn),
                Ok(())
            );
        }
        assert!(
            limits
                .admit(from("2001:db8::ffff:1"), Sort::SignIn)
                .is_err()
        );
        assert_eq!(limits.admit(from("2001:db8:0:1::1"), Sort::SignIn), Ok(()));
    }

    #[test]
    fn what_proves_an_identity_counts_as_a_sign_in() {
        for (method, path, sort) in [
            (Method::POST, "/demo/api/session", Sort::SignIn),
            (Method::GET, "/demo/api/session", Sort::Other),
            (Method::POST, "/demo/api/sign-up", Sort::SignIn),
            (Method::POST, "/demo/api/reset", Sort::SignIn),
            (Method::POST, "/demo/api/ticket", Sort::SignIn),
            (Method::POST, "/demo/api/confirm", Sort::SignIn),
            (Method::POST, "/demo/api/sso", Sort::SignIn),
            (Method::POST, "/demo/api/profile/password", Sort::SignIn),
            (Method::GET, "/demo/api/sign-in/acme/callback", Sort::SignIn),
            (Method::POST, "/demo/api/relay", Sort::Try),
            (Method::GET, "/demo/api/apis", Sort::Other),
        ] {
            assert_eq!(Sort::of(&method, path), sort, "{method} {path}");
        }
    }
}
