//! Secrets at rest: AES-256-GCM under one master key of the installation.
//!
//! Sealed bytes are `version (1) | key id (4) | nonce (12) | ciphertext and tag`. The key id is the
//! head of the master key's SHA-256 and tells "another installation's key" apart from "damaged".
//! The purpose is bound as associated data, so sealed bytes cannot be moved to another use.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, rand,
};

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEAD_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// Why bytes could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The system gave no randomness, or the cipher refused.
    #[error("the value could not be encrypted")]
    Seal,
    /// The bytes are no sealed value of a known version.
    #[error("the stored bytes are not a sealed value")]
    Format,
    /// The bytes were sealed under another master key.
    #[error("the value was sealed under another secret key (PORTICO_SECRET_KEY)")]
    OtherKey,
    /// The bytes were changed, or sealed for another purpose.
    #[error("the sealed value is damaged or was sealed for another purpose")]
    Damaged,
}

/// Seals and opens values under a master key. `Debug` shows the key's id only.
pub struct SecretBox {
    key: LessSafeKey,
    id: [u8; KEY_ID_LEN],
}

impl std::fmt::Debug for SecretBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretBox")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SecretBox {
    /// Length of a master key in bytes.
    pub const KEY_LEN: usize = 32;

    /// A box under this master key.
    ///
    /// # Errors
    /// When the cipher refuses the key, which it does for no key of this length.
    pub fn new(master_key: &[u8; Self::KEY_LEN]) -> Result<Self, Error> {
        let key = UnboundKey::new(&AES_256_GCM, master_key).map_err(|_| Error::Seal)?;
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&digest::digest(&digest::SHA256, master_key).as_ref()[..KEY_ID_LEN]);
        Ok(Self {
            key: LessSafeKey::new(key),
            id,
        })
    }

    /// Id of the master key, for a check value in the database.
    #[must_use]
    pub const fn key_id(&self) -> [u8; KEY_ID_LEN] {
        self.id
    }

    /// Encrypts a value for one purpose.
    ///
    /// # Errors
    /// [`Error::Seal`] without randomness.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| Error::Seal)?;
        let mut body = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut body,
            )
            .map_err(|_| Error::Seal)?;
        let mut out = Vec::with_capacity(HEAD_LEN + body.len());
        out.push(VERSION);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&nonce);
        out.append(&mut body);
        Ok(out)
    }

    /// Decrypts a value that was sealed for the same purpose.
    ///
    /// # Errors
    /// Which of format, key and content is wrong.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (head, body) = sealed.split_at_checked(HEAD_LEN).ok_or(Error::Format)?;
        if head[0] != VERSION {
            return Err(Error::Format);
        }
        if head[1..=KEY_ID_LEN] != self.id {
            return Err(Error::OtherKey);
        }
        let nonce =
            Nonce::try_assume_unique_for_key(&head[1 + KEY_ID_LEN..]).map_err(|_| Error::Format)?;
        let mut body = body.to_vec();
        let length = self
            .key
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body)
            .map_err(|_| Error::Damaged)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_whole_under_its_key_and_for_its_purpose() -> Result<(), Error> {
        let secrets = SecretBox::new(&[7; 32])?;
        let sealed = secrets.seal("column", b"key")?;
        assert_eq!(secrets.open("column", &sealed)?, b"key");
        assert_eq!(secrets.open("other", &sealed), Err(Error::Damaged));
        assert_eq!(
            SecretBox::new(&[8; 32])?.open("column", &sealed),
            Err(Error::OtherKey)
        );
        assert_eq!(secrets.open("column", &sealed[..10]), Err(Error::Format));
        assert_eq!(secrets.open("column", &[9; 40]), Err(Error::Format));
        let mut changed = sealed.clone();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        assert_eq!(secrets.open("column", &changed), Err(Error::Damaged));
        assert_ne!(secrets.seal("column", b"key")?, sealed);
        Ok(())
    }
}
