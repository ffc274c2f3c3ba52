//! SharedAccessSignatures (contract rules §9): who, until when, and an HMAC-SHA512 over both under a key
//! of the service's tenant access.
//!
//! The same key signs for the tenant access itself, which may do everything in its service, and for the
//! single users of `users/{id}/token`, who may not. [`verify`] takes only the former and
//! [`verify_user`] only the latter, so that a user's sign-on link is no key to the service.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Duration, NaiveDateTime, Utc};

/// Longest validity of a signature.
const LONGEST: Duration = Duration::days(30);

/// A parsed signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sas {
    /// Who: `integration` or a user's id.
    pub uid: String,
    /// Until when, as signed.
    expiry_text: String,
    expires_at: DateTime<Utc>,
    signature: Vec<u8>,
}

/// The header is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a SharedAccessSignature such as 'SharedAccessSignature integration&202601010000&<base64>'"
)]
pub struct ParseError;

const SHORT: &str = "%Y%m%d%H%M";

/// Reads `SharedAccessSignature uid&yyyyMMddHHmm&sig` and `SharedAccessSignature uid=..&ex=..&sn=..`.
///
/// # Errors
/// When the header has neither form.
pub fn parse(header: &str) -> Result<Sas, ParseError> {
    let (scheme, rest) = header.trim().split_once(' ').ok_or(ParseError)?;
    if !scheme.eq_ignore_ascii_case("SharedAccessSignature") {
        return Err(ParseError);
    }
    parse_token(rest.trim())
}

/// Reads the part after the scheme; also what `users/{id}/token` gives out.
///
/// # Errors
/// When the text has neither form.
pub fn parse_token(text: &str) -> Result<Sas, ParseError> {
    let parts: Vec<&str> = text.splitn(3, '&').collect();
    let [uid, expiry, signature] = parts.as_slice() else {
        return Err(ParseError);
    };
    let (uid, expiry, signature) = match (
        uid.strip_prefix("uid="),
        expiry.strip_prefix("ex="),
        signature.strip_prefix("sn="),
    ) {
        (Some(uid), Some(expiry), Some(signature)) => (uid, expiry, signature),
        _ => (*uid, *expiry, *signature),
    };
    let expires_at = NaiveDateTime::parse_from_str(expiry, SHORT)
        .map(|time| time.and_utc())
        .or_else(|_| DateTime::parse_from_rfc3339(expiry).map(|time| time.to_utc()))
        .map_err(|_| ParseError)?;
    Ok(Sas {
        uid: uid.to_owned(),
        expiry_text: expiry.to_owned(),
        expires_at,
        signature: BASE64_STANDARD.decode(signature).map_err(|_| ParseError)?,
    })
}

fn key_of(key: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA512, key.as_bytes())
}

/// Who the tenant access is in its signatures.
pub const INTEGRATION: &str = "integration";

/// What is signed for the tenant access: the contract's text, which its clients sign too.
fn tenant_message(expiry: &str) -> String {
    format!("{INTEGRATION}\n{expiry}")
}

/// What is signed for a user. A user may be named `integration`; no text that is signed for one is
/// the tenant access's.
fn user_message(uid: &str, expiry: &str) -> String {
    if uid == INTEGRATION {
        format!("user\n{uid}\n{expiry}")
    } else {
        format!("{uid}\n{expiry}")
    }
}

fn holds(sas: &Sas, message: &str, key: &str, now: DateTime<Utc>) -> bool {
    now < sas.expires_at
        && sas.expires_at <= now + LONGEST
        && hmac::verify(&key_of(key), message.as_bytes(), &sas.signature).is_ok()
}

/// Whether the signature was made for the tenant access with the key and holds now, for 30 days at
/// most; compared in constant time. A user's signature never does.
#[must_use]
pub fn verify(sas: &Sas, key: &str, now: DateTime<Utc>) -> bool {
    sas.uid == INTEGRATION && holds(sas, &tenant_message(&sas.expiry_text), key, now)
}

/// Whether the signature was made by [`user_token`] or [`distinct_user_token`] for the user `sas.uid` with the key and holds now.
#[must_use]
pub fn verify_user(sas: &Sas, key: &str, now: DateTime<Utc>) -> bool {
    let message = user_message(&sas.uid, &sas.expiry_text);
    match sas.signature.split_first_chunk::<SALT_BYTES>() {
        Some((salt, signature)) if signature.len() == SIGNATURE_BYTES => {
            now < sas.expires_at
                && sas.expires_at <= now + LONGEST
                && hmac::verify(&salted(key, salt), message.as_bytes(), signature).is_ok()
        }
        _ => holds(sas, &message, key, now),
    }
}

/// Length of a signature: HMAC-SHA512.
const SIGNATURE_BYTES: usize = 64;
/// Random bytes before the signature of a [`distinct_user_token`].
const SALT_BYTES: usize = 16;

/// The key for one salt. Derived, so that no salted signature is ever one of the plain form, or of another salt.
fn salted(key: &str, salt: &[u8; SALT_BYTES]) -> hmac::Key {
    let mut message = b"portico distinct user token\n".to_vec();
    message.extend_from_slice(salt);
    let derived = hmac::sign(&key_of(key), &message);
    hmac::Key::new(hmac::HMAC_SHA512, derived.as_ref())
}

/// As [`user_token`], but different for each salt: the contract's form tells minutes only, and a token that counts
/// once must not be the one that was made seconds before. The salt stands before the signature.
#[must_use]
pub fn distinct_user_token(
    uid: &str,
    expires_at: DateTime<Utc>,
    key: &str,
    salt: [u8; SALT_BYTES],
) -> String {
    let expiry = expires_at.format(SHORT).to_string();
    let signature = hmac::sign(&salted(key, &salt), user_message(uid, &expiry).as_bytes());
    let mut bytes = salt.to_vec();
    bytes.extend_from_slice(signature.as_ref());
    format!("{uid}&{expiry}&{}", BASE64_STANDARD.encode(bytes))
}

fn signed(uid: &str, expiry: &str, message: &str, key: &str) -> String {
    let signature = hmac::sign(&key_of(key), message.as_bytes());
    format!(
        "{uid}&{expiry}&{}",
        BASE64_STANDARD.encode(signature.as_ref())
    )
}

/// `{user}&{yyyyMMddHHmm}&{signature}`
#[must_use]
pub fn user_token(uid: &str, expires_at: DateTime<Utc>, key: &str) -> String {
    let expiry = expires_at.format(SHORT).to_string();
    signed(uid, &expiry, &user_message(uid, &expiry), key)
}

/// `integration&{yyyyMMddHHmm}&{signature}`: what follows `SharedAccessSignature ` in the header of a
/// client that has the tenant access's key.
#[must_use]
pub fn tenant_token(expires_at: DateTime<Utc>, key: &str) -> String {
    let expiry = expires_at.format(SHORT).to_string();
    signed(INTEGRATION, &expiry, &tenant_message(&expiry), key)
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
    fn a_signature_holds_for_its_key_until_its_end() -> Result<(), ParseError> {
        let token = tenant_token(at("2026-01-10T00:00:00Z"), "key");
        let sas = parse(&format!("SharedAccessSignature {token}"))?;
        assert_eq!(sas.uid, "integration");
        assert!(verify(&sas, "key", at("2026-01-09T23:59:59Z")));
        assert!(!verify(&sas, "key", at("2026-01-10T00:00:00Z")), "over");
        assert!(
            !verify(&sas, "key", at("2025-12-01T00:00:00Z")),
            "too far ahead"
        );
        assert!(!verify(&sas, "other", at("2026-01-09T00:00:00Z")));
        let other = parse(&format!(
            "SharedAccessSignature {}",
            token.replacen("integration", "1", 1)
        ))?;
        assert!(
            !verify(&other, "key", at("2026-01-09T00:00:00Z")),
            "another uid"
        );
        Ok(())
    }

    #[test]
    fn a_users_signature_is_none_of_the_tenant_access() -> Result<(), ParseError> {
        let now = at("2026-01-09T00:00:00Z");
        for uid in ["1", "Integration", "integration"] {
            let sas = parse_token(&user_token(uid, at("2026-01-10T00:00:00Z"), "key"))?;
            assert!(verify_user(&sas, "key", now), "{uid}");
            assert!(!verify_user(&sas, "other", now), "{uid}");
            assert!(!verify(&sas, "key", now), "{uid}");
        }
        let tenant = parse_token(&tenant_token(at("2026-01-10T00:00:00Z"), "key"))?;
        assert!(verify(&tenant, "key", now));
        assert!(!verify_user(&tenant, "key", now));
        Ok(())
    }

    #[test]
    fn distinct_tokens_of_one_minute_differ_and_both_hold() -> Result<(), ParseError> {
        let (now, end) = (at("2026-01-09T00:00:00Z"), at("2026-01-10T00:00:00Z"));
        let tokens = [[1; 16], [2; 16]].map(|salt| distinct_user_token("1", end, "key", salt));
        assert_ne!(tokens[0], tokens[1]);
        for token in &tokens {
            let mut sas = parse_token(token)?;
            assert!(verify_user(&sas, "key", now));
            assert!(!verify_user(&sas, "other", now), "another key");
            assert!(!verify_user(&sas, "key", end), "over");
            assert!(!verify(&sas, "key", now), "none of the tenant access");
            sas.signature[0] ^= 1;
            assert!(!verify_user(&sas, "key", now), "another salt");
            sas.signature[0] ^= 1;
            sas.uid = "2".to_owned();
            assert!(!verify_user(&sas, "key", now), "another user");
        }
        Ok(())
    }

    #[test]
    fn a_signature_is_the_contracts_hmac() {
        // printf 'integration\n202601100000' | openssl dgst -sha512 -hmac key -binary | base64
        assert_eq!(
            tenant_token(at("2026-01-10T00:00:00Z"), "key"),
            "integration&202601100000&aCeriutiLJsDIHZdZ6ISpu6a5yBBomCXyLF7Pjc3lR3GdKUjtuCPk9/Xk2LGtd/AnwQ5Z7+/FNhHDamlY9uZ4Q=="
        );
    }

    #[test]
    fn the_long_form_is_read_too() -> Result<(), ParseError> {
        let expiry = "2026-01-10T00:00:00.0000000Z";
        let signature = hmac::sign(&key_of("key"), format!("integration\n{expiry}").as_bytes());
        let text = format!(
            "SharedAccessSignature uid=integration&ex={expiry}&sn={}",
            BASE64_STANDARD.encode(signature.as_ref())
        );
        assert!(verify(&parse(&text)?, "key", at("2026-01-09T00:00:00Z")));
        for wrong in [
            "Bearer x",
            "SharedAccessSignature",
            "SharedAccessSignature a&b",
            "SharedAccessSignature a&b&c",
            "SharedAccessSignature a&202601010000&%",
        ] {
            assert_eq!(parse(wrong), Err(ParseError), "{wrong}");
        }
        Ok(())
    }
}
