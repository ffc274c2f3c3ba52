//! Mail: templates, an outbox in the database, and delivery by SMTP.
//!
//! # Life of a mail
//! 1. A kind's hook picks a template ([`TEMPLATES`] or the service's own version of it) and renders it
//!    with [`render`].
//! 2. [`queue`] writes it to the table `mails` and enqueues the job `send_mail`, both in the caller's
//!    transaction: a mail exists exactly if the write that caused it does.
//! 3. The job ([`SendMail`]) hands it to the mail server and records the outcome in the row. Without a
//!    server the mail is *held*: readable in the outbox, sent by [`requeue_held`] once there is one.
//! 4. A server that cannot take it now is asked again, with growing pauses; a refusal for good, or too
//!    many attempts, leaves the mail *failed* with the reason, until [`requeue`].
//!
//! # Things to note
//! - Delivery is at least once: if Portico dies between the server's "accepted" and the row's update,
//!   the mail goes out again, with the same Message-ID.
//! - Values never reach a header unchecked: addresses are parsed, the subject is one line.
//! - Bodies can hold confirmation links and keys. The outbox is for administrators, and [`purge_sent`]
//!   removes what is no longer needed.
//! - To add a template: a folder in `templates/`, a line in `catalogue.rs`; tests name what is missing.

mod catalogue;
mod outbox;
mod render;
mod send;
mod syntax;

pub use catalogue::{Language, Parameter, SYSTEM_TEMPLATES, TEMPLATES, Template, template};
pub use outbox::{
    Mail, NewMail, Search, Status, mail, mails, purge_sent, queue, queue_all, requeue, requeue_held,
};
pub use render::{Part, Problem, Rendered, Variables, check, render};
pub use send::{SendMail, Transport};

pub use lettre::message::Mailbox;

/// Why a mail could not be made or stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is not one.
    #[error("`{address}` is not a mail address: {problem}")]
    Address {
        /// As given.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// A template does not render.
    #[error("cannot render the {part} of the template: {problem}")]
    Render {
        /// Which part.
        part: Part,
        /// What is wrong.
        problem: String,
    },
    /// The address of the mail server is unusable.
    #[error(
        "the mail server's address is not usable (expected e.g. smtp://user:password@host:25?tls=required): {0}"
    )]
    Transport(String),
    /// The outbox refused.
    #[error("the outbox refused: {0}")]
    Sql(#[from] sqlx::Error),
    /// The job could not be enqueued.
    #[error(transparent)]
    Job(#[from] jobs::Error),
}

/// A mailbox from an address and an optional display name.
///
/// # Errors
/// When the address is not one; line breaks in it never are.
pub fn mailbox(name: Option<&str>, address: &str) -> Result<Mailbox, Error> {
    let parsed = address
        .parse()
        .map_err(|error: lettre::address::AddressError| Error::Address {
            address: address.to_owned(),
            problem: error.to_string(),
        })?;
    Ok(Mailbox::new(
        name.map(one_line).filter(|name| !name.is_empty()),
        parsed,
    ))
}

/// Text for a header: control characters and runs of white space become one space.
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}
