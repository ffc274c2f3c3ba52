//! What went through the gateways, and the reports on it.
//!
//! [`writer`] takes the record of each call without ever making the call wait: a full queue drops records
//! and counts them. It writes batches of single calls into partitions of a day and adds them to counts of
//! a quarter of an hour, in one transaction. [`query`] answers the contract's eight reports from the
//! counts (and single calls from the partitions), in the contract's flat rows (contract rules §8).
//! [`place`] says where callers are.

pub mod place;
pub mod query;
pub mod writer;

pub use place::Places;
pub use query::answer;
pub use writer::{Batch, Call, Message, Writer, detail, drop_old_calls, drop_old_details};
