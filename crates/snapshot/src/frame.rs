//! Signed frames: how configuration travels to a gateway apart, and how it is kept there.
//!
//! A frame is a head of [`HEAD_BYTES`], an Ed25519 signature of the head, and the body, whose digest and length stand in the head:
//! the signature is checked before a byte of the body is believed. The head names the gateway that the frame is for, so that no
//! frame of one gateway passes for another's. The body is MessagePack with names, so that a newer reader can read what an older
//! writer left on its disk.
//!
//! ```text
//! offset  bytes  what
//!      0      8  "PORTICO\0"
//!      8      2  version of the format, big-endian like all numbers
//!     10      1  kind: 1 whole, 2 difference, 3 nothing but a sign of life
//!     11      1  0
//!     12     16  id of the gateway
//!     28      8  revision that the difference is to; 0 for a whole configuration
//!     36      8  revision that this leads to
//!     44      8  when it was signed: milliseconds since 1970 UTC
//!     52      8  length of the body
//!     60     32  SHA-256 of the body
//!     92     64  Ed25519 signature of bytes 0 to 91
//!    156      …  the body
//! ```

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::change::{Change, Snapshot};
use crate::entity::Entity;

/// Version of the format that this program writes, and the only one that it reads.
pub const VERSION: u16 = 1;
/// Bytes of a head.
pub const HEAD_BYTES: usize = 92;
/// Bytes of a head with its signature.
pub const SIGNED_HEAD_BYTES: usize = HEAD_BYTES + 64;
/// Longest body that is read.
const LONGEST_BODY: u64 = 1 << 32;

const MAGIC: &[u8; 8] = b"PORTICO\0";

/// Why a frame is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes are no frame.
    #[error("this is no configuration of a Portico")]
    Magic,
    /// The frame is of another version of the format.
    #[error("the configuration has format {0}, and this program reads format {VERSION}")]
    Version(u16),
    /// The head says something that no head says.
    #[error("the head of the configuration makes no sense")]
    Head,
    /// The signature is not the control plane's.
    #[error("the signature of the configuration is not that of the control plane")]
    Signature,
    /// The body is not the one that was signed.
    #[error("the configuration was changed after it was signed")]
    Digest,
    /// There is less than the head promises.
    #[error("the configuration is cut off")]
    Truncated,
    /// The frame is for another gateway.
    #[error("the configuration is that of another gateway")]
    OtherGateway,
    /// The frame would lead back to an older configuration.
    #[error(
        "the configuration of revision {offered} is older than the present one of revision {present}"
    )]
    Rollback {
        /// Revision of the present configuration.
        present: u64,
        /// Revision of the frame.
        offered: u64,
    },
    /// The difference is not one to the present configuration.
    #[error("the difference is to revision {base}, and the present one is {present}")]
    Gap {
        /// Revision of the present configuration.
        present: u64,
        /// Revision that the difference is to.
        base: u64,
    },
    /// The body cannot be read or written.
    #[error("the content of the configuration cannot be read: {0}")]
    Body(String),
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A whole configuration.
    Whole,
    /// A difference to an earlier one.
    Difference,
    /// Nothing: the control plane is there, and nothing has changed.
    Alive,
}

/// What is known of a frame before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the body holds.
    pub kind: FrameKind,
    /// The gateway it is for.
    pub gateway: Uuid,
    /// Revision that a difference is to; 0 for a whole configuration.
    pub base: u64,
    /// Revision that it leads to.
    pub revision: u64,
    /// When it was signed, in milliseconds since 1970 UTC.
    pub signed_at_ms: i64,
    body_bytes: u64,
    body_digest: [u8; 32],
}

/// The control plane's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl Head {
    fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_be_bytes());
        out[10] = match self.kind {
            FrameKind::Whole => 1,
            FrameKind::Difference => 2,
            FrameKind::Alive => 3,
        };
        out[12..28].copy_from_slice(self.gateway.as_bytes());
        out[28..36].copy_from_slice(&self.base.to_be_bytes());
        out[36..44].copy_from_slice(&self.revision.to_be_bytes());
        out[44..52].copy_from_slice(&self.signed_at_ms.to_be_bytes());
        out[52..60].copy_from_slice(&self.body_bytes.to_be_bytes());
        out[60..].copy_from_slice(&self.body_digest);
        out
    }

    /// Reads a head and checks its signature.
    ///
    /// # Errors
    /// When there are too few bytes, they are no head, or another key signed them.
    pub fn verified(bytes: &[u8], key: &PublicKey) -> Result<Self, FrameError> {
        let Some((head, signature)) = bytes
            .get(..SIGNED_HEAD_BYTES)
            .map(|bytes| bytes.split_at(HEAD_BYTES))
        else {
            // What is no frame from its first bytes on is not one that was cut off.
            return Err(if bytes.starts_with(&MAGIC[..bytes.len().min(8)]) {
                FrameError::Truncated
            } else {
                FrameError::Magic
            });
        };
        if head[..8] != *MAGIC {
            return Err(FrameError::Magic);
        }
        let version = u16::from_be_bytes(array(head, 8));
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        UnparsedPublicKey::new(&ED25519, &key.0)
            .verify(head, signature)
            .map_err(|_| FrameError::Signature)?;
        let this = Self {
            kind: match head[10] {
                1 => FrameKind::Whole,
                2 => FrameKind::Difference,
                3 => FrameKind::Alive,
                _ => return Err(FrameError::Head),
            },
            gateway: Uuid::from_bytes(array(head, 12)),
            base: u64::from_be_bytes(array(head, 28)),
            revision: u64::from_be_bytes(array(head, 36)),
            signed_at_ms: i64::from_be_bytes(array(head, 44)),
            body_bytes: u64::from_be_bytes(array(head, 52)),
            body_digest: array(head, 60),
        };
        if this.body_bytes > LONGEST_BODY {
            return Err(FrameError::Head);
        }
        Ok(this)
    }

    /// Length of the whole frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        // Checked against `LONGEST_BODY` when the head was read.
        SIGNED_HEAD_BYTES + usize::try_from(self.body_bytes).unwrap_or(usize::MAX / 2)
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn packed<T: Serialize>(content: &T) -> Result<Vec<u8>, FrameError> {
    rmp_serde::to_vec_named(content).map_err(|e| FrameError::Body(e.to_string()))
}

fn unpacked<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    rmp_serde::from_slice(body).map_err(|e| FrameError::Body(e.to_string()))
}

/// Signs frames for one gateway.
#[derive(Clone, Copy)]
pub struct Signer<'k> {
    /// The control plane's key.
    pub key: &'k Ed25519KeyPair,
    /// The gateway.
    pub gateway: Uuid,
    /// The time, in milliseconds since 1970 UTC.
    pub now_ms: i64,
}

impl Signer<'_> {
    fn sign(self, kind: FrameKind, base: u64, revision: u64, body: &[u8]) -> Vec<u8> {
        let head = Head {
            kind,
            gateway: self.gateway,
            base,
            revision,
            signed_at_ms: self.now_ms,
            body_bytes: body.len() as u64,
            body_digest: array(digest(&SHA256, body).as_ref(), 0),
        }
        .bytes();
        let mut out = Vec::with_capacity(SIGNED_HEAD_BYTES + body.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(self.key.sign(&head).as_ref());
        out.extend_from_slice(body);
        out
    }

    /// A whole configuration.
    ///
    /// # Errors
    /// When an entity cannot be written: ours.
    pub fn whole(self, revision: u64, entities: &[Entity]) -> Result<Vec<u8>, FrameError> {
        Ok(self.sign(FrameKind::Whole, 0, revision, &packed(&entities)?))
    }

    /// What leads from one revision to another.
    ///
    /// # Errors
    /// When an entity cannot be written: ours.
    pub fn difference(
        self,
        base: u64,
        revision: u64,
        changes: &[Change],
    ) -> Result<Vec<u8>, FrameError> {
        Ok(self.sign(FrameKind::Difference, base, revision, &packed(&changes)?))
    }

    /// A sign of life.
    #[must_use]
    pub fn alive(self, revision: u64) -> Vec<u8> {
        self.sign(FrameKind::Alive, revision, revision, &[])
    }
}

/// A configuration that is made of frames, each checked before it counts.
#[derive(Clone, Debug)]
pub struct Receiver {
    key: PublicKey,
    gateway: Uuid,
    snapshot: Snapshot,
    has_whole: bool,
}

impl Receiver {
    /// Nothing yet, for a gateway that trusts this key.
    #[must_use]
    pub fn new(key: PublicKey, gateway: Uuid) -> Self {
        Self {
            key,
            gateway,
            snapshot: Snapshot::default(),
            has_whole: false,
        }
    }

    /// The present configuration.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether a whole configuration was received.
    #[must_use]
    pub fn has_whole(&self) -> bool {
        self.has_whole
    }

    /// Length of the frame that these bytes begin with; `None` while its head is not complete.
    ///
    /// # Errors
    /// When the bytes are no frame of the control plane for this gateway.
    pub fn frame_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        if bytes.len() < SIGNED_HEAD_BYTES {
            return Ok(None);
        }
        let head = Head::verified(bytes, &self.key)?;
        if head.gateway != self.gateway {
            return Err(FrameError::OtherGateway);
        }
        Ok(Some(head.frame_bytes()))
    }

    /// Takes one frame and gives its head. What is refused changes nothing.
    ///
    /// # Errors
    /// When it is not signed, not for this gateway, not whole, or does not follow the present configuration.
    pub fn take(&mut self, frame: &[u8]) -> Result<Head, FrameError> {
        let head = Head::verified(frame, &self.key)?;
        if head.gateway != self.gateway {
            return Err(FrameError::OtherGateway);
        }
        let body = match frame.len().cmp(&head.frame_bytes()) {
            std::cmp::Ordering::Less => return Err(FrameError::Truncated),
            std::cmp::Ordering::Greater => return Err(FrameError::Head),
            std::cmp::Ordering::Equal => &frame[SIGNED_HEAD_BYTES..],
        };
        if digest(&SHA256, body).as_ref() != head.body_digest {
            return Err(FrameError::Digest);
        }
        let present = self.snapshot.revision();
        match head.kind {
            FrameKind::Whole => {
                if head.revision < present {
                    return Err(FrameError::Rollback {
                        present,
                        offered: head.revision,
                    });
                }
                let mut entities = rmp_serde::Deserializer::from_read_ref(body);
                self.snapshot = Snapshot::deserialize_entities(&mut entities)
                    .map_err(|e| FrameError::Body(e.to_string()))?
                    .at_revision(head.revision);
                self.has_whole = true;
            }
            FrameKind::Difference => {
                if !self.has_whole || head.base != present {
                    return Err(FrameError::Gap {
                        present,
                        base: head.base,
                    });
                }
                if head.revision < present {
                    return Err(FrameError::Rollback {
                        present,
                        offered: head.revision,
                    });
                }
                let changes: Vec<Change> = unpacked(body)?;
                self.snapshot = self.snapshot.apply(changes).at_revision(head.revision);
            }
            FrameKind::Alive => {}
        }
        Ok(head)
    }
}
