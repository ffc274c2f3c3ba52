//! Tokens of gateways apart from the control plane: `{gateway}&{yyyyMMddHHmm}&{file secret}&{public key}&{signature}`.
//!
//! The contract's token is a gateway's name, an expiry and an HMAC-SHA512 under one of the gateway's keys. Ours carries two things
//! more, since it is all that a gateway is given: the secret under which the gateway seals what it keeps on its disk (the same in
//! every token of a gateway, so that a new token still opens the file), and the public key of the control plane, which the
//! gateway trusts from then on and no other.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Duration, NaiveDateTime, Utc};
use uuid::Uuid;

/// Longest validity of a token.
pub const LONGEST: Duration = Duration::days(30);
/// What stands before a token in a header, and may stand before it elsewhere.
pub const SCHEME: &str = "GatewayKey";

const EXPIRY: &str = "%Y%m%d%H%M";

/// A token, taken apart. Nothing in it is believed before [`verify`] or, at the gateway, the control plane's answer.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayToken {
    /// The gateway's row.
    pub gateway: Uuid,
    /// Until when it opens the feed.
    pub expires_at: DateTime<Utc>,
    /// Seals the gateway's file.
    pub file_secret: [u8; 32],
    /// Ed25519 public key of the control plane.
    pub public_key: [u8; 32],
    signed: String,
    signature: Vec<u8>,
}

impl std::fmt::Debug for GatewayToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayToken")
            .field("gateway", &self.gateway)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The text is no token of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a gateway's token; POST …/gateways/{{id}}/generateToken gives one")]
pub struct ParseError;

fn key_of(key: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA512, key.as_bytes())
}

/// A token under one of a gateway's keys. The expiry is cut to the minute.
#[must_use]
pub fn issue(
    gateway: Uuid,
    expires_at: DateTime<Utc>,
    file_secret: &[u8; 32],
    public_key: &[u8; 32],
    key: &str,
) -> String {
    let signed = format!(
        "{}&{}&{}&{}",
        gateway.simple(),
        expires_at.format(EXPIRY),
        BASE64_STANDARD.encode(file_secret),
        BASE64_STANDARD.encode(public_key)
    );
    let signature = hmac::sign(&key_of(key), signed.as_bytes());
    format!("{signed}&{}", BASE64_STANDARD.encode(signature.as_ref()))
}

/// Takes a token apart, with or without the scheme before it.
///
/// # Errors
/// When the text is none.
pub fn parse(text: &str) -> Result<GatewayToken, ParseError> {
    let text = text.trim();
    let text = match text.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest.trim(),
        Some(_) => return Err(ParseError),
        None => text,
    };
    let (signed, signature) = text.rsplit_once('&').ok_or(ParseError)?;
    let parts: Vec<&str> = signed.split('&').collect();
    let [gateway, expiry, file_secret, public_key] = parts.as_slice() else {
        return Err(ParseError);
    };
    let bytes = |text: &str| -> Result<[u8; 32], ParseError> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| ParseError)?;
        bytes.as_slice().try_into().map_err(|_| ParseError)
    };
    Ok(GatewayToken {
        gateway: gateway.parse().map_err(|_| ParseError)?,
        expires_at: NaiveDateTime::parse_from_str(expiry, EXPIRY)
            .map_err(|_| ParseError)?
            .and_utc(),
        file_secret: bytes(file_secret)?,
        public_key: bytes(public_key)?,
        signed: signed.to_owned(),
        signature: BASE64_STANDARD.decode(signature).map_err(|_| ParseError)?,
    })
}

/// Whether the token was made under this key and holds now; compared in constant time.
#[must_use]
pub fn verify(token: &GatewayToken, key: &str, now: DateTime<Utc>) -> bool {
    now < token.expires_at
        && token.expires_at <= now + LONGEST
        && hmac::verify(&key_of(key), token.signed.as_bytes(), &token.signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text)
            .map(|t| t.to_utc())
            .unwrap_or_default()
    }

    #[test]
    fn a_token_holds_for_its_key_until_its_end() -> Result<(), ParseError> {
        let gateway = Uuid::from_u128(7);
        let text = issue(
            gateway,
            at("2026-01-10T00:00:30Z"),
            &[1; 32],
            &[2; 32],
            "key",
        );
        let token = parse(&format!("GatewayKey {text}"))?;
        assert_eq!(token, parse(&text)?);
        assert_eq!(
            (
                token.gateway,
                token.expires_at,
                token.file_secret,
                token.public_key
            ),
            (gateway, at("2026-01-10T00:00:00Z"), [1; 32], [2; 32])
        );
        assert!(verify(&token, "key", at("2026-01-09T23:59:59Z")));
        assert!(!verify(&token, "key", at("2026-01-10T00:00:00Z")), "over");
        assert!(
            !verify(&token, "key", at("2025-12-01T00:00:00Z")),
            "too far ahead"
        );
        assert!(!verify(&token, "other", at("2026-01-09T00:00:00Z")));
        let other = parse(&text.replacen("0007&", "0008&", 1))?;
        assert!(
            !verify(&other, "key", at("2026-01-09T00:00:00Z")),
            "another gateway"
        );
        for wrong in ["", "GatewayKey", "Bearer x", "a&b&c", "a&b&c&d&e"] {
            assert_eq!(parse(wrong), Err(ParseError), "{wrong}");
        }
        Ok(())
    }
}
