//! ETags and `If-Match` (contract rules §3): the revision of a row as quoted base64 of eight bytes.

use crate::{Error, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The `ETag` header of a revision, with quotes.
#[must_use]
pub fn etag(rev: i64) -> String {
    format!("\"{}\"", BASE64_STANDARD.encode(rev.to_be_bytes()))
}

/// What an `If-Match` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No header.
    Absent,
    /// `*`: whatever the revision is. A PUT of a missing resource creates it, because `az` sends `*` on creates.
    Any,
    /// One or more tags, without quotes.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Reads the header; quotes are optional because some clients drop them.
    #[must_use]
    pub fn parse(header: Option<&str>) -> Self {
        match header.map(str::trim) {
            None | Some("") => Self::Absent,
            Some("*" | "\"*\"") => Self::Any,
            Some(tags) => Self::Tags(
                tags.split(',')
                    .map(|t| {
                        t.trim()
                            .trim_start_matches("W/")
                            .trim_matches('"')
                            .to_owned()
                    })
                    .collect(),
            ),
        }
    }

    /// Whether a write may go on.
    ///
    /// `rev` is the stored revision, `None` where nothing is stored; `required` is whether the contract
    /// demands the header of this operation.
    ///
    /// # Errors
    /// `PreconditionRequired` without a required header, `PreconditionFailed` when no tag is the stored one.
    pub fn check(&self, rev: Option<i64>, required: bool) -> Result<()> {
        match (self, rev) {
            (Self::Absent, _) if required => Err(Error::PreconditionRequired),
            (Self::Absent | Self::Any, _) => Ok(()),
            (Self::Tags(_), None) => Err(Error::PreconditionFailed),
            (Self::Tags(tags), Some(rev)) => {
                let stored = BASE64_STANDARD.encode(rev.to_be_bytes());
                if tags.contains(&stored) {
                    Ok(())
                } else {
                    Err(Error::PreconditionFailed)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_with_and_without_quotes() {
        let tag = etag(712);
        for header in [tag.as_str(), tag.trim_matches('"')] {
            assert!(IfMatch::parse(Some(header)).check(Some(712), true).is_ok());
            assert!(matches!(
                IfMatch::parse(Some(header)).check(Some(713), true),
                Err(Error::PreconditionFailed)
            ));
        }
    }

    #[test]
    fn a_star_matches_everything_even_nothing() {
        assert!(IfMatch::parse(Some("*")).check(None, true).is_ok());
        assert!(IfMatch::parse(Some("*")).check(Some(1), true).is_ok());
    }

    #[test]
    fn absence_matters_only_where_required() {
        assert!(IfMatch::parse(None).check(Some(1), false).is_ok());
        assert!(matches!(
            IfMatch::parse(None).check(Some(1), true),
            Err(Error::PreconditionRequired)
        ));
    }
}
