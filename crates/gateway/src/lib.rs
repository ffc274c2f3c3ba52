//! The data plane: takes calls, finds their service, API and operation, checks who calls, applies policies, and passes them on.
//!
//! The life of a request, in the order of the files: `listen` accepts connections; `client_wire` reads usual requests, whose text is in
//! `head`, and leaves all others to hyper; `pipeline` refuses heads that could be read in several ways, finds
//! the way through the snapshot and runs the sections inbound, backend, outbound and, after an error, on-error; each step is one
//! file in `policies`; `upstream` finds a connection to the backend, which is kept in a `pool`, and over HTTP/1.1 is a `wire` that speaks
//! `http1`; `telemetry` takes the record of the call when its last
//! byte is gone. Everything of one call is in an `Exchange`, which expressions see through `context`.
//!
//! Configuration comes as a [`snapshot::Snapshot`], swapped whole by [`Gateway::publish`]: a call keeps the one it began with. The
//! gateway knows no database; what must outlive the process, the counters of quotas, is handed out by [`Counters`].
//!
//! Bodies are streamed unless a policy reads them. Failures are a [`Fault`] with the published source and reason, which `on-error`
//! sees as `context.LastError`.
//!
//! To add a policy: the step comes from the policy crate; the `match` in `policies` then does not compile until a file applies it.

mod body;
mod cache;
mod caller;
mod certificates;
mod circuit;
mod client_wire;
mod clock;
mod context;
mod counter;
mod diagnosis;
mod exchange;
mod fault;
mod head;
mod http1;
mod listen;
mod options;
mod pipeline;
mod policies;
mod pool;
mod present;
mod rate;
mod rehearsal;
mod sink;
mod soap;
mod target;
mod telemetry;
mod trace_context;
mod upstream;
mod uri;
mod wire;

pub use certificates::Tls;
pub use clock::{Clock, Random, SystemClock, SystemRandom};
pub use counter::{CounterDelta, CounterKey, CounterTotal, Counters};
pub use fault::Fault;
pub use listen::{Gateway, ServeError};
pub use options::{ExternalCaches, Identity, Limits, Options, Timeouts};
pub use rate::{RateQuestion, SharedRates, Verdict as RateVerdict, slice_ms};
pub use rehearsal::{RehearsalError, Rehearsed};
pub use telemetry::{
    CacheOutcome, CallTrace, DebugAccess, DebugCredentials, Metric, NoTelemetry, Record, StepTrace,
    Telemetry, TraceEntry,
};
pub use trace_context::{
    AttributeValue, Span, SpanKind, Spans, TRACEPARENT, TRACESTATE, TraceContext, TraceParent,
};
