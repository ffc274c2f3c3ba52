//! A world with one service, whose clock stands still unless a test moves it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use gateway::{CallTrace, Clock, Gateway, Metric, Options, Random, Record, Telemetry, TraceEntry};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy::Format;
use snapshot::entity::{
    Api, Entity, Operation, Policy, PolicyScope, Product, Protocol, Service, Subscription,
    SubscriptionScope, SubscriptionState,
};
use snapshot::{Change, Snapshot};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

pub const HOST: &str = "demoazureml.example";
pub const SERVICE: Uuid = Uuid::from_u128(1);
pub const API: Uuid = Uuid::from_u128(10);
pub const STARTER: Uuid = Uuid::from_u128(20);
pub const UNLIMITED: Uuid = Uuid::from_u128(21);

/// A clock that tests move.
#[derive(Debug)]
pub struct Standing(AtomicI64);

impl Standing {
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

impl Clock for Standing {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn monotonic_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst).unsigned_abs()
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn bits(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Telemetry that tests read.
#[derive(Default)]
pub struct Told {
    records: Mutex<Vec<Record>>,
    pub metrics: Mutex<Vec<Metric>>,
    pub traces: Mutex<Vec<TraceEntry>>,
    pub calls: Mutex<Vec<CallTrace>>,
    changed: Notify,
}

impl Told {
    /// Waits until so many calls are over.
    pub async fn records(&self, count: usize) -> Vec<Record> {
        loop {
            let changed = self.changed.notified();
            let records = self.records.lock().unwrap().clone();
            if records.len() >= count {
                return records;
            }
            changed.await;
        }
    }
}

impl Telemetry for Told {
    fn record(&self, record: Record) {
        self.records.lock().unwrap().push(record);
        self.changed.notify_one();
    }

    fn metric(&self, metric: Metric) {
        self.metrics.lock().unwrap().push(metric);
    }

    fn traced(&self, trace: CallTrace) -> Option<String> {
        let location = format!("https://traces.example/{}", trace.request_id);
        self.calls.lock().unwrap().push(trace);
        Some(location)
    }

    fn trace(&self, entry: TraceEntry) {
        self.traces.lock().unwrap().push(entry);
    }
}

/// A request as a backend got it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A web service that remembers its calls.
pub struct Backend {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _stop: oneshot::Sender<()>,
}

type Reply = Response<Full<Bytes>>;

impl Backend {
    /// Answers `200` with `method uri body`.
    pub async fn echo() -> Self {
        Self::answering(|seen| {
            Response::builder()
                .header("content-type", "text/plain")
                .body(format!("{} {} {}", seen.method, seen.uri, seen.body).into())
                .unwrap()
        })
        .await
    }

    pub async fn answering(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (stop, mut stopped) = oneshot::channel::<()>();
        let answer = Arc::new(answer);
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = &mut stopped => return,
                };
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = match body.collect().await {
                            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
                            Err(error) => format!("broken: {error}"),
                        };
                        let seen = Seen {
                            method: parts.method,
                            uri: parts.uri.to_string(),
                            headers: parts.headers,
                            body,
                        };
                        all.lock().unwrap().push(seen.clone());
                        Ok::<_, Infallible>(answer(&seen))
                    }
                });
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Self {
            address,
            seen,
            _stop: stop,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }
}

/// A response as the client got it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub struct Call<'w> {
    world: &'w World,
    builder: http::request::Builder,
    body: Bytes,
}

impl Call<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("Ocp-Apim-Subscription-Key", key)
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned().into();
        self
    }

    pub async fn send(self) -> Answer {
        let request = self.builder.body(Full::new(self.body)).unwrap();
        let response = self.world.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

pub struct World {
    pub gateway: Gateway,
    pub address: SocketAddr,
    pub clock: Arc<Standing>,
    pub told: Arc<Told>,
    pub snapshot: Mutex<Snapshot>,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    pub served: Option<tokio::task::JoinHandle<()>>,
}

impl World {
    /// A gateway with the service `demoazureml` and nothing in it.
    pub async fn empty() -> Self {
        Self::with(|options| options).await
    }

    pub async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let clock = Arc::new(Standing(AtomicI64::new(1_790_000_000_000)));
        let told = Arc::new(Told::default());
        let options = change(Options {
            clock: Arc::<Standing>::clone(&clock),
            random: Arc::new(Counting::default()),
            telemetry: Arc::<Told>::clone(&told),
            ..Options::default()
        });
        let gateway = Gateway::new(options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = gateway.clone();
        let served = tokio::spawn(async move {
            let shutdown = async {
                stopped.await.ok();
            };
            serving.serve(listener, None, shutdown).await.unwrap();
        });
        let world = Self {
            gateway,
            address,
            clock,
            told,
            snapshot: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            stop: Some(stop),
            served: Some(served),
        };
        world.put([Service {
            id: SERVICE,
            name: "demoazureml".to_owned(),
            hostnames: vec![HOST.to_owned()],
            region: "West US".to_owned(),
            ..Service::default()
        }
        .into()]);
        world
    }

    /// A service with an API `echo` in front of `backend`, whose operation takes every path, and no key.
    pub async fn open(backend: &Backend) -> Self {
        let world = Self::empty().await;
        world.put(open_api(&backend.url()));
        world
    }

    /// The same, with a policy at the API.
    pub async fn with_policy(backend: &Backend, xml: &str) -> Self {
        let world = Self::open(backend).await;
        world.policy(PolicyScope::Api(API), xml);
        world
    }

    pub fn put(&self, entities: impl IntoIterator<Item = Entity>) {
        self.change(entities.into_iter().map(Change::Put));
    }

    pub fn change(&self, changes: impl IntoIterator<Item = Change>) {
        let mut snapshot = self.snapshot.lock().unwrap();
        let revision = snapshot.revision() + 1;
        *snapshot = snapshot.apply(changes).at_revision(revision);
        self.gateway.publish(snapshot.clone());
    }

    /// Attaches a policy; each scope has one.
    pub fn policy(&self, scope: PolicyScope, xml: &str) {
        let id = match scope {
            PolicyScope::Global => 1000,
            PolicyScope::Product(id) | PolicyScope::Api(id) | PolicyScope::Operation(id) => {
                1000 + id.as_u128()
            }
        };
        self.put([Policy {
            id: Uuid::from_u128(id),
            service_id: SERVICE,
            scope,
            xml: xml.to_owned(),
            format: Format::RawXml,
        }
        .into()]);
    }

    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call {
            world: self,
            builder: Request::builder()
                .method(method)
                .uri(format!("http://{}{path}", self.address))
                .header("Host", HOST),
            body: Bytes::new(),
        }
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub fn post(&self, path: &str, body: &str) -> Call<'_> {
        self.call("POST", path).body(body)
    }

    /// Asks the gateway to stop, and gives back the task that ends when it has.
    pub fn stop(&mut self) -> tokio::task::JoinHandle<()> {
        self.stop.take().unwrap().send(()).unwrap();
        self.served.take().unwrap()
    }
}

pub fn digest(key: &str) -> snapshot::entity::Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    digest.as_ref().try_into().unwrap()
}

/// A subscription whose keys are `{name}-1` and `{name}-2`.
pub fn subscription(id: u128, name: &str, scope: SubscriptionScope) -> Subscription {
    Subscription {
        id: Uuid::from_u128(id),
        service_id: SERVICE,
        name: name.to_owned(),
        state: SubscriptionState::Active,
        scope,
        primary_digest: digest(&format!("{name}-1")),
        secondary_digest: digest(&format!("{name}-2")),
        created_at: DateTime::from_timestamp(1_789_000_000, 0),
        ..Subscription::default()
    }
}

pub fn product(id: Uuid, name: &str, api_ids: &[Uuid]) -> Product {
    Product {
        id,
        service_id: SERVICE,
        name: name.to_owned(),
        display_name: name.to_owned(),
        subscription_required: true,
        is_published: true,
        api_ids: api_ids.to_vec(),
        ..Product::default()
    }
}

pub fn api(id: Uuid, path: &str, service_url: &str) -> Api {
    Api {
        id,
        service_id: SERVICE,
        name: path.to_owned(),
        display_name: path.to_owned(),
        path: path.to_owned(),
        service_url: Some(service_url.to_owned()),
        protocols: vec![Protocol::Https],
        subscription_required: true,
        revision: "1".to_owned(),
        is_current: true,
        ..Api::default()
    }
}

pub fn operation(id: u128, api_id: Uuid, method: &str, url_template: &str) -> Operation {
    Operation {
        id: Uuid::from_u128(id),
        api_id,
        service_id: SERVICE,
        name: format!("op{id}"),
        display_name: format!("Operation {id}"),
        method: method.to_owned(),
        url_template: url_template.to_owned(),
        ..Operation::default()
    }
}

fn open_api(url: &str) -> Vec<Entity> {
    let echo = Api {
        subscription_required: false,
        ..api(API, "echo", url)
    };
    vec![echo.into(), operation(100, API, "*", "/*").into()]
}
